"""Find, read and check catalog files. Nothing here imports torch or runs anything a file says."""
