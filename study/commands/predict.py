"""Lesion scores of new images by the networks of a finished experiment, and a page of pictures.

Nothing is trained, whatever has changed since: the networks are read from ``runs/<experiment>/`` as
they are.  The truth of the new lesions may be unknown; no window or score depends on it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from data_manifest import registry
from data_manifest.checks import SPACING_APART, check_manifest
from data_manifest.images.build import digest_of, settings_of
from data_manifest.images.store import ImageStore, build_store
from lesionlib import files, windows
from lesionlib.errors import InputError
from lesionlib.maps import COMBINATIONS
from lesionlib.patches import extract_patches
from lesionlib.sampling import sample_lesion_windows
from lesionlib.scoring import PREDICTION_COLUMNS, lesion_scores, truth_of, window_scores
from lesionlib.seeds import derive_seed, digest
from study.commands.page import Page
from study.lab import Lab, open_bench
from study.plots import mammograms, map_panels, patch_grids, style
from study.settings import Canvas
from study.steps.aggregation_network import fagg_logits, fagg_network
from study.steps.context_network import gmic_network, saliency_maps
from study.steps.patch_network import floc_network, window_outputs
from study.steps.runs import run_read, torch_ready

WEIGHTS = "best.safetensors"
MOST_PICTURES = 60


def predict(
    experiment: str,
    folder: Path | str,
    dataset: str = "table",
    options: dict | None = None,
    output: Path | str | None = None,
    scale: float | None = None,
) -> Path:
    """Score every lesion of a set; returns the page, next to ``predictions.csv``.

    Parameters
    ----------
    experiment : whose settings and trained networks are used.
    folder, dataset, options : of the new images: where they are, their reader and its options.
    output : by default ``runs/<experiment>/predict/<name of the folder>-<digest of its path>``.
    scale : canvas px per px of the new images, where they have another pixel spacing than those of
        the training; by default the experiment's `canvas.scale`.

    Raises
    ------
    InputError
        Where the networks are not there, the set cannot be read, or no lesion can be scored.
    """
    lab = open_bench(experiment, "predict")
    networks = trained(lab)
    own = lab.settings.data.options if dataset == lab.settings.data.dataset else {}
    place = Path(folder).expanduser().resolve()
    kept = lab.runs / "predict" / f"{place.name}-{digest(str(place))[:8]}"
    canvas = lab.settings.canvas
    canvas = Canvas(**canvas.model_dump() | {"scale": scale or canvas.scale})
    images = _store(lab, kept, dataset, place, own | (options or {}), canvas)
    for line in (told := warnings(lab, images, canvas.scale)):
        lab.progress(f"warning: {line}")
    drawn = _windows(lab, images)
    torch_ready(lab)
    maps = _maps(lab, networks, images)
    scores = _window_scores(lab, networks, images, drawn, maps)
    table = _table(images, drawn, scores)
    page = Page(Path(output) if output else kept, f"Lesion scores by the networks of {experiment}")
    text = table.to_csv(index=False, float_format="%.9g")
    files.write_text(page.folder / "predictions.csv", text)
    page.text(*(f"Warning: {line}." for line in told))
    _write_page(page, lab, images, drawn, maps[0], table, scores)
    return page.write("lesions")


def trained(lab: Lab) -> dict[str, list[Path]]:
    """The folders of the trained networks: gmic, f_loc and each combination, by run.

    Raises InputError where GMIC or f_loc has no weights.
    """
    named = {"gmic": "gmic/run*", "f_loc": "floc/run*"} | {
        c: f"fagg/{c}/run*" for c in COMBINATIONS
    }
    # the maps of another context network, or of a control, cannot be made here
    given = lab.settings.fagg.saliency_file or lab.settings.fagg.saliency_of != "own"
    named = {name: place for name, place in named.items() if not (given and "S" in name.split("+"))}
    found = {
        name: sorted((file.parent for file in lab.runs.glob(f"{place}/{WEIGHTS}")), key=_run)
        for name, place in named.items()
    }
    lost = [name for name in ("gmic", "f_loc") if not found[name]]
    if lost:
        what = f"no trained {' and '.join(lost)}"
        raise InputError(what, f"experiment {lab.name}", f"Train first: study run {lab.name}")
    return found


def warnings(lab: Lab, images: ImageStore, scale: float) -> list[str]:
    """A line for each reason why the scores of these images say little or nothing.

    scale : canvas px per px of the new images.
    """
    lines = ["the networks were trained on a phantom: on real images they say nothing"]
    lines *= lab.is_phantom
    table, new = lab.runs / "store" / "canvases" / "images.csv", images.images["spacing_mm"]
    own = pd.read_csv(table)["spacing_mm"] if table.is_file() else new[:0]
    low, high = own.min(), own.max()  # nan where none is stated
    seen = new * lab.settings.canvas.scale / scale  # as if they had come at the experiment's scale
    apart = (seen * SPACING_APART < low) | (seen > high * SPACING_APART)
    if apart.any():
        lines.append(
            f"{apart.sum()} of {len(new)} images have another pixel spacing, {new[apart].median():g} "
            f"mm (median), than those of the training, {low:g} to {high:g} mm: the scale {scale:g} "
            "does not fit them, and their scores are not to be relied on; give one that does (--scale)"
        )
    return lines


def _run(folder: Path) -> int:
    return int(folder.name.removeprefix("run"))


def _store(lab: Lab, kept: Path, dataset: str, folder: Path, options: dict, canvas) -> ImageStore:
    """The new images on this canvas, all of them in the test split."""
    found = registry.read_as_it_is(dataset, folder, **{"partial": True} | options)
    found = check_manifest(replace(found, images=found.images.assign(split="test")))
    with_lesions = found.images["image_id"].isin(found.lesions["image_id"])
    if not with_lesions.any():
        remedy = "Outline the lesions to be scored: a network here scores lesions, not images"
        raise InputError(f"no lesion on {len(with_lesions)} images", dataset, remedy)
    found = replace(found, images=found.images[with_lesions])
    place = kept / f"store-{digest_of(found, settings_of(found, canvas))}"
    return build_store(
        found, place, canvas, workers=lab.settings.compute.workers, progress=lab.progress
    )


def _windows(lab: Lab, images: ImageStore) -> pd.DataFrame:
    """The windows of every lesion, as those by which the experiment's own lesions are judged."""
    s, lesions = lab.settings, images.lesions
    # at evaluation no window depends on truth: that of any kind serves where it is unknown
    images.lesions = lesions.assign(pathology="benign")
    drawn = sample_lesion_windows(
        images, np.arange(len(lesions)), s.evaluation.windows_per_lesion, s.windows,
        seed=derive_seed(s.seed, "evaluation windows"), training=False,
    )  # fmt: skip
    images.lesions = lesions
    return drawn


def _maps(lab: Lab, networks: dict, images: ImageStore) -> list[np.ndarray]:
    """Saliency maps of every image, as each run of f_agg reads them."""
    folders, s = networks["gmic"], lab.settings
    runs = range(max(map(len, networks.values())))
    read = [run_read(lab, run, len(folders), folders.__getitem__) for run in runs]
    made = {k: saliency_maps(gmic_network(lab, folders[k]), images, s) for k in set(read)}
    return [made[k] for k in read]


def _window_scores(
    lab: Lab, networks: dict, images: ImageStore, drawn: pd.DataFrame, maps: list[np.ndarray]
) -> dict[tuple[str, int], np.ndarray]:
    """(model, run) -> score of each window; what f_agg reads is chosen as in the experiment."""
    s, out, outputs = lab.settings, {}, []
    for run, folder in enumerate(networks["f_loc"]):
        lab.progress(f"f_loc, run {run}: {len(drawn)} windows")
        outputs.append(window_outputs(floc_network(lab, folder, s.floc), images, drawn, s))
        out["f_loc", run] = window_scores(outputs[-1][1])
    shift = windows.CELL_SHIFTS[s.fagg.cells]
    location = windows.location_maps(drawn, s.canvas.map_shape, s.canvas.cell, shift=shift)
    image, patch_runs = drawn["image"].to_numpy(), networks["f_loc"]
    for name in COMBINATIONS:
        for run, folder in enumerate(networks.get(name, [])):
            best = run_read(lab, run, len(patch_runs), patch_runs.__getitem__)
            given = location, maps[run][image], outputs[best][0]
            logits = fagg_logits(fagg_network(lab, folder, name), name, given, s.compute.device)
            out[name, run] = window_scores(logits)
    return out


def _table(images: ImageStore, drawn: pd.DataFrame, scores: dict) -> pd.DataFrame:
    """Predictions; y_true is empty where the truth is unknown."""
    lesions = images.lesions
    truth = pd.Series(truth_of(lesions), dtype="Int64")
    head = lesions[["lesion_id", "patient_id", "split"]].reset_index(drop=True)
    head["y_true"] = truth.mask(truth < 0)
    rows, lesion = np.arange(len(lesions)), drawn["lesion"].to_numpy()
    parts = [
        head.assign(model=model, run=run, y_score=lesion_scores(score, lesion, rows))
        for (model, run), score in scores.items()
    ]
    return pd.concat(parts, ignore_index=True)[list(PREDICTION_COLUMNS)]


# ------------------------------------------------------------------ the page
def _write_page(page: Page, lab: Lab, images, drawn, maps, table: pd.DataFrame, scores) -> None:
    means = table.pivot_table(index="lesion_id", columns="model", values="y_score", sort=False)
    model = next(m for m in ("E+S", "E", "f_loc") if m in means)
    page.text(
        "Not for clinical use. A score is 0 (benign) to 1 (malignant), the mean over "
        f"{lab.settings.evaluation.windows_per_lesion} windows and the runs of the training."
    )
    lost = images.exclusions
    if len(lost):
        page.text(heading=f"Left out: {len(lost)} images or lesions")
        page.table("left_out", lost)
    order = means[model].sort_values(ascending=False).index
    page.text(heading=f"Scores, ordered by {model}")
    page.table("scores", means.loc[order].rename_axis(columns=None).reset_index())
    page.text(heading=f"Pictures of the {min(len(order), MOST_PICTURES)} highest scores")
    row_of = {name: row for row, name in enumerate(images.lesions["lesion_id"])}
    of_window = np.mean([score for (m, _), score in scores.items() if m == model], axis=0)
    for name in order[:MOST_PICTURES]:
        rows = np.flatnonzero(drawn["lesion"] == row_of[name])
        figure = _picture(lab, images, drawn.iloc[rows], maps, of_window[rows])
        figure.suptitle(f"{name}: {model} {means.loc[name, model]:.3f}", fontsize=9)
        page.picture(figure, f"Lesion {name}: windows, patch, saliency of its image", kind="jpeg")


def _picture(lab: Lab, images, drawn: pd.DataFrame, maps: np.ndarray, scores: np.ndarray):
    """One lesion: its windows with their scores, the patch of the first, and S_m of its image."""
    i = int(drawn["image"].iloc[0])
    image = mammograms.from_store(images, i)
    figure = style.new_figure(style.PAGE, 2.4 * image.shape[0] / image.shape[1] + 0.6)
    left, middle, right = figure.subplots(1, 3)
    corners = windows.corners(drawn)
    mammograms.windows_on_image(image, corners, values=scores, legend=False, ax=left)
    left.set_title(f"{len(drawn)} windows")
    patch = extract_patches(images, drawn.iloc[:1], lab.settings.windows.patch)[0, 0]
    patch_grids.patch(patch, ax=middle, title=f"first window: {scores[0]:.3f}")
    most = float(max(maps[:, 0].max(), 1e-3))
    title = f"S_m: malignant present, up to {most:.2f}"
    map_panels.saliency_overlay(image, maps[i, 0], ax=right, vmax=most, title=title)
    figure.colorbar(mammograms.score_map(), ax=left, location="bottom", shrink=0.8, aspect=25)
    return figure
