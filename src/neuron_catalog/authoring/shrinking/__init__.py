"""Make the config of a model small, so that sizes which must agree still do."""
