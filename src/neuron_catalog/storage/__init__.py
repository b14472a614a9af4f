"""Where finished work is kept: the compile cache, and stores that are shared."""
