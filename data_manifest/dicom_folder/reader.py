"""A hospital's export: a folder of DICOM files as an archive gives it, with or without outlines.

What the reader takes care of:

* Files are known by their content: names need no suffix, and a DICOM file may lack its preamble.
  A DICOMDIR is passed over; every other DICOM file is used, or listed with the reason.  Linked
  folders are followed.
* Patient, exam and image are named by salted hashes of their identifiers; nothing else that could
  identify anybody is read.  Paths of files stay as they are: choose folder names that identify nobody.
* One image is kept of each exam, side and view; see :func:`repeated_views`.
* `lesions.csv` of the table format may be in the folder; its `image_id` is the image's id or the
  path of its file.  Without it the manifest holds images only.  No breast is called negative.
"""

from __future__ import annotations

import filecmp
import secrets
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from data_manifest.checks import check_alike, check_manifest
from data_manifest.folders import Names, files_below
from data_manifest.images import dicom_header
from data_manifest.images.dicom_header import FILE_KINDS, VIEW_KINDS, ImageHeader, read_header
from data_manifest.images.read import is_dicom
from data_manifest.input_files import input_file
from data_manifest.manifest import LESION_COLUMNS, Manifest
from data_manifest.table.reader import (
    check_files,
    check_outlines,
    read_table,
    table_file,
    with_findings,
)
from lesionlib.errors import InputError

STAGE = "DICOM header"
SALT_MADE = (
    "was written: the secret with which ids are hashed. Keep it, since with another one all ids "
    "change, and keep it to yourself, since it traces them back"
)
LESIONS = "lesions.csv"
FACTS = ("laterality", "rows", "cols", "spacing_mm", "bits", "source")
MOST_REASONS = 10  # in one message
MERITS = ("presented", "acquired", "pixels", "series_number", "instance_number")


def read(
    folder: Path | str,
    *,
    partial: bool = False,
    accept: str | tuple[str, ...] = (),
    salt_file: str | None = None,
) -> Manifest:
    """The manifest of a folder of DICOM files, in any folders below it.

    Parameters
    ----------
    partial : go on without the lesions whose image is not in the folder; they are listed.
    accept : kinds of image that are refused unless named, one word or several: for_processing,
        secondary_capture, burned_in, orientation, laterality, modality, view, spot, magnification,
        implant, modifier.
    salt_file : secret of the hashes; the same file gives the same ids.  Default: made once next
        to the folder, ``<folder>.salt``.

    Raises
    ------
    InputError
        For an unknown kind, a salt that cannot be kept, a faulty `lesions.csv`, and where no image
        is left.
    """
    folder = Path(folder)
    accept = tuple(accept.replace(",", " ").split() if isinstance(accept, str) else accept)
    dicom_header.check_accept(accept)
    salt = _salt(folder, salt_file)
    names, passed = files_below(folder)
    names = [name for name in names if _is_dicom(folder / name)]
    files = tqdm(names, desc="DICOM headers", unit="file", disable=None)
    rows = [_image(folder, file, accept, salt) for file in files]
    rows += [{"image_id": path, "file": path, "reason": why} for path, why in passed.items()]
    if not rows:
        raise InputError("no DICOM file", folder, "Check the path of the export")
    images = pd.DataFrame(rows, dtype=object)
    for fault in (_shared_exams, _again):  # a copy in order may follow one that is not
        usable = images[images["reason"] == ""]
        if usable.empty:
            raise InputError(_none_left(images), folder, _remedy(images))
        images["reason"] = fault(folder, usable).combine_first(images["reason"])
    lesions = _lesions(folder, images, partial)
    usable = images[images["reason"] == ""]
    images["reason"] = repeated_views(usable, lesions["image_id"]).combine_first(images["reason"])
    used = images[images["reason"] == ""]
    patients = used.drop_duplicates("patient_id")
    check_alike(patients["patient_id"], patients["plain_patient"])
    exclusions = _exclusions(images, lesions)
    exclusions.loc[exclusions["id"].isin(passed), "stage"] = "files"
    lesions = lesions[lesions["image_id"].isin(used["image_id"])]
    found = check_manifest(Manifest("DICOM folder", folder, used, lesions, exclusions))
    return check_outlines(found)


def _is_dicom(file: Path) -> bool:
    """Whether a file is DICOM by its content, or cannot be opened."""
    if file.name.upper() == "DICOMDIR":
        return False
    try:
        with open(file, "rb") as data:
            return is_dicom(data.read(132))
    except OSError:  # the reading of its header says why
        return True


def repeated_views(images: pd.DataFrame, marked: pd.Series) -> pd.Series:
    """The reasons for leaving out all images but one of each exam, side and view (CC and MLO).

    Raw, processed, synthetic and reprocessed images of one exposure are treated like repeated
    exposures.  Kept is the first by this rule: one with an outline (`marked`: image ids); one for
    presentation; not a synthetic one; the one of most pixels; the one of the highest series and
    then instance number, which was made last; the one of the highest id.
    """
    plain = images[images["view"] != "other"]
    plain = plain.assign(marked=plain["image_id"].isin(marked))
    plain = plain.sort_values(["marked", *MERITS, "image_id"])
    kept = plain.groupby(["patient_id", "exam_id", "laterality", "view"])["image_id"]
    kept = kept.transform("last")
    return ("repeated view (" + kept + " is used)")[kept != plain["image_id"]]


# ------------------------------------------------------------------ parts
def _salt(folder: Path, salt_file: str | None) -> str:
    own = folder.resolve()
    place = Path(salt_file).expanduser() if salt_file else own.with_name(own.name + ".salt")
    try:
        if not place.exists() and not salt_file:
            place.touch(mode=0o600)
            place.write_text(secrets.token_hex(32) + "\n")
            print(f"{place} {SALT_MADE}", file=sys.stderr, flush=True)
        salt = input_file(place).read_text().strip()
    except (InputError, OSError, UnicodeDecodeError):
        remedy = "Write 16 letters or more into a file and name it: data.options: {salt_file: path}"
        raise InputError("no salt for the ids of patients", place, remedy) from None
    if len(salt) < 16:
        raise InputError(f"a salt of {len(salt)} letters", place, "Write 16 or more into it")
    return salt


def _image(folder: Path, file: str, accept: tuple[str, ...], salt: str) -> dict:
    """One row of the manifest, with the reason for leaving it out ("" for none) and its merits."""
    try:
        header = read_header(folder / file, salt)
    except InputError as error:
        return {"image_id": file, "file": file, "reason": error.what}
    merits = (not header.for_processing, header.source != "synth2d", header.rows * header.cols)
    row = {name: getattr(header, name) for name in FACTS} | {
        "image_id": header.instance or file,
        "patient_id": header.patient,
        "plain_patient": header.plain_patient,
        "exam_id": header.exam,
        "view": header.view or "other",
        "file": file,
        "reason": _reasons(header, accept),
    }
    row |= dict(zip(MERITS, (*merits, *header.number), strict=True))
    return row | ({"accept": " ".join(accept)} if accept else {})


def _reasons(header: ImageHeader, accept: tuple[str, ...]) -> str:
    """Why an image is left out, all reasons, with the words that accept them; "" for none."""
    found = {kind: why for kind, why in header.refusals.items() if kind not in accept}
    if "pixels" in found:  # no image at all
        return found["pixels"]
    if not (header.patient and header.exam and header.instance):
        found["ids"] = "no PatientID, StudyInstanceUID or SOPInstanceUID in the header"
    if not header.laterality:
        found["side"] = "no side, neither in the header nor in the file name"
    words = ", ".join(found) if set(found) <= {*FILE_KINDS, *VIEW_KINDS} else ""
    return "; ".join(found.values()) + f" (accept: {words})" * bool(words)


def _shared_exams(folder: Path, images: pd.DataFrame) -> pd.Series:
    """The reason for leaving out exams of several patients: which id is wrong is not known."""
    number = images.groupby("exam_id")["patient_id"].transform("nunique")
    why = "one StudyInstanceUID with several PatientIDs: anonymised one by one?"
    return pd.Series(why, images.index)[number > 1]


def _again(folder: Path, images: pd.DataFrame) -> pd.Series:
    """The reasons for leaving out what has the SOPInstanceUID of an earlier file."""
    first = images.groupby("image_id")["file"].transform("first")
    reasons = {}
    for row, file, other in zip(images.index, images["file"], first, strict=True):
        if file != other and filecmp.cmp(folder / file, folder / other, shallow=False):
            reasons[row] = "the same image a second time"
        elif file != other:
            reasons[row] = f"the SOPInstanceUID of another file, which differs ({other})"
    return pd.Series(reasons, dtype=object)


def _none_left(images: pd.DataFrame) -> str:
    groups = list(images.groupby("reason", sort=False)["file"])
    listed = [f"{reason}: {len(files)}, first {files.iloc[0]}" for reason, files in groups]
    more = [f"{len(groups) - MOST_REASONS} more reasons"] * (len(groups) > MOST_REASONS)
    shown = "; ".join([*listed[:MOST_REASONS], *more])
    return f"none of {len(images)} DICOM files can be used: {shown}"


def _remedy(images: pd.DataFrame) -> str:
    words = images["reason"].str.extract(r" \(accept: (.*)\)$")[0].dropna()
    if words.empty:
        return "Export mammograms for presentation"
    words = ", ".join(dict.fromkeys(", ".join(words).split(", ")))
    return f"Export mammograms for presentation, or set data.options: {{accept: [{words}]}}"


def _lesions(folder: Path, images: pd.DataFrame, partial: bool) -> pd.DataFrame:
    """`lesions.csv` with the ids of the images in place of their files' paths."""
    names = Names(folder)
    if not table_file(folder / LESIONS).exists():
        return pd.DataFrame(columns=list(LESION_COLUMNS))
    lesions = read_table(folder / LESIONS, LESION_COLUMNS)
    ids = dict(zip(images["file"], images["image_id"], strict=True))
    lesions["image_id"] = [ids.get(names.find(name), name) for name in lesions["image_id"]]
    lost = lesions[~lesions["image_id"].isin(images["image_id"])]
    if len(lost) and not partial:
        what = f"{len(lost)} of {len(lesions)} lesions are on images that are not in the folder"
        where = f"{LESIONS}, lesion_id {lost['lesion_id'].iloc[0]}"
        remedy = "Correct image_id (an id or a file's path), or set data.options: {partial: true}"
        raise InputError(what, where, remedy)
    lesions = with_findings(lesions)
    check_files(folder, lesions, "mask_file", LESIONS, "lesion_id", refuse=True)
    return lesions


def _exclusions(images: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Images by the path of their file, since that is how they are found, and their lesions."""
    out = images[images["reason"] != ""]
    used = set(images.loc[images["reason"] == "", "image_id"])
    reasons = dict(zip(out["image_id"], out["reason"], strict=True))
    rows = [("image", file, why) for file, why in zip(out["file"], out["reason"], strict=True)]
    for lesion, image in zip(lesions["lesion_id"], lesions["image_id"], strict=True):
        if image not in used:
            rows.append(("lesion", lesion, f"its image: {reasons.get(image, 'not in the folder')}"))
    return pd.DataFrame(rows, columns=["level", "id", "reason"]).assign(stage=STAGE)
