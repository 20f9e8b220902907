"""The networks of Wu et al. 2020: f_loc on patches, GMIC on whole images, f_agg on maps.

Patch classes follow `lesionlib.windows.CLASSES`; GMIC keeps its published order, benign first,
until `lesionlib.models.gmic.malignant_first` turns it.
"""

from lesionlib.models.backbones import BACKBONES
from lesionlib.models.fagg import FAgg
from lesionlib.models.floc import FLoc
from lesionlib.models.gmic import GMIC, GMICOutput, gmic_loss_terms, malignant_first

__all__ = [
    "BACKBONES", "FAgg", "FLoc", "GMIC", "GMICOutput", "gmic_loss_terms", "malignant_first",
]  # fmt: skip
