"""Maps of another context network: put in order by image, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlib.errors import InputError
from study.steps.saliency_file import read_saliency

IDS = ["a", "b", "c"]
MAPS = np.arange(36).reshape(3, 2, 3, 2) / 36


@pytest.fixture
def write(tmp_path):
    def _write(**arrays):
        np.savez(tmp_path / "maps.npz", **arrays)
        return tmp_path / "maps.npz"

    return _write


def test_maps_follow_the_images_whatever_their_order_in_the_file(write):
    file = write(maps=MAPS, image_id=["c", "a", "b"])
    found = read_saliency(file, ["a", "b"], (3, 2))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, MAPS[[1, 2]])


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"maps": MAPS}, "no array image_id.*np.savez"),
        ({"maps": MAPS[:, :1], "image_id": IDS}, r"shape \(3, 1, 3, 2\).*not \(3, 2, 3, 2\)"),
        ({"maps": MAPS[:2], "image_id": IDS}, "for 3 image_id"),
        ({"maps": MAPS[..., :1], "image_id": IDS}, "on the cells of the canvas"),
        ({"maps": MAPS, "image_id": ["a", "b", "x"]}, "1 of 3 images have no map, first c"),
        ({"maps": MAPS, "image_id": ["a", "b", "b"]}, "image b has two maps"),
        ({"maps": MAPS * 2, "image_id": IDS}, "reach from 0 to 1.94.*sigmoid"),
        ({"maps": np.full_like(MAPS, np.nan), "image_id": IDS}, "reach from nan"),
        ({"maps": MAPS.astype(str), "image_id": IDS}, "maps of type"),
        ({"maps": np.array([None]), "image_id": IDS}, "plain arrays"),
    ],
)
def test_what_is_refused(write, arrays, message):
    with pytest.raises(InputError, match=message) as caught:
        read_saliency(write(**arrays), IDS, (3, 2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no maps", None])
def test_files_that_are_none(tmp_path, content):
    file = tmp_path / "maps.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match="plain arrays|no maps.npz"):
        read_saliency(file, IDS, (3, 2))
    np.save(tmp_path / "maps.npy", MAPS)
    with pytest.raises(InputError, match="plain arrays"):
        read_saliency(tmp_path / "maps.npy", IDS, (3, 2))
