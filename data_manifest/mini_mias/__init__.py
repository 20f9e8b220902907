"""The data set: mini-MIAS."""
