"""The manifest: its schema, its checks, its splits and its way to disk and back."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lesionlib.datasets import table
from lesionlib.errors import InputError
from lesionlib.manifest import IMAGE_COLUMNS, LESION_COLUMNS, Manifest, flow_table


def make(patients=12, **changes):
    """Two views a patient; every third patient malignant, benign, negative."""
    images, lesions = [], []
    for p in range(patients):
        kind = ("malignant", "benign", "negative")[p % 3]
        for view in ("CC", "MLO"):
            name = f"p{p}_{view}"
            images.append(
                {
                    "image_id": name,
                    "patient_id": f"p{p}",
                    "laterality": "L",
                    "view": view,
                    "file": f"{name}.png",
                    "rows": 100,
                    "cols": 80,
                    "negative": kind == "negative",
                }
            )
            if kind != "negative":
                lesions.append(
                    {
                        "lesion_id": f"l{p}_{view}",
                        "finding_id": f"l{p}",
                        "image_id": name,
                        "pathology": kind,
                        "geom": "circle",
                        "cx": 30.0,
                        "cy": 40.0,
                        "r": 5.0,
                    }
                )
    frames = {"images": pd.DataFrame(images), "lesions": pd.DataFrame(lesions)}
    for where, change in changes.items():
        frames[where] = change(frames[where])
    return Manifest("made", ".", **frames)


def setting(column, value, row=0):
    def change(frame):
        frame = frame.copy()
        if column not in frame:
            frame[column] = None
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


def test_every_manifest_has_all_columns_with_their_types():
    manifest = make().validate()
    assert list(manifest.images) == list(IMAGE_COLUMNS)
    assert list(manifest.lesions) == list(LESION_COLUMNS)
    assert manifest.images["negative"].dtype == "boolean"
    assert manifest.lesions["mask_value"].dtype == "Int64"
    assert manifest.images["spacing_mm"].isna().all()
    empty = Manifest("none", ".", pd.DataFrame(), pd.DataFrame())
    assert list(empty.lesions) == list(LESION_COLUMNS)


@pytest.mark.parametrize(
    ("where", "column", "value", "words"),
    [
        ("images", "image_id", "p0_MLO", "image_id 'p0_MLO' occurs more than once"),
        ("images", "image_id", "a b", "image_id = 'a b' is not of the form"),
        ("images", "laterality", "X", "laterality = 'X' is not one of L, R"),
        ("images", "view", "ML", "one of CC, MLO, other"),
        ("images", "split", "train", "split = 'train' is not one of"),
        ("images", "bits", 20, "bits = '20' is not within 8 to 16"),
        ("images", "spacing_mm", 5.0, "spacing_mm = '5.0' is not within 0.02 to 0.3"),
        ("images", "patient_id", "", "patient_id = '' is not filled in"),
        ("lesions", "pathology", "cancer", "one of benign, malignant, unknown"),
        ("lesions", "geom", "dot", "geom = 'dot' is not one of mask"),
        ("lesions", "lesion_id", "l0_MLO", "lesion_id 'l0_MLO' occurs more than once"),
        ("lesions", "image_id", "nowhere", "unknown image 'nowhere'"),
        ("images", "negative", True, "image p0_CC is negative, but its breast has a lesion"),
        ("lesions", "pathology", "benign", "finding l0 has 2 pathologies, benign and malignant"),
        ("lesions", "r", 0.5, "outline of 0.8 px, least 4"),
        ("lesions", "r", 60.0, "of the image"),
        ("lesions", "cx", 81.0, "centred at x 81.0, y 40.0, outside its image"),
        ("lesions", "geom", "mask", "mask_file is empty"),
        ("lesions", "finding_id", "l1", "finding l1 has 2 p"),
    ],
)
def test_a_fault_is_refused_in_one_line_with_its_remedy(where, column, value, words):
    broken = make(**{where: setting(column, value)})
    with pytest.raises(InputError) as caught:
        broken.validate()
    text = str(caught.value)
    assert words in text and "\n" not in text and caught.value.remedy


def test_the_other_view_of_a_breast_with_a_lesion_is_not_negative():
    one_view = make(lesions=lambda f: f[f["lesion_id"] != "l0_MLO"]).validate()
    marked = replace(one_view, images=setting("negative", True, row=1)(one_view.images))
    with pytest.raises(InputError, match="image p0_MLO is negative"):
        marked.validate()


def test_a_manifest_without_images_is_refused():
    with pytest.raises(InputError, match="no images"):
        Manifest("none", ".", pd.DataFrame(), pd.DataFrame()).validate()


def test_a_patient_in_two_splits_is_refused():
    images = make().images.assign(split="training")
    images.loc[0, "split"] = "test"
    broken = Manifest("made", ".", images, make().lesions)
    with pytest.raises(InputError, match="patient p0 is in 2 splits, test and training"):
        broken.validate()
    with pytest.raises(InputError, match="p0 is in two splits"):
        broken.with_splits()


def test_a_test_split_with_one_kind_is_refused():
    manifest = make(30).with_splits(0.2, 0.3, seed=3)
    malignant = set(manifest.lesions.loc[manifest.lesions["pathology"] == "malignant", "image_id"])
    images = manifest.images.copy()
    moved = images["image_id"].isin(malignant) & (images["split"] == "test")
    images.loc[moved, "split"] = "training"
    with pytest.raises(InputError, match="split test has 0 malignant and [1-9]"):
        replace(manifest, images=images).check_splits()
    with pytest.raises(InputError, match="60 of 60 images have no split"):
        make(30).check_splits()


def test_splits_are_patient_disjoint_stratified_and_of_the_asked_size():
    manifest = make(60).with_splits(0.15, 0.25, seed=1)
    per_patient = manifest.images.groupby("patient_id")["split"].nunique()
    assert (per_patient == 1).all()
    counts = manifest.counts()
    assert counts["patients"].tolist() == [36, 9, 15, 60]  # of each stratum of 20: 12, 3, 5
    assert counts["lesions_malignant"].tolist() == [24, 6, 10, 40]
    assert counts["images_negative"].tolist() == [24, 6, 10, 40]


def test_splits_depend_on_the_seed_and_on_nothing_else():
    first, same = make(60).with_splits(seed=1), make(60).with_splits(seed=1)
    assert first.images["split"].equals(same.images["split"])
    assert not first.images["split"].equals(make(60).with_splits(seed=2).images["split"])
    turned = make(60, images=lambda f: f.iloc[::-1]).with_splits(seed=1)
    by_id = turned.images.set_index("image_id")["split"]
    assert (first.images["image_id"].map(by_id) == first.images["split"]).all()


def test_the_splits_that_a_set_brings_are_kept():
    manifest = make(60)
    images = manifest.images.copy()
    official = images["patient_id"].isin([f"p{p}" for p in range(30)])
    images.loc[official & (images["view"] == "CC"), "split"] = "test"  # one view names it
    drawn = replace(manifest, images=images).with_splits(0.2, 0.25, seed=1).images
    assert (drawn.loc[official, "split"] == "test").all()
    assert (drawn.loc[~official, "split"] == "validation").sum() == 2 * 3 * 2
    assert not (drawn.loc[~official, "split"] == "test").any()


def test_shares_that_leave_no_training_are_refused():
    with pytest.raises(InputError, match="leave no training"):
        make().with_splits(0.5, 0.5)


def test_write_and_read_give_the_same_manifest(tiny_table, tmp_path):
    manifest = table.read(tiny_table)
    manifest.write(tmp_path / "m")
    back = Manifest.read(tmp_path / "m")
    pd.testing.assert_frame_equal(back.images, manifest.images)
    pd.testing.assert_frame_equal(back.lesions, manifest.lesions)
    pd.testing.assert_frame_equal(back.exclusions, manifest.exclusions)
    assert (back.name, back.root) == (manifest.name, manifest.root)
    back.validate()


def test_texts_that_look_like_numbers_or_nothing_survive_the_disk(tmp_path):
    manifest = make(images=setting("patient_id", "007"), lesions=setting("subtype", "NA"))
    manifest.write(tmp_path)
    back = Manifest.read(tmp_path)
    assert back.images["patient_id"].iloc[0] == "007"
    assert back.lesions["subtype"].iloc[0] == "NA"
    assert back.lesions["polygon"].iloc[0] == ""


def test_reading_where_there_is_none(tmp_path):
    with pytest.raises(InputError, match="no manifest"):
        Manifest.read(tmp_path)


def test_the_flow_closes_and_joins_reasons_that_differ_in_numbers_only():
    lost = pd.DataFrame(
        [
            ("image", "a", "store", "truncated: 5 of 10 px (a.pgm)"),
            ("image", "b", "store", "truncated: 7 of 10 px (b.pgm)"),
            ("lesion", "c", "table", "no place"),
        ],
        columns=["level", "id", "stage", "reason"],
    )
    flow = flow_table({"image": 8, "lesion": 3}, lost)
    assert flow["count"].tolist() == [10, -2, 8, 4, -1, 3]
    for _, part in flow.groupby("level"):
        assert part["count"].iloc[:-1].sum() == part["count"].iloc[-1]


def test_counts_by_hand(tiny_table):
    counts = table.read(tiny_table).counts()
    assert counts.loc["all"].to_dict() == {
        "patients": 12,
        "images": 24,
        "images_negative": 8,
        "images_benign": 10,
        "images_malignant": 8,
        "lesions_benign": 10,
        "lesions_malignant": 8,
        "lesions_unknown": 2,
    }
    assert counts.loc["test", "lesions_malignant"] == 2
    assert np.all(counts.loc[["training", "validation", "test"]].sum() == counts.loc["all"])
