"""Statistics of this study beyond those of `lesionlib.metrics`: one idea, one module."""
