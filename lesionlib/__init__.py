"""Local and global information for lesions on mammograms, as Wu et al. (2020) combine them.

The package holds what the notebooks share: readers of data sets, the store of images, windows and
patches, the three networks, their training, the scores of lesions, and the figures and tables.
``import lesionlib`` is light: it imports no torch, and only puts the torchvision hook in place.
"""

from lesionlib.torchvision_shim import install_hook

__version__ = "0.1.0"

install_hook()
