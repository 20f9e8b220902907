"""The paper's figures, and the others that a notebook needs, from arrays and data frames.

Every function gives back matplotlib objects: an Axes where it draws one panel (take `ax.figure` to
save it), a Figure where it draws several.  Nothing is shown or saved and no metric is computed.
`phantom=True` writes *phantom* into a corner of a picture of made-up images.

| module | draws |
|---|---|
| overview | method |
| mammograms | figure_1, mammogram, windows_on_image, contact_sheet, breast_contour, from_store |
| patch_grids | figure_3, patches |
| map_panels | figure_2, figure_4, maps, saliency_overlays, cell_grid |
| score_plots | figure_5, scores, by_windows; LesionCase |
| curves | roc, figure_7, history |
| comparisons | figure_6, forest, search |
| lesion_sizes | sizes |
| exclusions | flow |
| phantom_panels | latents |
| observers | beside_ideal, said_and_drawn |
| relations | histograms, by_truth |
| receptive_field | receptive_field |
"""

from study.plots import style
from study.plots.comparisons import figure_6, forest, search
from study.plots.curves import figure_7, history, roc
from study.plots.exclusions import flow
from study.plots.lesion_sizes import sizes
from study.plots.mammograms import (
    Mammogram,
    breast_contour,
    contact_sheet,
    figure_1,
    from_store,
    mammogram,
    windows_on_image,
)
from study.plots.map_panels import cell_grid, figure_2, figure_4, maps, saliency_overlays
from study.plots.observers import beside_ideal, said_and_drawn
from study.plots.overview import method
from study.plots.patch_grids import figure_3, patches
from study.plots.phantom_panels import latents
from study.plots.receptive_field import receptive_field
from study.plots.relations import by_truth, histograms
from study.plots.score_plots import LesionCase, by_windows, figure_5, scores

__all__ = [
    "LesionCase",
    "Mammogram",
    "beside_ideal",
    "breast_contour",
    "by_truth",
    "by_windows",
    "cell_grid",
    "contact_sheet",
    "figure_1",
    "figure_2",
    "figure_3",
    "figure_4",
    "figure_5",
    "figure_6",
    "figure_7",
    "flow",
    "forest",
    "from_store",
    "histograms",
    "history",
    "latents",
    "mammogram",
    "maps",
    "method",
    "patches",
    "receptive_field",
    "roc",
    "said_and_drawn",
    "saliency_overlays",
    "scores",
    "search",
    "sizes",
    "style",
    "windows_on_image",
]
