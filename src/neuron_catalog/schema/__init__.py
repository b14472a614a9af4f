"""What a catalog file may say: pydantic models, without file access and without torch."""
