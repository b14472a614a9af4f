"""Make the config of a model small, so that sizes which must agree still do.

A `Way` says how small, a `Scale` measures by it, rules choose by the name of a key what to measure, and a
`Shrinker` walks over a config and those nested in it.
"""
