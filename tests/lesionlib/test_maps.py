"""The stack X: order, the hard mask of E, names."""

import subprocess
import sys

import pytest
import torch

from lesionlib.errors import InputError
from lesionlib.maps import COMBINATIONS, channels, embed, stack

N, H, W = 3, 4, 5
LOCATION = torch.zeros(N, H, W)
LOCATION[0, 1, 2], LOCATION[0, 1, 3], LOCATION[1, 0, 0] = (
    1.0,
    1e-6,
    0.25,
)  # window 2 reaches nothing
SALIENCY = torch.stack([torch.full((N, H, W), 0.7), torch.full((N, H, W), 0.2)], dim=1)
REPRESENTATION = torch.arange(1.0, 1 + N * 32).reshape(N, 32)


def test_the_seven_combinations_and_their_channels():
    assert COMBINATIONS == ("I", "S", "E", "I+E", "I+S", "E+S", "I+S+E")
    assert [channels(c) for c in COMBINATIONS] == [1, 2, 32, 33, 3, 34, 35]
    for combination in COMBINATIONS:
        x = stack(combination, LOCATION, SALIENCY, REPRESENTATION)
        assert x.shape == (N, channels(combination), H, W) and x.dtype == torch.float32


def test_the_order_is_location_malignant_benign_embedding():
    x = stack("I+S+E", LOCATION, SALIENCY, REPRESENTATION)
    assert torch.equal(x[:, 0], LOCATION)
    assert (x[:, 1] == 0.7).all() and (x[:, 2] == 0.2).all()
    assert x[0, 3:, 1, 2].tolist() == list(range(1, 33))
    # whatever the order in the name: E+S is S, then E
    assert torch.equal(stack("E+S", LOCATION, SALIENCY, REPRESENTATION), x[:, 1:])
    assert torch.equal(stack("I+E", LOCATION, None, REPRESENTATION), x[:, [0, *range(3, 35)]])
    assert torch.equal(stack("I+S", LOCATION, SALIENCY), x[:, :3])


def test_embedding_is_a_hard_mask():
    e = stack("E", LOCATION, h=REPRESENTATION)
    # a cell reached by a millionth holds h as a full one does
    assert torch.equal(e[0, :, 1, 2], REPRESENTATION[0])
    assert torch.equal(e[0, :, 1, 3], REPRESENTATION[0])
    assert torch.equal(e[1, :, 0, 0], REPRESENTATION[1])
    assert (e[0] != 0).sum() == 64 and (e[1] != 0).sum() == 32 and not e[2].any()


def test_a_broken_representation_does_not_leak_out_of_the_window():
    h = REPRESENTATION.clone()
    h[0, 0] = torch.nan
    e = embed(LOCATION, h)
    assert e[0, 0].isnan().sum() == 2 and not e[0, 0, 0].isnan().any()


def test_half_precision_parts_give_float32():
    x = stack("I+E", LOCATION, h=REPRESENTATION.half())
    assert x.dtype == torch.float32


def test_gradients_reach_the_representation_through_reached_cells():
    h = REPRESENTATION.clone().requires_grad_()
    stack("E", LOCATION, h=h).sum().backward()
    assert h.grad[0].tolist() == [2] * 32 and not h.grad[2].any()


@pytest.mark.parametrize(
    "name, near",
    [("S+E", "E+S"), ("e+s", "E+S"), ("I + S + E", "I+S+E"), ("ESI", "I+S+E"), ("X", "I"), ("", "I")],
)  # fmt: skip
def test_an_unknown_combination_names_the_nearest(name, near):
    for call in (lambda: channels(name), lambda: stack(name, LOCATION, SALIENCY, REPRESENTATION)):
        with pytest.raises(InputError) as error:
            call()
        if name not in ("X", ""):
            assert str(error.value).endswith(f"Did you mean '{near}'?")
        assert "\n" not in str(error.value)


def test_missing_and_misshapen_maps_are_refused():
    with pytest.raises(InputError, match="S of combination I.S has shape None"):
        stack("I+S", LOCATION)
    with pytest.raises(InputError, match=r"E of .* has shape \(2, 32\), not \(3, 32\)"):
        stack("E", LOCATION, h=REPRESENTATION[:2])
    with pytest.raises(InputError, match=r"not \(3, 2, 4, 5\)"):
        stack("E+S", LOCATION, SALIENCY[:, :1], REPRESENTATION)
    with pytest.raises(InputError, match="Give .windows, rows, cols."):
        stack("I", LOCATION[0])


def test_naming_the_combinations_does_not_load_torch():
    code = "import sys, lesionlib.maps as m; m.channels('I+S'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
