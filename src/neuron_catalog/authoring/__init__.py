"""Room 8: write a catalog file from a Hugging Face config, and prove it."""
