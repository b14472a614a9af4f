"""Bind an architecture to one config, task and set of axes. Nothing here imports torch."""
