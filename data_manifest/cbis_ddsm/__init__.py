"""The data set: CBIS-DDSM."""
