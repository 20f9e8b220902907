"""The data set: VinDr-Mammo."""
