"""The data set: the embedded phantom."""
