"""The data set: the NYU set's lists."""
