"""The manifest: its schema, its checks, its splits and its way to disk and back."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

from data_manifest.checks import check_manifest, warnings_of
from data_manifest.manifest import (
    IMAGE_COLUMNS,
    LESION_COLUMNS,
    TABLES,
    Manifest,
    exclusion,
    flow_table,
)
from data_manifest.splits import check_splits, count_by_split, with_folds, with_splits
from data_manifest.table import reader as table
from lesionlib.errors import InputError


def make(patients=12, **changes):
    """Two views a patient; every third patient malignant, benign, negative."""
    images, lesions = [], []
    for p, view in product(range(patients), ("CC", "MLO")):
        kind, name = ("malignant", "benign", "negative")[p % 3], f"p{p}_{view}"
        image = dict(image_id=name, patient_id=f"p{p}", laterality="L", view=view)
        image |= dict(file=f"{name}.png", rows=100, cols=80, negative=kind == "negative")
        images.append(image)
        if kind != "negative":
            lesion = dict(lesion_id=f"l{p}_{view}", finding_id=f"l{p}", image_id=name)
            lesions.append(lesion | dict(pathology=kind, geom="circle", cx=30.0, cy=40.0, r=5.0))
    frames = {"images": pd.DataFrame(images), "lesions": pd.DataFrame(lesions)}
    for where, change in changes.items():
        frames[where] = change(frames[where])
    return Manifest("made", ".", **frames)


def setting(column, value, row=0):
    def change(frame):
        values = frame.get(column, pd.Series(None, frame.index)).astype(object)
        values[row] = value
        return frame.assign(**{column: values})

    return change


def test_every_manifest_has_all_columns_with_their_types():
    manifest = check_manifest(make())
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
        ("images", "image_id", "x" * 65, "xx' is not of the form"),
        ("images", "laterality", "X", "laterality = 'X' is not one of L, R"),
        ("images", "view", "ML", "one of CC, MLO, other"),
        ("images", "split", "train", "split = 'train' is not one of"),
        ("images", "polarity", "RGB", "polarity = 'RGB' is not one of MONOCHROME1"),
        ("images", "source", "mri", "source = 'mri' is not one of film"),
        ("images", "chest_wall", "top", "chest_wall = 'top' is not one of left, right, auto"),
        ("images", "rows", -1, "rows = '-1' is not within 0 to 65535"),
        ("images", "cols", 65536, "cols = '65536' is not within 0 to 65535"),
        ("images", "bits", 20, "bits = '20' is not within 8 to 16"),
        ("images", "bits", 7, "bits = '7' is not within 8 to 16"),
        ("images", "spacing_mm", 5.0, "spacing_mm = '5.0' is not within 0.02 to 0.3"),
        ("images", "spacing_mm", 0.01, "spacing_mm = '0.01' is not within 0.02 to 0.3"),
        ("images", "patient_id", "", "patient_id = '' is not filled in"),
        ("images", "file", "", "file = '' is not filled in"),
        ("lesions", "lesion_id", "", "lesion_id = '' is not filled in"),
        ("lesions", "finding_id", "", "finding_id = '' is not filled in"),
        ("lesions", "pathology", "cancer", "one of benign, malignant, unknown"),
        ("lesions", "truth", "rumour", "truth = 'rumour' is not one of biopsy"),
        ("lesions", "kind", "lump", "kind = 'lump' is not one of mass"),
        ("lesions", "geom", "dot", "geom = 'dot' is not one of mask"),
        ("lesions", "lesion_id", "l0_MLO", "lesion_id 'l0_MLO' occurs more than once"),
        ("lesions", "image_id", "nowhere", "unknown image 'nowhere'"),
        ("images", "negative", True, "image p0_CC is negative, but its breast has a lesion"),
        ("lesions", "pathology", "benign", "finding l0 has 2 pathologies, benign and malignant"),
        (
            "images",
            "laterality",
            "R",
            "finding l0 is on films of 2 sides, L and R (1 such findings)",
        ),
        ("lesions", "r", 0.0, "circle cx=30 cy=40 r=0 (lesion l0_CC on image p0_CC)"),
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
        check_manifest(broken)
    text = str(caught.value)
    assert words in text and "\n" not in text and caught.value.remedy


def test_the_other_view_of_a_breast_with_a_lesion_is_not_negative():
    one_view = check_manifest(make(lesions=lambda f: f[f["lesion_id"] != "l0_MLO"]))
    marked = replace(one_view, images=setting("negative", True, row=1)(one_view.images))
    with pytest.raises(InputError, match="image p0_MLO is negative"):
        check_manifest(marked)
    # patient 2 has no lesion: one that was left out on the CC view makes neither view negative
    left_out = pd.DataFrame([exclusion("lesion", "x", "reader", "left out", "p2_CC")])
    with pytest.raises(InputError, match="image p2_CC is negative.*2 such images"):
        check_manifest(replace(make(), exclusions=left_out))


@pytest.mark.parametrize("other", [{"laterality": "R"}, {"exam_id": "later"}, {"patient_id": "p"}])
def test_another_breast_exam_or_patient_may_be_negative(other):
    """The trap's other side: p0's MLO becomes a breast of its own; an empty word is no negative."""
    one_view = make(lesions=lambda f: f[f["lesion_id"] != "l0_MLO"])
    images = one_view.images
    images.loc[1, ["negative", *other]] = [True, *other.values()]
    images.loc[0, "negative"] = pd.NA
    check_manifest(replace(one_view, images=images))


def test_a_finding_of_unknown_pathology_on_one_view_is_that_of_the_other():
    check_manifest(make(lesions=setting("pathology", "unknown")))


def test_a_manifest_without_images_is_refused():
    with pytest.raises(InputError, match="no images"):
        check_manifest(Manifest("none", ".", pd.DataFrame(), pd.DataFrame()))


def test_a_patient_in_two_splits_is_refused():
    images = make().images.assign(split="training")
    images.loc[0, "split"] = "test"
    broken = Manifest("made", ".", images, make().lesions)
    with pytest.raises(InputError, match="patient p0 is in 2 splits, test and training"):
        check_manifest(broken)
    with pytest.raises(InputError, match="p0 is in 2 splits"):
        check_splits(broken)
    with pytest.raises(InputError, match="p0 is in 2 splits"):
        with_splits(broken)
    images["split"] = ""
    images.loc[0, "split"] = "test"  # of the other view the set says nothing
    check_manifest(replace(broken, images=images))


ALIKE = [("0012", "12"), ("P7", "p7"), ("Zo\u00eb1", "Zoe\u03081"), ("A 3", "A\u00a03")]
ALIKE += [("17", "17.0"), ("P007", "P7"), (" x1", "x1\u200b"), ("\uff17", "7")]
ALIKE += [("Mu\u0308 01", "M\u00dc1")]


@pytest.mark.parametrize("ids", ALIKE)
@pytest.mark.parametrize("refuse", [check_manifest, with_splits, check_splits])
def test_two_spellings_of_one_patient_are_refused(ids, refuse):
    """They would go into two splits."""
    renamed = make(
        images=lambda f: f.replace({"patient_id": dict(zip(("p0", "p4"), ids, strict=True))})
    )
    with pytest.raises(InputError) as caught:
        refuse(renamed)
    assert " and ".join(map(ascii, sorted(ids))) in str(caught.value)


@pytest.mark.parametrize("ids", [("1.20", "1.2"), ("A10", "A1"), ("p1-7", "p17"), ("10", "1")])
def test_ids_that_differ_in_more_are_two_patients(ids):
    check_manifest(
        make(images=lambda f: f.replace({"patient_id": dict(zip(("p0", "p4"), ids, strict=True))}))
    )


@pytest.mark.parametrize("refuse", [check_manifest, with_splits, check_splits])
def test_an_exam_of_two_patients_is_refused(refuse):
    split = pd.Series(["training"] * 8 + ["validation"] * 8 + ["test"] * 8)
    exams = split.index.to_series().floordiv(4).map("e{}".format)
    with pytest.raises(InputError, match="exam e0 is of 2 patients, p0 and p1 .6 such exams"):
        refuse(make(images=lambda f: f.assign(exam_id=exams, split=split)))


LOST = "nan None <NA> 1.23E+17 1,23457e+17 1.2E17 #NAME? #DIV/0! #N/A #NV #### 2-Jan".split()
LOST += [
    "01. Feb",
    "4. Mrz",
    "Mrz 04",
    "04-janv",
    "déc.-04",
    "3-ago",
    "mei-21",
    "Mai 12",
    "2012-02-01 00:00:00",
    "#\u00dcBERLAUF!",
]


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize(
    ("where", "column"),
    [("images", "patient_id"), ("images", "exam_id"), ("lesions", "finding_id")],
)
def test_ids_that_were_lost_in_a_table_are_refused(where, column, name):
    """They make one of all patients, or of all findings."""
    with pytest.raises(InputError, match="formatted as text"):
        check_manifest(make(**{where: setting(column, name)}))


@pytest.mark.parametrize(
    "name", "NA #12 1e23 3E5 1.5 May 12-Martin N\u00ba7 nana set-1 mag-2".split()
)
def test_ids_that_look_odd_are_taken(name):
    check_manifest(make(images=lambda f: f.replace({"patient_id": {"p0": name}})))


@pytest.mark.parametrize("draw", [with_splits, check_splits, lambda m: with_folds(m, 3, 0)])
def test_one_patient_with_most_images_is_told_as_that(draw):
    most = make(images=lambda f: f.assign(patient_id=["one"] * 14 + [f"p{k}" for k in range(10)]))
    with pytest.raises(InputError, match="patient one has 14 of 24 images .*id of her own"):
        draw(replace(most, images=most.images.assign(split="training")))
    told = warnings_of(most)
    assert told.iloc[0, :2].tolist() == ["patient", "one"] and "has most" in told["warning"][0]
    few = make(3, images=lambda f: f.assign(patient_id=["one"] * 4 + ["p", "p"]))
    assert "patient" not in set(warnings_of(few)["level"])


ONE_KIND = [
    ("malignant", "split test has 0 malignant and [1-9]"),
    ("benign", "[1-9] malignant and 0 "),
]


@pytest.mark.parametrize(("kind", "words"), ONE_KIND)
def test_a_test_split_with_one_kind_is_refused(kind, words):
    manifest = with_splits(make(30), 0.2, 0.3, seed=3)
    of_kind = set(manifest.lesions.loc[manifest.lesions["pathology"] == kind, "image_id"])
    images = manifest.images.copy()
    moved = images["image_id"].isin(of_kind) & (images["split"] == "test")
    images.loc[moved, "split"] = "training"
    with pytest.raises(InputError, match=words):
        check_splits(replace(manifest, images=images))
    unknown = replace(manifest, lesions=manifest.lesions.assign(pathology="unknown"))
    with pytest.raises(InputError, match="none of 40 lesions has a known pathology"):
        check_splits(unknown)
    with pytest.raises(InputError, match="60 of 60 images have no split"):
        check_splits(make(30))


def test_splits_are_patient_disjoint_stratified_and_of_the_asked_size():
    manifest = with_splits(make(60), 0.15, 0.25, seed=1)
    per_patient = manifest.images.groupby("patient_id")["split"].nunique()
    assert (per_patient == 1).all()
    counts = count_by_split(manifest.images, manifest.lesions)
    assert counts["patients"].tolist() == [36, 9, 15, 60]  # of each stratum of 20: 12, 3, 5
    assert counts["lesions_malignant"].tolist() == [24, 6, 10, 40]
    assert counts["images_negative"].tolist() == [24, 6, 10, 40]


def test_splits_depend_on_the_seed_and_on_nothing_else():
    first, same = with_splits(make(60), seed=1), with_splits(make(60), seed=1)
    assert first.images["split"].equals(same.images["split"])
    assert not first.images["split"].equals(with_splits(make(60), seed=2).images["split"])
    turned = with_splits(make(60, images=lambda f: f.iloc[::-1]), seed=1)
    by_id = turned.images.set_index("image_id")["split"]
    assert (first.images["image_id"].map(by_id) == first.images["split"]).all()


def test_the_splits_that_a_set_brings_are_kept():
    manifest = make(60)
    images = manifest.images.copy()
    official = images["patient_id"].isin([f"p{p}" for p in range(30)])
    images.loc[official & (images["view"] == "CC"), "split"] = "test"  # one view names it
    drawn = with_splits(replace(manifest, images=images), 0.2, 0.25, seed=1).images
    assert (drawn.loc[official, "split"] == "test").all()
    assert (drawn.loc[~official, "split"] == "validation").sum() == 2 * 3 * 2
    assert not (drawn.loc[~official, "split"] == "test").any()


def official(manifest, training, test):
    """The manifest with an official split: patient numbers to training and to test."""
    number = manifest.images["patient_id"].str[1:].astype(int)
    split = np.where(number.isin(training), "training", np.where(number.isin(test), "test", ""))
    return replace(manifest, images=manifest.images.assign(split=split))


def test_validation_is_taken_from_the_official_training_part():
    """The trap: a set with training and test alone would have no validation part at all."""
    brought = official(make(60), range(30), range(30, 60))
    drawn = with_splits(brought, 0.2, 0.25, seed=1)
    moved = drawn.images["split"] != brought.images["split"]
    assert set(brought.images.loc[moved, "split"]) == {"training"}
    assert set(drawn.images.loc[moved, "split"]) == {"validation"}
    counts = count_by_split(drawn.images, drawn.lesions)
    assert counts["patients"].tolist() == [24, 6, 30, 60]  # 2 of 10 in each stratum
    assert counts["lesions_malignant"].tolist() == [16, 4, 20, 40]
    again = with_splits(brought, 0.2, 0.25, seed=1).images["split"]
    assert again.equals(drawn.images["split"])


def test_patients_without_a_split_join_an_official_training_part_but_not_the_test():
    drawn = with_splits(official(make(60), range(18), range(18, 36)), 0.25, 0.25, seed=1)
    assert (drawn.images["split"] == "test").sum() == 2 * 18
    counts = count_by_split(drawn.images, drawn.lesions)
    assert counts["patients"].tolist() == [30, 12, 18, 60]  # 2 of 6 and 2 of 8 in each stratum


def test_an_official_validation_part_is_kept():
    images = official(make(60), range(30), range(30, 60)).images
    images.loc[images["patient_id"].isin(["p0", "p1", "p2"]), "split"] = "validation"
    drawn = with_splits(replace(make(60), images=images), seed=1)
    assert drawn.images["split"].equals(images["split"])


def test_folds_test_every_patient_once_and_are_even_in_every_stratum():
    manifest = make(62)  # 21 malignant, 21 benign, 20 negative patients
    tested = []
    for fold in range(5):
        drawn = with_folds(manifest, 5, fold, validation_share=0.25, seed=1)
        assert (drawn.images.groupby("patient_id")["split"].nunique() == 1).all()
        counts = count_by_split(drawn.images, drawn.lesions)
        assert counts.loc["test", "patients"] in (12, 13)
        assert counts.loc["test", "lesions_malignant"] in (2 * 4, 2 * 5)
        assert counts.loc["test", "images_negative"] == 2 * 4
        assert counts.loc["validation", "images_negative"] == 2 * 4  # a quarter of 16 patients
        tested += sorted(drawn.images.loc[drawn.images["split"] == "test", "patient_id"].unique())
    assert sorted(tested) == sorted(manifest.images["patient_id"].unique())


def test_folds_put_the_splits_of_the_set_aside_and_depend_on_the_seed_alone():
    brought = official(make(60), range(30), range(30, 60))
    folded = with_folds(brought, 5, 2, seed=1).images["split"]
    assert folded.equals(with_folds(make(60), 5, 2, seed=1).images["split"])
    assert not folded.equals(with_folds(make(60), 5, 2, seed=2).images["split"])


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (5, 5), (5, -1)])
def test_folds_that_do_not_exist_are_refused(folds, fold):
    with pytest.raises(InputError, match=f"fold {fold} of {folds}"):
        with_folds(make(), folds, fold)


def test_warnings_are_collected_and_leave_the_manifest_valid():
    assert warnings_of(make(images=lambda f: f.assign(spacing_mm=0.1))).empty
    mixed = make(images=lambda f: f.assign(spacing_mm=[0.1, 0.05, 0.085] + [0.1] * (len(f) - 3)))
    assert warnings_of(mixed)["id"].tolist() == [mixed.images["image_id"][1]]
    shapes = [
        {"geom": "circle", "cx": 30.0, "cy": 4.5, "r": 5.0},  # over the upper edge by half a px
        {"geom": "box", "x0": 70.0, "y0": 10.0, "x1": 80.0, "y1": 20.0},  # just up to the edge
        {"geom": "box", "x0": 70.0, "y0": 10.0, "x1": 81.0, "y1": 20.0},
        {"geom": "polygon", "polygon": "-1 10;10 10;10 20"},
        {"geom": "box", "x0": 70.0, "y0": 91.0, "x1": 80.0, "y1": 101.0},
        {"geom": "mask", "mask_file": "m.png", "x0": -5.0},
        {"geom": "box", "x0": 70.0, "y0": 10.0, "x1": 81.0, "y1": 20.0},  # of no stated size
    ]

    def reshaped(frame):
        return frame.drop(columns=["geom", "cx", "cy", "r"]).iloc[:7].assign(**pd.DataFrame(shapes))

    def images(frame):
        frame = setting("spacing_mm", None, row=3)(frame.assign(spacing_mm=0.1))
        return setting("rows", 0, row=8)(frame)

    manifest = make(images=images, lesions=reshaped)
    found = warnings_of(check_manifest(manifest)).to_numpy().tolist()
    cut = "the outline is cut at the edge of its image"
    lesions = [["lesion", name, cut] for name in ("l0_CC", "l1_CC", "l1_MLO", "l3_CC")]
    assert found == [["image", "p1_MLO", "spacing_mm is empty"], *lesions]
    outlines = pd.DataFrame({"lesion_id": ["l0_CC", "l0_MLO"], "on_breast": [0.8, 0.79]})
    more = warnings_of(manifest, outlines).to_numpy().tolist()[len(found) :]
    assert more == [["lesion", "l0_MLO", "over 20% of the outline is off the breast"]]


def test_a_set_that_states_no_spacing_has_one_warning_an_image_and_none_of_numpy(recwarn):
    found = warnings_of(make(images=lambda frame: frame.assign(spacing_mm=None)))
    assert set(found["warning"]) == {"spacing_mm is empty"} and len(found) == 24
    assert not recwarn.list


def test_shares_that_leave_no_training_are_refused():
    with pytest.raises(InputError, match="leave no training"):
        with_splits(make(), 0.5, 0.5)


def test_write_and_read_give_the_same_manifest(tiny_table, tmp_path):
    manifest = table.read(tiny_table)
    manifest.write(tmp_path / "m")
    back = Manifest.read(tmp_path / "m")
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(back, name), getattr(manifest, name))
    assert (back.name, back.root) == (manifest.name, manifest.root)
    check_manifest(back)
    replace(manifest, counted={"images": 24}).write(tmp_path / "m")
    assert Manifest.read(tmp_path / "m").counted == {"images": 24}


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
    lost = [
        exclusion("image", k, "store", f"truncated: {n} of 10 px ({k}.pgm)")
        for k, n in ("a5", "b7")
    ]
    lost = pd.DataFrame([*lost, exclusion("lesion", "c", "table", "no place")])
    flow = flow_table({"image": 8, "lesion": 3}, lost)
    assert flow["count"].tolist() == [10, -2, 8, 4, -1, 3]
    for _, part in flow.groupby("level"):
        assert part["count"].iloc[:-1].sum() == part["count"].iloc[-1]


def test_counts_by_hand(tiny_table):
    manifest = table.read(tiny_table)
    counts = count_by_split(manifest.images, manifest.lesions)
    known = {"patients": 12, "images": 24, "images_negative": 8, "images_benign": 10}
    known |= {"images_malignant": 8, "lesions_benign": 10, "lesions_malignant": 8}
    assert counts.loc["all"].to_dict() == known | {"lesions_unknown": 2}
    assert counts.loc["test", "lesions_malignant"] == 2
    assert np.all(counts.loc[["training", "validation", "test"]].sum() == counts.loc["all"])
