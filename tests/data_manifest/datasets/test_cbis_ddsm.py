"""CBIS-DDSM: its lists, layouts and masks, each trap of the set by name, and the real counts."""

import shutil
from dataclasses import replace

import cbis_tree as tree
import numpy as np
import pandas as pd
import pytest
from cbis_tree import ROIS, Roi
from made_up import reasons
from made_up_dicom import write

from data_manifest import expected_counts as expected
from data_manifest import registry
from data_manifest.cbis_ddsm import layouts, lists, masks
from data_manifest.cbis_ddsm import reader as cbis_ddsm
from data_manifest.cbis_ddsm.layouts import File
from data_manifest.images.build import source_image
from data_manifest.images.read import read_mask_levels
from data_manifest.images.store import build_store
from data_manifest.manifest import Manifest, with_findings_left_out
from data_manifest.splits import with_permuted_labels, with_splits
from lesionlib.errors import InputError

# most sets here have masses only
pytestmark = pytest.mark.filterwarnings("ignore:CBIS-DDSM. without the lists of kind calc")
DICOM = (tree.classic, tree.descriptive, tree.flat)
LAYOUTS = (*DICOM, tree.kaggle)


def sole(**changes) -> list[Roi]:
    """A set of one malignant and one benign lesion in each part; `changes` to the first."""
    first = Roi("mass", "train", "P_00001", "LEFT", "CC", 1, "MALIGNANT")
    second = Roi("mass", "test", "P_00002", "LEFT", "CC", 1, "BENIGN")
    return [replace(first, **changes), second]


# of ROIS: on films of the mass lists, and not of the mass protocol
CALCIFICATIONS = {"P_00004_LEFT_CC_calc_2", "P_00006_LEFT_CC_calc_2"}


# ------------------------------------------------------------------ the lists
def test_paths_that_end_in_a_newline_and_two_names_of_density(tmp_path):
    """Trap: newline inside the quotes; `breast_density` and `breast density`; 'N/A' is a text."""
    tree.write_lists(tmp_path)
    text = (tmp_path / "calc_case_description_test_set.csv").read_text()
    assert "breast density" in text and '.dcm\n"' in text
    rows = lists.read_lists(tmp_path, ("mass", "calc"))
    assert len(rows) == len(ROIS) and set(rows["density"]) == {"3"}
    assert set(rows["subtype"]) == {"OVAL, N/A"}
    assert rows["roi_case"].tolist()[0] == "Mass-Training_P_00001_LEFT_CC_1"
    assert not rows[["image_case", "roi_case"]].stack().str.contains(r"\s").any()


def test_one_number_with_two_pathologies_is_two_findings(tmp_path):
    """Trap: P_01623 RIGHT 1 is malignant on CC and benign on MLO."""
    rois = [
        *sole(),
        Roi("mass", "train", "P_00001", "LEFT", "MLO", 1, "BENIGN"),
        *(Roi("mass", "train", "P_00003", "LEFT", view, 1, "BENIGN") for view in ("CC", "MLO")),
    ]
    manifest = cbis_ddsm.read(tree.flat(tmp_path, rois))
    found = manifest.lesions.set_index("lesion_id")["finding_id"]
    assert found["P_00001_LEFT_CC_mass_1"] == "P_00001_LEFT_mass_1_CC"
    assert found["P_00001_LEFT_MLO_mass_1"] == "P_00001_LEFT_mass_1_MLO"
    assert found["P_00003_LEFT_CC_mass_1"] == found["P_00003_LEFT_MLO_mass_1"]
    assert manifest.lesions["pathology"].value_counts().to_dict() == {"benign": 4, "malignant": 1}


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match="no mass_case_description_train_set.csv.*Put the four"):
        cbis_ddsm.read(tmp_path)


# ------------------------------------------------------------------ which file is what
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
def test_every_layout_gives_the_same_manifest(tmp_path, layout):
    """Traps: crop and mask in one series or two, in any order, the lists' columns exchanged,
    PatientID the case's name or worse, SeriesDescription missing, side and view not in the header.
    """
    manifest = cbis_ddsm.read(layout(tmp_path))
    rois = [roi for roi in ROIS if roi.kind == "mass"]
    assert manifest.lesions["lesion_id"].tolist() == [roi.id for roi in rois]
    assert sorted(set(manifest.images["patient_id"])) == [f"P_0000{n}" for n in range(1, 7)]
    assert manifest.images["laterality"].tolist() == list("LLRLLRL")
    assert manifest.images["view"].tolist()[1] == "MLO"
    assert set(manifest.exclusions["id"]) == CALCIFICATIONS
    assert set(zip(manifest.images["rows"], manifest.images["cols"], strict=True)) == {(160, 128)}
    for roi, file in zip(rois, manifest.lesions["mask_file"], strict=True):
        levels, lossy = read_mask_levels(tmp_path / file)
        assert levels.shape == (tree.ROWS, tree.COLS), file  # a crop is smaller
        assert np.array_equal(levels > (127 if lossy else 0), tree.mask(roi) > 0), file
    assert set(manifest.images["bits"]) == {8 if layout is tree.kaggle else 16}


def test_masks_of_jpeg_are_cut_at_127(tmp_path):
    """Trap: JPEG leaves grey levels around the outline, which `> 0` would take for lesion."""
    file = cbis_ddsm.read(tree.kaggle(tmp_path)).lesions["mask_file"][0]
    levels, lossy = read_mask_levels(tmp_path / file)
    assert lossy and (levels > 0).sum() > (levels > 127).sum() == (tree.mask(ROIS[0]) > 0).sum()


def test_crops_are_never_used(tmp_path):
    """Trap: crops are stretched one by one, and their size tells the lesion's."""
    rois = sole()
    tree.flat(tmp_path, rois)
    files = layouts.find_files(tmp_path, "dicom", lists.read_lists(tmp_path, ("mass",)))
    crops = {file.path for case in files.values() for file in case if file.rows == 24}
    manifest = cbis_ddsm.read(tmp_path)
    assert len(crops) == 2
    assert not crops & {*manifest.images["file"], *manifest.lesions["mask_file"]}


def test_two_films_or_masks_of_a_case_are_not_guessed(tmp_path):
    film, mask = File("a", 9, 9, 16, 16), File("b", 9, 9, 8, 8)
    assert masks.mammogram([film, mask]) is film
    assert masks.mammogram([film, film]) is None and masks.mammogram([mask]) is None
    tree.flat(tmp_path, sole())
    again = next(f for f in tmp_path.glob("*.dcm") if f.stat().st_size < 40000 and _bits(f) == 8)
    shutil.copy(again, tmp_path / "again.dcm")
    why = "not one readable mask of 8 stored bits (2)"
    assert why in reasons(cbis_ddsm.read(tmp_path)).values()


def _bits(file):
    import pydicom

    return pydicom.dcmread(file, stop_before_pixels=True).BitsStored


@pytest.mark.parametrize(
    ("shape", "outcome"),
    [((160, 128), "as it is"), ((320, 256), "resized"), ((80, 64), "resized"), ((160, 120), "out")],
)
def test_masks_of_another_size(tmp_path, shape, outcome):
    """Trap: pure scale (50/43.5 um) may be resized; other proportions would displace the outline."""
    manifest = cbis_ddsm.read(tree.classic(tmp_path, sole(mask_shape=shape)))
    if outcome == "out":
        out = manifest.exclusions.set_index("level")
        assert out.loc["lesion", "reason"].endswith("(160 x 120, its film 160 x 128 px)")
        assert out.loc["image", "id"] == "Mass-Training_P_00001_LEFT_CC"
        return
    flags = manifest.lesions.set_index("lesion_id").get("resized", pd.Series(dtype=object))
    assert bool(flags.get("P_00001_LEFT_CC_mass_1") is np.True_) == (outcome == "resized")
    assert set(manifest.images["density"]) == {"3"}
    manifest.write(tmp_path / "kept")
    assert Manifest.read(tmp_path / "kept").lesions.equals(manifest.lesions)


def test_proportions_within_a_fifth_of_a_percent():
    """Real pairs: Mass-Test_P_00145 is a pure scale of 1.149, Calc-Test_P_00353 is not."""
    row = {"lesion_id": "x"}
    scaled = masks._shape(row, File("a", 4386, 1789, 16, 16), [File("b", 5041, 2056, 8, 8)])
    assert scaled == {"geom": "mask", "mask_file": "b", "resized": True}
    other = masks._shape(row, File("a", 4688, 3088, 16, 16), [File("b", 4624, 3056, 8, 8)])
    assert other[0] == "masks" and "proportions" in other[1]


# ------------------------------------------------------------------ protocols
def test_patients_of_both_parts_leave_the_training_part(tmp_path):
    """Trap: masses and calcifications were split apart, so 31 patients leak once both are taken."""
    manifest = cbis_ddsm.read(tree.flat(tmp_path), abnormality="pooled")
    assert reasons(manifest)["P_00006_LEFT_CC_calc_2"].startswith("training lesion of a patient")
    sides = manifest.images.groupby("patient_id")["split"].nunique()
    assert sides.max() == 1 and (manifest.images["split"] == "test").sum() == 3
    flow = manifest.flow().groupby("level")["count"]
    assert flow.first().to_dict() == {"image": 10, "lesion": 11}  # films of all lists, all rows
    closing = manifest.flow().query("reason != '' or stage == 'input'").groupby("level")["count"]
    assert closing.sum().to_dict() == {"image": len(manifest.images), "lesion": 10}


def test_a_film_stored_under_both_lists_is_one_image(tmp_path):
    """Trap: 71 films are stored twice; windows off the mass could be on a calcification."""
    manifest = cbis_ddsm.read(tree.flat(tmp_path), abnormality="pooled")
    on_it = manifest.lesions[manifest.lesions["image_id"] == "P_00004_LEFT_CC"]
    assert on_it["kind"].tolist() == ["mass", "mass", "calc"]
    why = reasons(manifest)["Calc-Training_P_00004_LEFT_CC"]
    assert why.startswith("its lesions lie on the copy")


def test_a_film_stored_twice_needs_one_of_its_files(tmp_path):
    tree.flat(tmp_path)
    rows = lists.read_lists(tmp_path, ("mass", "calc"))
    files = layouts.find_files(tmp_path, "dicom", rows)
    (tmp_path / files["Mass-Training_P_00004_LEFT_CC"][0].path).unlink()
    manifest = cbis_ddsm.read(tmp_path, abnormality="pooled", partial=True)
    image = manifest.images.set_index("image_id").loc["P_00004_LEFT_CC"]
    assert image["file"] == files["Calc-Training_P_00004_LEFT_CC"][0].path
    assert "Mass-Training_P_00004_LEFT_CC" in reasons(manifest)


def test_benign_without_callback_in_or_out(tmp_path):
    """Trap: these lesions were neither recalled nor biopsied: easy negatives, known by `truth`."""
    tree.classic(tmp_path)
    lesions = cbis_ddsm.read(tmp_path).lesions
    assert lesions["truth"].value_counts().to_dict() == {"biopsy": 6, "followup": 2}
    assert set(lesions.loc[lesions["truth"] == "followup", "pathology"]) == {"benign"}
    manifest = cbis_ddsm.read(tmp_path, benign_without_callback=False)
    assert set(manifest.lesions["truth"]) == {"biopsy"} and len(manifest.images) == 6
    why = reasons(manifest)
    assert why["P_00004_LEFT_CC_mass_3"] == "benign without callback: not biopsied"
    assert why["Mass-Training_P_00003_LEFT_CC"].startswith("no lesion left: benign without")


def test_choices_may_be_made_without_the_test_part(tmp_path):
    folder = tree.flat(tmp_path)
    whole, chosen = cbis_ddsm.read(folder), cbis_ddsm.read(folder, part="training")
    training = whole.images[whole.images["split"] != "test"]
    assert 0 < len(training) < len(whole.images)
    assert set(chosen.images["image_id"]) == set(training["image_id"])
    assert set(chosen.images["split"]) == {""}  # to be drawn, with a test part of its own
    assert not chosen.lesions["lesion_id"].str.contains("P_00005|P_00006").any()


def test_findings_left_out_on_a_film_that_stays(tmp_path):
    """Trap: a window next to the mass could be on a calcification of the other lists, on a lesion
    left out for want of a callback, or on one whose mask does not fit."""
    folder = tree.flat(tmp_path / "whole")
    left_out = with_findings_left_out(cbis_ddsm.read(folder).exclusions)
    assert left_out == {"P_00004_LEFT_CC", "P_00006_LEFT_CC"}
    for file in folder.glob("calc*.csv"):
        file.unlink()
    with pytest.warns(UserWarning, match="without the lists of kind calc"):
        assert cbis_ddsm.read(folder).exclusions.empty
        proven = cbis_ddsm.read(folder, benign_without_callback=False)
    assert "P_00004_LEFT_CC" in set(proven.images["image_id"])
    assert "P_00004_LEFT_CC" in with_findings_left_out(proven.exclusions)
    second = Roi("mass", "train", "P_00001", "LEFT", "CC", 2, "BENIGN", mask_shape=(160, 120))
    unfit = cbis_ddsm.read(tree.flat(tmp_path / "unfit", [*sole(), second]))
    assert with_findings_left_out(unfit.exclusions) == {"P_00001_LEFT_CC"}
    assert "P_00001_LEFT_CC" in set(unfit.images["image_id"])


def test_the_validation_part_comes_from_the_official_training_part(tmp_path):
    manifest = cbis_ddsm.read(tree.flat(tmp_path, _many()))
    drawn = with_splits(manifest, validation_share=0.3)
    before = manifest.images.set_index("image_id")["split"]
    after = drawn.images.set_index("image_id")["split"]
    assert (after[before == "test"] == "test").all()
    assert set(after[before == ""]) == {"training", "validation"}


def test_permuted_labels_leave_the_test_part_and_the_number_of_malignant_patients(tmp_path):
    manifest = with_splits(cbis_ddsm.read(tree.flat(tmp_path, _many())), seed=1)
    image = manifest.images.set_index("image_id")
    patient, split = (manifest.lesions["image_id"].map(image[n]) for n in ("patient_id", "split"))
    is_test, permuted = split == "test", with_permuted_labels(manifest, seed=1).lesions
    before, after = manifest.lesions["pathology"], permuted["pathology"]
    assert before[is_test].equals(after[is_test]) and not before.equals(after)
    by_patient = (after == "malignant").groupby(patient)
    assert (by_patient.nunique() == 1)[patient[~is_test].unique()].all()
    for name in ("training", "validation"):
        part = split == name
        counts = [
            (p[part] == "malignant").groupby(patient[part]).any().sum() for p in (before, after)
        ]
        assert counts[0] == counts[1] > 0
    assert list(permuted.drop(columns="pathology")) == list(
        manifest.lesions.drop(columns="pathology")
    )


def _many() -> list[Roi]:
    names = {"train": range(1, 9), "test": range(20, 24)}
    kinds = ("MALIGNANT", "BENIGN")
    return [
        Roi("mass", part, f"P_000{n:02d}", "LEFT", "CC", 1, kinds[n % 2])
        for part, numbers in names.items()
        for n in numbers
    ]


# ------------------------------------------------------------------ missing and damaged files
def test_missing_films_and_masks(tmp_path):
    tree.classic(tmp_path)
    root = tmp_path / "CBIS-DDSM"
    shutil.rmtree(root / "Mass-Training_P_00002_RIGHT_CC")
    shutil.rmtree(root / "Mass-Test_P_00005_RIGHT_MLO_1")
    words = "2 of 15 cases .*: Mass-Training_P_00002_RIGHT_CC, .*partial: true"
    with pytest.raises(InputError, match=words):
        cbis_ddsm.read(tmp_path)
    manifest = cbis_ddsm.read(tmp_path, partial=True)
    why = reasons(manifest)
    assert why["P_00002_RIGHT_CC_mass_1"] == "not one readable mammogram"
    assert why["P_00005_RIGHT_MLO_mass_1"] == "not one readable mask of 8 stored bits (0)"
    last = why["P_00005_RIGHT_MLO_mass_1"]
    assert why["Mass-Test_P_00005_RIGHT_MLO"] == f"no lesion left: {last}"
    rest = manifest.exclusions[~manifest.exclusions["id"].isin(CALCIFICATIONS)]
    assert set(rest["stage"]) == {"files"} and len(manifest.images) == 5


def test_a_folder_without_any_film_is_refused_in_one_line(tmp_path):
    tree.write_lists(tmp_path)
    for partial in (False, True):
        with pytest.raises(InputError, match="15 of 15 cases .*Complete the download") as caught:
            cbis_ddsm.read(tmp_path, partial=partial)
        assert "\n" not in str(caught.value)


def test_damaged_headers_and_other_files_in_the_folder(tmp_path):
    tree.classic(tmp_path)
    (tmp_path / "CBIS-DDSM" / "LICENSE").write_text("CC BY 3.0")
    film = next((tmp_path / "CBIS-DDSM" / "Mass-Training_P_00001_LEFT_CC").rglob("*.dcm"))
    film.write_bytes(film.read_bytes()[:300])
    why = reasons(cbis_ddsm.read(tmp_path, partial=True))
    assert why["P_00001_LEFT_CC_mass_1"] == "not one readable mammogram"
    assert len(why) == 2 + len(CALCIFICATIONS)


def test_files_of_the_other_list_are_not_even_opened(tmp_path, monkeypatch):
    tree.classic(tmp_path)
    opened = []
    header = layouts._header
    monkeypatch.setattr(layouts, "_header", lambda file: opened.append(str(file)) or header(file))
    cbis_ddsm.read(tmp_path)
    assert opened and not any("Calc-" in name for name in opened)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"abnormality": "masses"}, "abnormality = 'masses'.*did you mean 'mass'"),
        ({"layout": "tcia"}, "layout = 'tcia'"),
        ({"layout": "compact"}, "no images.csv"),
        ({"layout": "kaggle"}, "no dicom_info.csv"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        cbis_ddsm.read(tree.flat(tmp_path, sole()), **options)


# ------------------------------------------------------------------ the compact layout
def test_compact_films_stand_in_native_pixels(tmp_path):
    """Trap: the films are squeezed to a square; boxes and sizes are those of the archive's film."""
    manifest = cbis_ddsm.read(tree.compact(tmp_path))
    assert manifest.images["resized"].all() and set(manifest.images["cols"]) == {128}
    lesion = manifest.lesions.iloc[0]
    assert lesion["geom"] == "box"
    assert lesion[["x0", "y0", "x1", "y1"]].tolist() == [32, 72, 48, 88]
    assert lesion["finding_id"] == manifest.lesions["finding_id"][1] == "P_00001_LEFT_mass_1"


def test_boxes_of_unknown_lesions(tmp_path):
    """Trap: on some films it is not known which box is whose; no id and no pathology is made up."""
    rois = [*sole(), Roi("mass", "train", "P_00001", "LEFT", "CC", 2, "BENIGN", y=50)]
    lesions = cbis_ddsm.read(tree.compact(tmp_path / "mixed", rois, known=False)).lesions
    mixed = lesions[lesions["image_id"] == "P_00001_LEFT_CC"]
    assert mixed["pathology"].tolist() == ["unknown", "unknown"]
    assert mixed["finding_id"].tolist() == [f"P_00001_LEFT_CC_mass_box{k}" for k in (1, 2)]
    same = [*sole(), Roi("mass", "train", "P_00001", "LEFT", "CC", 2, "MALIGNANT", y=50)]
    lesions = cbis_ddsm.read(tree.compact(tmp_path / "same", same, known=False)).lesions
    assert lesions["pathology"].value_counts().to_dict() == {"malignant": 2, "benign": 1}


def test_the_compact_layout_has_masses_only(tmp_path):
    with pytest.raises(InputError, match="mass lists only.*abnormality: mass"):
        cbis_ddsm.read(tree.compact(tmp_path), abnormality="pooled")


def test_boxes_must_be_as_many_as_the_lists_say(tmp_path):
    tree.compact(tmp_path, sole())
    file = tmp_path / "rois.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="0 boxes for 1 lesions.*P_00002_LEFT_CC"):
        cbis_ddsm.read(tmp_path)


# ------------------------------------------------------------------ on the canvas
class Canvas:
    rows, cols, scale, background, buffer = 192, 128, 1.0, "film", 8
    grey, placement = "raw", "breast"


class Small(Canvas):
    rows, cols, scale = 512, 320, 1 / 12


def _discs(store) -> dict[str, tuple[int, float, float]]:
    """lesion_id -> area and centre (x, y) on the unflipped film."""
    found = {}
    for j, row in store.lesions.iterrows():
        points = store.to_source(int(row["image"]), store.outline(j).pixels + 0.5)
        found[row["lesion_id"]] = (row["area_px"], *points.mean(axis=0)[::-1].round(2))
    return found


@pytest.mark.parametrize("layout", [tree.classic, tree.kaggle], ids=lambda f: f.__name__)
def test_outlines_on_the_canvas(tmp_path, layout):
    store = build_store(cbis_ddsm.read(layout(tmp_path / "set")), tmp_path / "store", Canvas)
    area = int((tree.mask(ROIS[0]) > 0).sum())
    discs = _discs(store)
    assert len(store) == 7 and {a for a, _, _ in discs.values()} == {area}
    for roi in (r for r in ROIS if r.kind == "mass"):
        x = roi.x if roi.side == "LEFT" else tree.COLS - roi.x
        assert discs[roi.id][1:] == (x, roi.y)
    assert store.images["flipped"].tolist() == [False, False, True, False, False, True, False]


def test_a_resized_mask_lies_where_its_film_has_it(tmp_path):
    folder = tree.classic(tmp_path / "set", sole(mask_shape=(320, 256), y=70))
    discs = _discs(build_store(cbis_ddsm.read(folder), tmp_path / "store", Canvas))
    area, x, y = discs["P_00001_LEFT_CC_mass_1"]
    assert abs(area - np.pi * 64) < 12 and abs(x - 40) < 0.6 and abs(y - 70) < 0.6


def test_squeezed_films_get_their_proportions_back(tmp_path):
    manifest = cbis_ddsm.read(tree.compact(tmp_path / "set"))
    store = build_store(manifest, tmp_path / "store", Canvas)
    image = store.images.iloc[0]
    source = source_image(manifest, image["image_id"], Canvas)
    assert source.sha256 == image["sha256"] and source.pixels.shape == (tree.ROWS, tree.COLS)
    assert (image["source_rows"], image["source_cols"]) == (tree.ROWS, tree.COLS)
    wide, high = (image[f"breast_{k}1"] - image[f"breast_{k}0"] for k in ("col", "row"))
    assert abs(high - 0.9 * tree.ROWS) < 8 and abs(wide - 0.8 * tree.COLS) < 8
    assert _discs(store)["P_00001_LEFT_CC_mass_1"] == (256, 40, 80)


# ------------------------------------------------------------------ the real set
def _all_there(folder, series):
    """Every file of the lists, each of one size: for the counts, which need no pixel."""
    for case in dict.fromkeys(series.values()):
        mask = case[-1].isdigit()
        yield case, File(f"{case}.dcm", 4000, 3000, 8 if mask else 16, 8 if mask else 16)


@pytest.fixture(scope="module")
def official(real_data):
    """read(**options) -> manifest of the official lists, as if every file were there."""
    folder = real_data("cbis_ddsm") / "official_csv"
    found = {}

    def read(**options):
        key = str(options)
        if key not in found:
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(layouts.FINDERS, "dicom", _all_there)
                found[key] = registry.read("cbis_ddsm", folder, **options)
        return found[key]

    return read


def _rows(manifest: Manifest, split: str) -> tuple[int, ...]:
    """Lesions, malignant, benign, of them without callback, patients and images of a part."""
    images = manifest.images[manifest.images["split"] == split]
    rows = manifest.lesions[manifest.lesions["image_id"].isin(images["image_id"])]
    kinds = [(rows["pathology"] == kind).sum() for kind in ("malignant", "benign")]
    callback = (rows["truth"] == "followup").sum()
    return len(rows), *kinds, callback, images["patient_id"].nunique(), len(images)


def test_the_official_counts_of_the_mass_and_calc_protocols(official):
    mass, calc = official(abnormality="mass"), official(abnormality="calc")
    assert _rows(mass, "") == (1318, 637, 577 + 104, 104, 691, 1231)
    assert _rows(mass, "test") == (378, 147, 194 + 37, 37, 201, 361)
    assert _rows(calc, "") == (1546, 544, 528 + 474, 474, 602, 1227)
    assert _rows(calc, "test") == (326, 129, 130 + 67, 67, 151, 284)


def test_the_official_counts_of_the_pooled_protocol(official):
    """31 patients leave training, 71 films are merged, and everything listed is accounted for."""
    known = expected.compare("cbis_ddsm", official(abnormality="pooled").counted)
    assert known["equal"].all() and known["found"].notna().all()
    pooled = official(abnormality="pooled")
    assert _rows(pooled, "")[:5] == (2781, 1145, 1088 + 548, 548, 1217)
    assert _rows(pooled, "test") == (704, 276, 324 + 104, 104, 349, 641)
    part = pooled.images.groupby("split")["patient_id"].agg(set)
    assert not part[""] & part["test"] and pooled.images["image_id"].is_unique
    flow = pooled.flow()
    assert flow.loc[flow["stage"] == "input", "count"].tolist() == [3103, 3568]
    lost = pooled.exclusions.groupby(["level", "stage"]).size()
    assert lost["lesion"].to_dict() == {"protocol": 83}
    assert lost["image", "same film twice"] == 71 - 29
    without = official(abnormality="pooled", benign_without_callback=False)
    assert _rows(without, "test")[:4] == (600, 276, 324, 0)


def test_the_series_of_the_lists(real_data):
    """6,775 series make the whole set, as the archive counts them."""
    for kinds, number in ((("mass",), 3391), (("mass", "calc"), 6775)):
        rows = lists.read_lists(real_data("cbis_ddsm") / "official_csv", kinds)
        assert len({*rows["image_series"], *rows["roi_series"].explode()}) == number


def test_the_ids_of_doubtful_lesions(official):
    finding = official(abnormality="mass").lesions.set_index("lesion_id")["finding_id"]
    apart = finding[finding.str.contains("_mass_[0-9]+_(?:CC|MLO)$")]
    lesions = ("P_00419_LEFT_mass_1", "P_00419_LEFT_mass_2", "P_01623_RIGHT_mass_1")
    assert sorted(apart) == [f"{lesion}_{view}" for lesion in lesions for view in ("CC", "MLO")]


def test_what_the_compendium_says_of_the_set(official):
    """The ids in data_manifest/ are those that the reader uses and leaves out."""
    place = expected.DATA_MANIFEST / "cbis_ddsm"
    splits = pd.read_csv(place / "splits.csv", keep_default_na=False).set_index("patient_id")
    for protocol in lists.PROTOCOLS:
        images = official(abnormality=protocol).images.drop_duplicates("patient_id")
        part = images.set_index("patient_id")["split"].replace("", "train")
        listed = splits[protocol][splits[protocol] != ""]
        assert listed.sort_index().to_dict() == part.sort_index().to_dict()
    excluded = pd.read_csv(place / "excluded_pooled.csv")
    ours = official(abnormality="pooled").exclusions[list(excluded)]
    assert excluded.equals(ours.astype(object))
    gone = excluded.loc[excluded["level"] == "lesion", "id"].str[:7].unique()
    assert len(gone) == 31 and {"P_00016", "P_00969", "P_01883"} < set(gone)


def test_the_real_compact_package(real_data):
    manifest = registry.read("cbis_ddsm", real_data("cbis_ddsm"))
    assert len(manifest.images) == 1592 and len(manifest.exclusions) == 100
    assert manifest.exclusions["id"].str.contains("_calc_").all()
    assert manifest.exclusions["image_id"].nunique() == 71, "films with a mass and a calcification"
    kinds = manifest.lesions["pathology"].value_counts().to_dict()
    assert kinds == {"benign": 908, "malignant": 780, "unknown": 8}
    rois = pd.read_csv(real_data("cbis_ddsm") / "rois.csv", dtype=str, keep_default_na=False)
    named = {"malignant": "MALIGNANT", "unknown": ""}
    for kind, word in named.items():
        ours = manifest.lesions[manifest.lesions["pathology"] == kind]
        theirs = rois[rois["pathology"] == word]
        assert sorted(ours["x0"]) == sorted(theirs["native_x"].astype(float))
        assert sorted(ours["image_id"]) == sorted(theirs["image_id"])


def test_chest_walls_of_real_films_with_their_proportions_back(real_data, tmp_path):
    """Trap: three films in ten are mirrored; the edge is found in the pixels."""
    folder = real_data("cbis_ddsm")
    manifest = cbis_ddsm.read(folder)
    known = pd.read_csv(folder / "images.csv").set_index("image_id")
    chosen = manifest.images.iloc[::450]
    assert known.loc[chosen["image_id"], "mirrored"].nunique() == 2
    lesions = manifest.lesions[manifest.lesions["image_id"].isin(chosen["image_id"])]
    few = Manifest("few", folder, chosen, lesions)
    store = build_store(few, tmp_path, Small)
    flipped = store.images.set_index("image_id")["flipped"].map({True: "right", False: "left"})
    assert flipped.to_dict() == known.loc[flipped.index, "chest_wall_at"].to_dict()
    assert (store.lesions["on_breast"] > 0.9).all() and store.exclusions.empty
    assert (store.lesions["on_canvas"] == 1).all(), "none is cut: rounding to px is no cut"


def test_real_dicom_films_in_a_folder_of_random_names(real_data, tmp_path):
    """The SeriesInstanceUID of the real files is the one that the lists name, and a film takes the
    same place on its canvas whether it comes from the archive or squeezed."""
    folder, compact = tmp_path / "dicom", real_data("cbis_ddsm")
    folder.mkdir()
    for n, (side, size) in enumerate({"LEFT": (4736, 2624), "RIGHT": (4688, 2592)}.items()):
        film = real_data("cbis_dicom") / f"Mass-Test_P_00820_{side}_CC.dcm"
        (folder / f"{n}.dcm").symlink_to(film)
        case = f"Mass-Test_P_00820_{side}_CC_1"
        mask = np.zeros(size, np.uint8)
        mask[2200:2500, 1000:1200] = 255
        tree.write_dicom(folder / case / "1-2.dcm", mask, "1.2.3", case)
        tree.write_dicom(folder / case / "1-1.dcm", np.zeros((9, 9), np.uint16), "1.2.3", case)
    for file in (compact / "official_csv").glob("mass*"):
        shutil.copy(file, folder)
    manifest = registry.read("cbis_ddsm", folder, partial=True)
    assert manifest.images["file"].tolist() == ["0.dcm", "1.dcm"]
    assert manifest.lesions["pathology"].tolist() == ["malignant", "benign"]
    lost = manifest.exclusions["level"].value_counts()
    assert lost.to_dict() == {"lesion": 1696 - 2, "image": 1592 - 2}
    squeezed = cbis_ddsm.read(compact)
    few = squeezed.images[squeezed.images["image_id"].isin(manifest.images["image_id"])]
    lesions = squeezed.lesions[squeezed.lesions["image_id"].isin(few["image_id"])]
    pair = manifest, Manifest("few", compact, few, lesions)
    stores = [build_store(m, tmp_path / f"store{k}", Small) for k, m in enumerate(pair)]
    names = [f"breast_{where}" for where in ("row0", "col0", "row1", "col1")]
    apart = stores[0].images[names] - stores[1].images[names]
    assert apart.abs().to_numpy().max() <= 6, "px of a canvas of 512 x 320"
    assert stores[0].images["flipped"].equals(stores[1].images["flipped"])
    assert len(stores[0].lesions) == 2


@pytest.mark.filterwarnings("error")
def test_a_warning_does_not_quote_the_header(tmp_path):
    write(tmp_path / "a.dcm", SeriesInstanceUID="1.2.345678")
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(content.replace(b"1.2.345678", b"SECRETSECR"))
    assert layouts._header(tmp_path / "a.dcm")["Rows"] == 8
