"""Intervals of this study beyond those of `lesionlib.metrics`: one kind, one module."""
