"""Make the config of a model small, so that what must agree still does."""
