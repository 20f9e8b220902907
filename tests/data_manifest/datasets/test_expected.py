"""Expected counts: one file a data set, one comparison for all readers."""

import json

import pytest

from data_manifest import expected_counts as expected
from lesionlib.errors import InputError

COUNTS = {"about": "counted by hand", "images": 4, "lesions": {"benign": 2, "malignant": 1}}


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(expected, "DATA_MANIFEST", tmp_path)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "expected_counts.json").write_text(json.dumps(COUNTS))


def test_every_count_stands_beside_the_expected_one(made):
    table = expected.compare("made", {"lesions": {"benign": 3}, "images": 4, "views": ["CC"]})
    assert table.to_numpy().tolist() == [
        ["images", 4, 4, True],
        ["lesions.benign", 2, 3, False],
        ["lesions.malignant", 1, None, True],  # not counted: not checked
        ["views", None, ["CC"], True],
    ]


def test_the_first_count_that_differs_is_refused(made):
    expected.check("made", {"images": 4, "lesions": {"benign": 2}})
    with pytest.raises(InputError, match=r"lesions.benign = 3, expected 2 \(2 such counts\)"):
        expected.check("made", {"images": 4, "lesions": {"benign": 3, "malignant": 0}})


def test_a_set_without_a_list_is_not_checked(made):
    assert expected.compare("other", {"images": 4}).empty
    expected.check("other", {"images": 4})
