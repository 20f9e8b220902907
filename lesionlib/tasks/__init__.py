"""What each of the three networks learns from, and how it is judged (Wu et al. 2020).

`FLocTask` trains on patches drawn anew each epoch, `GMICTask` on whole images, `FAggTask` on maps
built from stored windows. All three are judged on the validation split alone; `training.fit` runs
them.

Promises: the batches of an epoch depend on (seed, epoch) only; the last, incomplete batch of an
epoch is left out, so that batch norm always sees as many.
"""

from lesionlib.tasks.fagg import FAggTask
from lesionlib.tasks.floc import FLocTask
from lesionlib.tasks.gmic import GMICTask, image_labels
from lesionlib.tasks.loss import class_weights, weighted_loss

__all__ = ["FAggTask", "FLocTask", "GMICTask", "class_weights", "image_labels", "weighted_loss"]
