"""The data set: EMBED."""
