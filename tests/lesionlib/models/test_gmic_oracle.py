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
from torch.nn import functional as F

from data_manifest.images.gmic_preparation import gmic_placement, standardise
from data_manifest.images.read import read_image
from lesionlib.models.gmic import load_gmic_checkpoint, top_t_count
from lesionlib.models.gmic.checkpoint import published_name
from lesionlib.models.gmic.crops import box_size, greedy_boxes, take_crops, to_pixels

TOLERANCE = 2e-5
EXACT = ("cam_positions", "crop_positions")
VALUES = ("saliency", "y_global", "y_local", "y_fusion", "attention")
VALUES += ("global_vector", "crop_features", "z")
CANVASES = {"canvas_a": (1000, 700), "canvas_b": (640, 576)}
MAMMOGRAMS = {"rcc": ("0_R-CC", "right"), "lmlo": ("0_L-MLO", "left")}  # file, chest wall


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
            facts, _, rule = read_oracle(oracle_dir)
            weights = rule.make_weights(rule.read_spec(oracle_dir / "gmic_state_dict.txt"))
            assert rule.digest(weights) == facts["weights"]["sha256"]
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


def near(found, expected, name):
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0, err_msg=name)


# ------------------------------------------------------------------ the network
@pytest.mark.parametrize("case", CANVASES)
def test_canvases(case, oracle, oracle_dir, loaded):
    rule = oracle[2]
    labels = [f"canvas-{case[-1]}{place}" for place in (0, 1)]
    images = np.stack([rule.canvas(label, *CANVASES[case]) for label in labels])[:, None]
    agree(case, images, oracle, oracle_dir, loaded)


@pytest.mark.parametrize("case", MAMMOGRAMS)
def test_mammograms(case, oracle, oracle_dir, loaded, real_data):
    """From the file to every output, through the library's own preparation."""
    name, side = MAMMOGRAMS[case]
    pixels = read_image(real_data("nyu_samples") / "gmic" / f"{name}.png").pixels
    window = gmic_placement(pixels, side, name.split("-")[1]).apply(pixels)
    agree(case, standardise(window)[None, None], oracle, oracle_dir, loaded)


def agree(case, images, oracle, oracle_dir, loaded):
    """Every array that is stored for the case, and every number of its stages."""
    facts, arrays, _ = oracle
    facts = facts["network"][case]
    arrays = {k.removeprefix(f"{case}/"): v for k, v in arrays.items() if k.startswith(f"{case}/")}
    assert sha256(images) == facts["input_sha256"]
    model = loaded(oracle_dir, facts["percent_t"])
    stages, hooks = watch(model)
    with torch.no_grad():
        output = model(torch.from_numpy(images))
    for hook in hooks:
        hook.remove()
    for name in EXACT:
        np.testing.assert_array_equal(getattr(output, name), arrays.pop(name))
    found = [[sha256(crop.numpy()) for crop in crops] for crops in output.crops]
    assert found == facts["patch_sha256"]
    for name in VALUES:
        near(getattr(output, name), arrays.pop(name), name)
    for name, value in crop_facts(output).items():
        near(value, arrays.pop(name), name)
    assert set(stages) == set(facts["stages"])
    for name, (tensor, sample) in stages.items():
        assert list(tensor.shape) == facts["stages"][name]["shape"], name
        near(sample, arrays.pop(f"stage/{name}"), name)
        near(tensor.double().mean(), facts["stages"][name]["mean"], name)
        near(tensor.double().std(correction=0), facts["stages"][name]["std"], name)
    assert not arrays  # nothing is left unchecked


def crop_facts(output):
    """Mean, spread and corners of the crops; by how much each crop's box won over the next best."""
    crops = output.crops.double()
    corners = output.crops[..., [0, 0, -1, -1], [0, -1, 0, -1]]
    return {
        "patch_mean": crops.mean(dim=(2, 3)),
        "patch_std": crops.std(dim=(2, 3), correction=0),
        "patch_corners": corners.unflatten(2, (2, 2)),
        "argmax_margin": margins(output.saliency, output.cam_positions, (4, 4)),
    }


def margins(saliency, positions, box):
    low, high = saliency.amin(dim=(2, 3), keepdim=True), saliency.amax(dim=(2, 3), keepdim=True)
    total = ((saliency - low) / (high - low)).sum(dim=1, keepdim=True)
    found = []
    for step in range(positions.shape[1]):
        best = F.avg_pool2d(total, box, stride=1).flatten(1).topk(2, dim=1).values
        found.append(best[:, 0] - best[:, 1])
        for image, (row, col) in enumerate(positions[:, step].tolist()):
            total[image, 0, row : row + box[0], col : col + box[1]] = 0
    return torch.stack(found, dim=1)


def watch(model):
    """Records the output of every stage, and 64 numbers of it."""
    parts, local = model.global_network, model.local_network
    outputs = {"ds_first_conv": parts.stem, "ds_first_pool": parts.pool, "ds_out": parts}
    outputs |= {f"ds_stage{i}": stage for i, stage in enumerate(parts.stages)}
    outputs |= {"dn_maxpool": local.maxpool}
    outputs |= {f"dn_layer{i}": getattr(local, f"layer{i}") for i in (1, 2, 3, 4)}
    stages = {}

    def keep(name, tensor):
        step = tensor.numel() // 64
        stages[name] = tensor, tensor.flatten()[: 64 * step : step].numpy().copy()

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


def fraction_maps(rule, problem):
    """Maps (1, 2, h, w) of whole levels over `levels`; a 0 and a 1 stand in opposite corners."""
    shape, levels = (1, 2, problem["h"], problem["w"]), problem["levels"]
    drawn = (rule.unit_stream(f"retrieval-{problem['index']}", int(np.prod(shape))) + 1) / 2
    maps = np.floor(drawn * (levels + 1)).reshape(shape)
    maps[..., 0, 0], maps[..., -1, -1] = 0, levels
    return (maps / levels).astype(np.float32)


@pytest.mark.parametrize("index", range(6))
def test_retrieval_with_many_ties(index, oracle):
    """Maps, cells, pixels and the bytes of every crop."""
    problem, rule = oracle[0]["retrieval"][index], oracle[2]
    maps, size = fraction_maps(rule, problem), (problem["H"], problem["W"])
    assert sha256(maps) == problem["maps_sha256"]
    cells = greedy_boxes(torch.from_numpy(maps), box_size(maps.shape[2:], size, 256), 6)
    assert cells.tolist() == problem["cam_positions"]
    pixels = to_pixels(cells, maps.shape[2:], size)
    assert pixels.tolist() == problem["crop_positions"]
    if "canvas_sha256" not in problem:
        return
    canvas = rule.canvas(f"retrieval-canvas-{index}", *size)
    assert sha256(canvas) == problem["canvas_sha256"]
    crops = take_crops(torch.from_numpy(canvas)[None, None], pixels, 256)[0]
    assert [sha256(crop.numpy()) for crop in crops] == problem["crop_sha256"]
