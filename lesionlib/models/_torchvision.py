"""torchvision's networks, also next to a torch that was built without CUDA.

PyPI's torchvision is built against the CUDA edition of torch. Next to the CPU edition its compiled
part cannot be loaded, and the import ends in "operator torchvision::nms does not exist". The
networks are plain Python and need none of these operators.
"""

import torch

SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def torchvision_models():
    """The module `torchvision.models`, imported when first asked for: the import is slow.

    Raises whatever the import raises for another reason. Where the compiled part cannot be loaded,
    two detection operators are declared, without code: they still refuse to run.
    """
    try:
        from torchvision import models
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            torch.library.define(f"torchvision::{operator}", SIGNATURE)
        from torchvision import models
    return models
