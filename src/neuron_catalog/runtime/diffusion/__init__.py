"""Pipelines of diffusers whose parts are compiled graphs."""
