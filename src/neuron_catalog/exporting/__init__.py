"""Compile a planned model, hold the result to its promises, and publish it as an artifact."""
