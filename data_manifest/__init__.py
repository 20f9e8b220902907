"""The data: manifests, the reading of images, the image store, and one folder per data set."""
