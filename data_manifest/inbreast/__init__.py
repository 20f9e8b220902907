"""The data set: INbreast."""
