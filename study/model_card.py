"""The card of an experiment's trained networks: what they are for, and what is known of them.

It follows the headings of Mitchell et al. (2019), "Model cards for model reporting".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

import pandas as pd
import yaml
from safetensors import safe_open

from lesionlib import files
from study.lab import NO_OUTLINES, Lab
from study.settings import project_root
from study.tables import to_markdown

CARD, WEIGHTS = "MODEL_CARD.md", "best.safetensors"
READ = {"floc": "a patch of the lesion", "gmic": "the whole image"}
BLOCKS = ("canvas", "windows", "floc", "gmic", "fagg")
PURPOSE = (
    "To repeat and to teach Wu et al. (2020): do lesion and whole breast together tell malignant from "
    "benign lesions better than the lesion alone? **Not for clinical use.** No score of these "
    "networks may inform the care of a patient, and none has been cleared by a regulator."
)
PHANTOM = (
    "The training images are made up. What the networks have learned holds for this phantom and "
    "says nothing about women, mammography units or lesions."
)
REAL = (
    "The networks have learned from one set alone, and the results below are of its own test split: "
    "they say nothing of images of other units, populations or pixel spacings."
)
LIMITS = (
    "They score lesions that somebody has found and outlined; they find none.",
    "The scores are not calibrated: they order lesions, and are no risks.",
    "No result by age, ethnic group or mammography unit is known here.",
)
USE = (
    "`study predict --experiment {name} --data FOLDER` scores the outlined lesions of new images. The "
    "files of weights are in the form of `safetensors`, which holds numbers and no code."
)


def write_card(lab: Lab, found: Mapping, runs: Iterable[Path]) -> Path:
    """Write ``figures/<experiment>/MODEL_CARD.md``; returns it.

    Parameters
    ----------
    lab : of the experiment.
    found : the content of its results, see :mod:`study.steps.results_file`.
    runs : folders of the trained networks.
    """
    s, made = lab.settings, found["provenance"]
    sheet = project_root() / "data_manifest" / s.data.dataset / "datasheet.md"
    link = f" ([datasheet](../../data_manifest/{s.data.dataset}/datasheet.md))"
    settings = {name: getattr(s, name).model_dump(mode="json") for name in BLOCKS}
    parts = [
        f"# Model card: the networks of experiment {lab.name}",
        f"**Purpose.** {PURPOSE}",
        f"**Data.** {s.title or lab.name}, data set `{s.data.dataset}`"
        f"{link if sheet.is_file() else ''}. {PHANTOM if lab.is_phantom else REAL}"
        f"{' ' + NO_OUTLINES.format(lab.marked_by) if lab.marked_by else ''}",
        to_markdown(pd.DataFrame.from_dict(found["counts"], "index").rename_axis("split")),
        "**Networks.** f_agg reads the maps that its name lists: I where the window is, S saliency "
        f"by GMIC, E the embedding by f_loc. Files: `runs/{lab.name}/<network>/{WEIGHTS}`.",
        to_markdown(networks(lab, runs)),
        "**Results.** AUC of the test lesions, malignant against benign: mean of the runs, with its "
        "95 % interval over runs and patients (of one run, over patients).",
        to_markdown(_results(found["models"])),
        "Rates at operating points and figures are in the files beside this card.",
        "**Limits.**\n\n" + "\n".join(f"- {limit}" for limit in LIMITS),
        f"**Use.** {USE.format(name=lab.name)}",
        f"**Made with.** Seed {made['seed']}, device {made['device']}, settings "
        f"`{made['settings_digest']}`, code `{made['code_digest']}`, data `{made['data_digest']}`; "
        + ", ".join(f"{name} {version}" for name, version in made["versions"].items()) + ".",
        f"**Settings.**\n\n```yaml\n{yaml.safe_dump(settings, sort_keys=False).strip()}\n```",
    ]  # fmt: skip
    files.write_text(lab.figures / CARD, "\n\n".join(parts) + "\n")
    return lab.figures / CARD


def networks(lab: Lab, runs: Iterable[Path]) -> pd.DataFrame:
    """One row per trained network: what it reads, number of weights, SHA-256 of their file.

    Parameters
    ----------
    lab, runs : as of :func:`write_card`.
    """
    rows = []
    for folder in runs:
        name = folder.relative_to(lab.runs)
        kind, *which, _ = name.parts
        file = folder / WEIGHTS
        with safe_open(file, "np") as content:
            shapes = [content.get_slice(key).get_shape() for key in content.keys()]  # noqa: SIM118
        row = {"network": name.as_posix(), "reads": READ.get(kind, "+".join(which))}
        row["numbers in it"] = sum(map(prod, shapes))
        rows.append(row | {"SHA-256": hashlib.sha256(file.read_bytes()).hexdigest()})
    return pd.DataFrame(rows).set_index("network")


def _results(models: Mapping[str, Mapping]) -> pd.DataFrame:
    rows = {
        name: {
            "runs": m["runs"],
            "AUC": m["mean"],
            "low": m["low_both"],
            "high": m["high_both"],
            "SD of runs": m["sd"],
            "malignant": m["malignant"],
            "benign": m["benign"],
            "patients": m["patients"],
        }
        for name, m in models.items()
    }
    return pd.DataFrame.from_dict(rows, "index").rename_axis("model")
