"""GMIC against numbers of the published network on stand-in weights (`golden/README.md`).

Only the two tests on mammograms need data that are not in the repository.
"""

import numpy as np
import pytest
import torch
from gmic_stand_in import (
    FACTS,
    golden_arrays,
    published_tensors,
    sha256,
    stand_in_image,
    stand_in_weights,
    stream,
)
from torch.nn import functional as F

from data_manifest.images.gmic_preparation import gmic_placement, standardise
from data_manifest.images.read import read_image
from lesionlib.models.gmic import for_inference, load_gmic_checkpoint, mean_of_top, top_t_count
from lesionlib.models.gmic._checkpoint import published_name
from lesionlib.models.gmic._crops import box_size, greedy_boxes, take_crops, to_pixels

TOLERANCE = 2e-5
EXACT = ("cam_positions", "crop_positions")
VALUES = ("saliency", "y_global", "y_local", "y_fusion", "attention")
FEATURES = ("global_vector", "crop_features", "z")
VALUES += FEATURES
CANVASES = {"canvas_a": (1000, 700), "canvas_b": (640, 576)}
MAMMOGRAMS = {"rcc": ("0_R-CC", "right"), "lmlo": ("0_L-MLO", "left")}  # file, chest wall


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The network, its weights read the public way from a file like the published ones."""
    state = {key: torch.from_numpy(value) for key, value in stand_in_weights().items()}
    state["shared_rep_filter.weight"] = torch.zeros(256, 256, 4, 4)
    path = tmp_path_factory.mktemp("published") / "sample_model_1.p"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    model = load_gmic_checkpoint(path)
    path.unlink()
    return model


@pytest.fixture(scope="module", params=["as loaded", "for inference"])
def network(request, published):
    """The network, and its faster copy."""
    return published if request.param == "as loaded" else for_inference(published)


def near(found, expected, name, relative=0):
    """Within TOLERANCE, or, where that is more, `relative` times the largest value."""
    most = max(TOLERANCE, relative * float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, atol=most, rtol=0, err_msg=name)


# ------------------------------------------------------------------ the network
def stand_in_images(case):
    """Two images (2, 1, rows, columns)."""
    labels = (f"canvas-{case[-1]}{place}" for place in (0, 1))
    return np.stack([stand_in_image(label, *CANVASES[case]) for label in labels])[:, None]


@pytest.mark.parametrize("case", CANVASES)
def test_canvases(case, network):
    agree(case, stand_in_images(case), network)


def test_canvases_cover_the_borders():
    """Crops over the lower edge, the right edge and both; the fifth row, 312.5 px, goes to 312."""
    positions = golden_arrays("canvas_a")["crop_positions"].reshape(-1, 2)
    over = (positions + 256 > CANVASES["canvas_a"]).tolist()
    assert [True, False] in over and [False, True] in over and [True, True] in over
    assert 312 in positions[:, 0]


@pytest.mark.parametrize("case", MAMMOGRAMS)
def test_mammograms(case, network, real_data):
    """From the file to every output, through the library's own preparation."""
    name, side = MAMMOGRAMS[case]
    pixels = read_image(real_data("nyu_samples") / "gmic" / f"{name}.png").pixels
    window = gmic_placement(pixels, side, name.split("-")[1]).apply(pixels)
    agree(case, standardise(window)[None, None], network)


def agree(case, images, model):
    """Every array that is stored for the case, and every number of its stages.

    The copy for inference adds in another order: features, up to 40, differ by 1e-6 of the largest;
    maps, predictions and attention keep the tolerance.
    """
    relative = 0 if any(p.requires_grad for p in model.parameters()) else 1e-6
    facts, arrays = FACTS["network"][case], golden_arrays(case)
    assert sha256(images) == facts["input_sha256"]
    model.top_t = facts["percent_t"]
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
        near(getattr(output, name), arrays.pop(name), name, relative if name in FEATURES else 0)
    for name, value in crop_facts(output).items():
        near(value, arrays.pop(name), name)
    assert set(stages) == set(facts["stages"])
    for name, (tensor, sample) in stages.items():
        assert list(tensor.shape) == facts["stages"][name]["shape"], name
        near(sample, arrays.pop(f"stage/{name}"), name, relative)
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


def test_evaluation_does_not_depend_on_the_batch(network):
    images = torch.from_numpy(stand_in_images("canvas_b"))
    with torch.no_grad():
        together = network(images)
        alone = [network(image[None]) for image in images]
    for name in EXACT + VALUES:
        apart = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(apart, getattr(together, name), atol=2e-6, rtol=1e-5)


# ------------------------------------------------------------------ its parts
def test_names_are_the_published_ones(published):
    ours = {
        published_name(key): (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for key, value in published.state_dict().items()
    }
    assert ours == published_tensors() and len(ours) == 258


def test_counts_of_top_cells():
    for rows, cols, top_t, count in FACTS["top_t_counts"]:
        assert top_t_count(rows, cols, top_t) == count


@pytest.mark.parametrize("case", [*CANVASES, *MAMMOGRAMS])
def test_positions_from_the_published_maps(case):
    """The choice alone, on saliency maps that another network program made."""
    arrays, size = golden_arrays(case), tuple(FACTS["network"][case]["input_shape"][2:])
    maps = torch.from_numpy(arrays["saliency"])
    cells = greedy_boxes(maps, box_size(maps.shape[2:], size, 256), 6)
    np.testing.assert_array_equal(cells, arrays["cam_positions"])
    pixels = to_pixels(cells, maps.shape[2:], size)
    np.testing.assert_array_equal(pixels, arrays["crop_positions"])


@pytest.mark.parametrize("case", [*CANVASES, *MAMMOGRAMS])
@torch.no_grad()
def test_heads_on_the_published_features(case, published):
    """Top cells, attention and both heads alone."""
    arrays = {name: torch.from_numpy(array) for name, array in golden_arrays(case).items()}
    top_t = FACTS["network"][case]["percent_t"]
    near(mean_of_top(arrays["saliency"], top_t), arrays["y_global"], "y_global")
    attention, z = published._attend(arrays["crop_features"])
    near(attention, arrays["attention"], "attention")
    near(z, arrays["z"], "z")
    near(published.local_head(z).sigmoid(), arrays["y_local"], "y_local")
    both = torch.cat((arrays["global_vector"], z), dim=1)
    near(published.fusion_head(both).sigmoid(), arrays["y_fusion"], "y_fusion")


def fraction_maps(problem):
    """Maps (1, 2, h, w) of whole levels over `levels`; a 0 and a 1 stand in opposite corners."""
    levels = problem["levels"]
    drawn = stream(f"retrieval-{problem['index']}", (1, 2, problem["h"], problem["w"]))
    maps = np.floor((drawn + 1) / 2 * (levels + 1))
    maps[..., 0, 0], maps[..., -1, -1] = 0, levels
    return (maps / levels).astype(np.float32)


@pytest.mark.parametrize("problem", FACTS["retrieval"], ids=range(6))
def test_retrieval_with_many_ties(problem):
    """Maps, cells, pixels and the bytes of every crop."""
    maps, size = fraction_maps(problem), (problem["H"], problem["W"])
    assert sha256(maps) == problem["maps_sha256"]
    cells = greedy_boxes(torch.from_numpy(maps), box_size(maps.shape[2:], size, 256), 6)
    assert cells.tolist() == problem["cam_positions"]
    pixels = to_pixels(cells, maps.shape[2:], size)
    assert pixels.tolist() == problem["crop_positions"]
    if "canvas_sha256" not in problem:
        return
    canvas = stand_in_image(f"retrieval-canvas-{problem['index']}", *size)
    assert sha256(canvas) == problem["canvas_sha256"]
    crops = take_crops(torch.from_numpy(canvas)[None, None], pixels, 256)[0]
    assert [sha256(crop.numpy()) for crop in crops] == problem["crop_sha256"]
