"""Local and global information for lesions on mammograms, as Wu et al. (2020) combine them.

The method alone: windows and patches, the three networks and what they learn from, the scores of
lesions and the numbers that judge them.  It knows arrays and data frames; files of images, data
sets and experiments are the business of ``data_manifest`` and ``study``.
"""

__version__ = "0.1.0"
