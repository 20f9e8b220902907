"""From data to results: each step of the paper is a stage that reads what earlier stages wrote.

files -> manifest -> store -> windows -> f_loc -> features \\
                         \\-> GMIC -> saliency maps ---------> X -> f_agg -> lesion scores

Every function takes a :class:`~study.lab.Lab`, makes what it needs first, and gives back plain
things: a manifest, a store, a data frame, an array.  So any notebook can be run alone, in any
order, and a second run reuses what is there.  A network is named by the folder of its run.

What a step gave is kept on the lab (see :func:`study.stages.once`): manifest and store are opened
once per process, and a completed stage is looked at once.
"""

from study.steps.aggregation_network import fagg, features, load_fagg
from study.steps.context_network import gmic, load_gmic, saliency
from study.steps.data import (
    data_folder,
    fingerprint,
    followed_lesion,
    followed_place,
    manifest,
    need_lesions,
    store,
)
from study.steps.drawn_cases import phantom_cases
from study.steps.lesion_scores import (
    predictions,
    predictions_before_relu,
    predictions_other_cells,
)
from study.steps.other_choices import sensitivity
from study.steps.patch_network import architectures, floc, load_floc, outputs
from study.steps.results_file import results
from study.steps.runs import torch_ready
from study.steps.searches import search
from study.steps.windows import evaluation_windows

# what can be asked for by name, in the order of the work
STEPS = {
    step.__name__: step
    for step in (manifest, store, evaluation_windows, floc, gmic, saliency, features, fagg,
                 architectures, search, predictions, predictions_other_cells, predictions_before_relu,
                 sensitivity, results)
}  # fmt: skip

__all__ = [
    "STEPS",
    "architectures",
    "data_folder",
    "evaluation_windows",
    "fagg",
    "features",
    "fingerprint",
    "floc",
    "followed_lesion",
    "followed_place",
    "gmic",
    "load_fagg",
    "load_floc",
    "load_gmic",
    "manifest",
    "need_lesions",
    "outputs",
    "phantom_cases",
    "predictions",
    "predictions_before_relu",
    "predictions_other_cells",
    "results",
    "saliency",
    "search",
    "sensitivity",
    "store",
    "torch_ready",
]
