"""GMIC against numbers of the published network, run elsewhere on stand-in weights.

The folder of these numbers is no part of the project; without it the tests are skipped and the
golden file of `test_gmic.py` stands for them.
"""

import hashlib
import importlib.util
import json
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from lesionlib.models.gmic import top_t_count
from lesionlib.models.gmic.crops import box_size, greedy_boxes, to_pixels
from lesionlib.models.weights import load_gmic_checkpoint, published_name

TOLERANCE = 2e-5
VALUES = ("saliency", "y_global", "y_local", "y_fusion", "attention")
VALUES += ("global_vector", "crop_features", "z")
CANVASES = {"canvas_a": (1000, 700), "canvas_b": (640, 576)}
# file, view, left-right flip
MAMMOGRAMS = {"rcc": ("0_R-CC", "CC", True), "lmlo": ("0_L-MLO", "MLO", False)}
WINDOW = (2944, 1920)


@pytest.fixture
def oracle(oracle_dir):
    return read_oracle(oracle_dir)


@cache
def read_oracle(folder):
    """The facts (JSON), the arrays, the module of the weights rule."""
    spec = importlib.util.spec_from_file_location("oracle_weights", folder / "oracle_weights.py")
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    facts = json.loads((folder / "gmic_oracle.json").read_text())
    with np.load(folder / "gmic_oracle.npz") as arrays:
        return facts, dict(arrays), rule


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Writes a file like the published ones once and loads it through the public way."""
    found = {}

    def load(oracle_dir, top_t):
        if "path" not in found:
            rule = read_oracle(oracle_dir)[2]
            weights = rule.make_weights(rule.read_spec(oracle_dir / "gmic_state_dict.txt"))
            state = {key: torch.from_numpy(np.array(value)) for key, value in weights.items()}
            state["shared_rep_filter.weight"] = torch.zeros(256, 256, 4, 4)
            found["path"] = tmp_path_factory.mktemp("published") / "sample_model_1.p"
            torch.save(state, found["path"], _use_new_zipfile_serialization=False)
            found["model"] = load_gmic_checkpoint(found["path"])
        found["model"].top_t = top_t
        return found["model"]

    yield load
    if "path" in found:
        found["path"].unlink()


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


# ------------------------------------------------------------------ the network
@pytest.mark.parametrize("case", CANVASES)
def test_canvases(case, oracle, oracle_dir, loaded):
    rule = oracle[2]
    labels = [f"canvas-{case[-1]}{place}" for place in (0, 1)]
    images = np.stack([rule.canvas(label, *CANVASES[case]) for label in labels])[:, None]
    agree(case, images, oracle, oracle_dir, loaded)


@pytest.mark.parametrize("case", MAMMOGRAMS)
def test_mammograms(case, oracle, oracle_dir, loaded, real_data):
    name, view, flip = MAMMOGRAMS[case]
    pixels = np.array(Image.open(real_data("nyu_samples") / "gmic" / f"{name}.png"))
    agree(case, prepared(pixels, view, flip)[None, None], oracle, oracle_dir, loaded)


def prepared(pixels, view, flip):
    """The published preparation of an image smaller than the window: flip, pad, standardise."""
    rows, cols = pixels.shape
    above = (WINDOW[0] - rows) // 2 if view == "CC" else 0
    window = np.zeros(WINDOW, np.float32)
    window[above : above + rows, :cols] = pixels[:, ::-1] if flip else pixels
    window -= window.mean()
    return window / max(window.std(), 1e-5)  # in float32, after the mean is gone: the last bit


def agree(case, images, oracle, oracle_dir, loaded):
    facts, arrays, _ = oracle
    facts = facts["network"][case]
    assert sha256(images) == facts["input_sha256"]
    model = loaded(oracle_dir, facts["percent_t"])
    stages, hooks = watch(model)
    with torch.no_grad():
        output = model(torch.from_numpy(images))
    for hook in hooks:
        hook.remove()
    for name in ("cam_positions", "crop_positions"):
        np.testing.assert_array_equal(getattr(output, name), arrays[f"{case}/{name}"])
    found = [[sha256(crop.numpy()) for crop in crops] for crops in output.crops]
    assert found == facts["patch_sha256"]
    for name in VALUES:
        expected = arrays[f"{case}/{name}"]
        np.testing.assert_allclose(
            getattr(output, name), expected, atol=TOLERANCE, rtol=0, err_msg=name
        )
    for name, (shape, sample) in stages.items():
        assert list(shape) == facts["stages"][name]["shape"], name
        expected = arrays[f"{case}/stage/{name}"]
        np.testing.assert_allclose(sample, expected, atol=TOLERANCE, rtol=2e-6, err_msg=name)


def watch(model):
    """Records shape and 64 numbers of the output of every stage."""
    parts, local = model.global_network, model.local_network
    outputs = {"ds_first_conv": parts.stem, "ds_first_pool": parts.pool, "ds_out": parts}
    outputs |= {f"ds_stage{i}": stage for i, stage in enumerate(parts.stages)}
    outputs |= {"dn_maxpool": local.maxpool}
    outputs |= {f"dn_layer{i}": getattr(local, f"layer{i}") for i in (1, 2, 3, 4)}
    stages = {}

    def keep(name, tensor):
        step = tensor.numel() // 64
        stages[name] = tensor.shape, tensor.flatten()[: 64 * step : step].numpy().copy()

    hooks = [
        part.register_forward_hook(lambda _, given, got, name=name: keep(name, got))
        for name, part in outputs.items()
    ]
    stem = local.maxpool.register_forward_pre_hook(lambda _, given: keep("dn_stem", given[0]))
    return stages, [*hooks, stem]


# ------------------------------------------------------------------ its parts
def test_names_are_the_published_ones(oracle, oracle_dir, loaded):
    spec = oracle[2].read_spec(oracle_dir / "gmic_state_dict.txt")
    published = {key: (shape, dtype) for key, shape, dtype in spec}
    state = loaded(oracle_dir, 0.02).state_dict()
    ours = {
        published_name(key): (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for key, value in state.items()
    }
    assert ours == published and len(ours) == 258


def test_counts_of_top_cells(oracle):
    for rows, cols, top_t, count in oracle[0]["top_t_counts"]:
        assert top_t_count(rows, cols, top_t) == count


@pytest.mark.parametrize("case", [*CANVASES, *MAMMOGRAMS])
def test_positions_from_the_published_maps(case, oracle):
    """The choice alone, on saliency maps that another network program made."""
    facts, arrays, _ = oracle
    size = tuple(facts["network"][case]["input_shape"][2:])
    maps = torch.from_numpy(arrays[f"{case}/saliency"])
    cells = greedy_boxes(maps, box_size(tuple(maps.shape[2:]), size, 256), 6)
    np.testing.assert_array_equal(cells, arrays[f"{case}/cam_positions"])


def test_cells_to_pixels(oracle):
    for problem in oracle[0]["retrieval"]:
        cells = torch.tensor(problem["cam_positions"])
        found = to_pixels(cells, (problem["h"], problem["w"]), (problem["H"], problem["W"]))
        assert found.tolist() == problem["crop_positions"]
