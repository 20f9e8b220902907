"""The data set: two tables, images.csv and lesions.csv."""
