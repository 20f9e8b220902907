"""The data set: CMMD."""
