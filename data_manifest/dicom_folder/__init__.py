"""The data set: a folder of DICOM files."""
