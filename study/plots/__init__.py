"""The paper's figures, and the pictures that several notebooks share, from arrays and data frames.

Every function returns matplotlib objects: an Axes where it draws one panel (take `ax.figure` to
save it), a Figure where it draws several.  Nothing is shown or saved, no metric is computed, and
made-up images are marked as such by ``Lab.show``.  What one notebook alone needs is in
``notebooks/drawings``.

| module | draws |
|---|---|
| mammograms | figure_1, mammogram, windows_on_image, from_store |
| patch_grids | figure_3, patches |
| map_panels | figure_2, figure_4, maps |
| score_plots | figure_5, scores; LesionCase |
| intervals | figure_6, forest |
| curves | figure_7, history |
| decisions | reliability, decision_curves |
| relations | by_truth |
"""

from study.plots import style
from study.plots.curves import figure_7, history
from study.plots.decisions import decision_curves, reliability
from study.plots.intervals import figure_6, forest
from study.plots.mammograms import Mammogram, figure_1, from_store, mammogram, windows_on_image
from study.plots.map_panels import figure_2, figure_4, maps
from study.plots.patch_grids import figure_3, patches
from study.plots.relations import by_truth
from study.plots.score_plots import LesionCase, figure_5, scores

__all__ = [
    "LesionCase", "Mammogram", "by_truth", "decision_curves", "figure_1", "figure_2", "figure_3",
    "figure_4", "figure_5", "figure_6", "figure_7", "forest", "from_store", "history",
    "mammogram", "maps", "patches", "reliability", "scores", "style", "windows_on_image",
]  # fmt: skip
