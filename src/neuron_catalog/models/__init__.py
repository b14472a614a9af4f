"""Eager models and the wrappers that make graphs of them. From here on torch is allowed."""
