"""What a biostatistician asks of the scores beyond the tables of Wu et al. 2020.

Every function takes a predictions frame (see `study.tables`), judges run-averaged scores of the test
split, and gives small dicts or frames: value, low, high, and the counts that they rest on.  Intervals
resample patients with all their lesions, the same resamples as those of `study.tables`.  What too
few lesions cannot tell is missing: None in a dict, NaN in a frame.
"""
