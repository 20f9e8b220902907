"""What was drawn of each test lesion of the phantom, beside what the saliency maps show there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data_manifest.phantom import reader as phantom_reader
from data_manifest.phantom.latents import HALVES
from study.lab import Lab
from study.steps.context_network import saliency
from study.steps.data import data_folder, store


def phantom_cases(lab: Lab) -> pd.DataFrame:
    """The latents, the ideal observers and the mean saliency of each test lesion of the phantom.

    Index lesion_id; columns patient_id, image_id, y_true, u, c, c_other, half, the observers of
    ``phantom_reader.ideal_scores`` and the means of :func:`saliency_around`.  S_m is the mean of
    the maps that the runs of f_agg read.
    """
    images, s = store(lab), lab.settings
    lesions = images.lesions[images.lesions["split"] == "test"]
    truth = phantom_reader.truth_table(data_folder(lab), images.lesions)
    ideal = phantom_reader.ideal_scores(truth, s.phantom).set_index("lesion_id")
    drawn = truth.set_index("lesion_id")[["u", "c", "c_other", "half"]]
    drawn = drawn.join(ideal.drop(columns=["image_id", "finding_id"]))
    cases = lesions.set_index("lesion_id")[["patient_id", "image_id"]].join(drawn, how="left")
    cases["y_true"] = (lesions["pathology"] == "malignant").to_numpy(int)
    i = lesions["image"].to_numpy()
    maps = np.mean([saliency(lab, run)[i, 0] for run in range(s.fagg.runs)], axis=0)
    said = []
    for j, image, half, s_m in zip(lesions.index, i, cases["half"], maps, strict=True):
        box = images.images.loc[image, ["breast_row0", "breast_row1"]]
        centre, border = images.outline(j).centres.mean(axis=0), box.mean()
        given = centre / s.canvas.cell, HALVES.index(half), border / s.canvas.cell
        said.append(saliency_around(s_m, images.breast(image), *given))
    return cases.join(pd.DataFrame(said, index=cases.index)).sort_index()


def saliency_around(
    s_m: np.ndarray, breast: np.ndarray, centre: np.ndarray, half: int, border: float
) -> dict[str, float]:
    """Means of one map S_m: of the image, of the halves of the breast, and near a lesion.

    Parameters
    ----------
    s_m : (h, w) on the cells of the canvas.
    breast : bool mask of the canvas, a multiple of (h, w).
    centre : (row, col) of the lesion, in cells.
    half : of the lesion, 0 upper, 1 lower; canvases are mirrored left to right alone.
    border : between the halves, in cells: the middle of the breast's rows.

    Returns
    -------
    s_m, of all cells; s_m_half and s_m_other, of the cells that are mostly breast, in the lesion's
    half and in the other; s_m_near, of the 3 x 3 cells around the lesion.
    """
    h, w = s_m.shape
    rows, cols = (size // cells for size, cells in zip(breast.shape, (h, w), strict=True))
    inside = breast.reshape(h, rows, w, cols).mean(axis=(1, 3)) >= 0.5
    own = (np.arange(h)[:, None] + 0.5 > border) == half
    y, x = np.asarray(centre).astype(int)
    near = s_m[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
    parts = {"s_m": s_m, "s_m_half": s_m[inside & own], "s_m_other": s_m[inside & ~own]}
    return {name: float(part.mean()) for name, part in (parts | {"s_m_near": near}).items()}
