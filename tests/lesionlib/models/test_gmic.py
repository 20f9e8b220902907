"""GMIC: parts, outputs, loss; what must hold on every canvas."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lesionlib.errors import InputError
from lesionlib.models import GMIC, GMICOutput, malignant_first
from lesionlib.models._torchvision import torchvision_models
from lesionlib.models.gmic import (
    for_inference,
    gmic_from_settings,
    gmic_loss_terms,
    mean_of_top,
    top_t_count,
)
from lesionlib.models.gmic._crops import greedy_boxes, take_crops
from lesionlib.models.gmic._parts import MaxPool


def small(**changes):
    return GMIC(**{"width": 2, "local_width": 2, "crops": 3, "crop": 32, "attention": 4} | changes)


def total_loss(*given, **named):
    return sum(gmic_loss_terms(*given, **named).values())


def parameters(module):
    return sum(p.numel() for p in module.parameters())


# ------------------------------------------------------------------ structure
def test_parameters_of_the_published_network():
    model = GMIC()
    assert parameters(model) == 14_110_322
    assert parameters(model.global_network) == 2_799_536
    assert parameters(model.saliency_head) == 512
    assert parameters(model.local_network) == 11_176_512
    assert parameters(model.fusion_head) == 1_538
    assert len(model.state_dict()) == 258


def test_full_size_image_gives_46_by_30():
    model, sizes = GMIC().eval(), []
    for part in (
        model.global_network.stem,
        model.global_network.pool,
        *model.global_network.stages,
    ):
        part.register_forward_hook(lambda *call: sizes.append(tuple(call[2].shape[1:])))
    with torch.no_grad():
        assert model.saliency(torch.zeros(1, 1, 2944, 1920)).shape == (1, 2, 46, 30)
    assert sizes == [
        (16, 1472, 960),
        (16, 735, 479),
        (16, 735, 479),
        (32, 368, 240),
        (64, 184, 120),
        (128, 92, 60),
        (256, 46, 30),
    ]


def test_a_crop_through_the_local_network():
    local, sizes = GMIC().local_network.eval(), []
    for part in (local.conv1, local.maxpool, *(getattr(local, f"layer{i}") for i in (1, 2, 3, 4))):
        part.register_forward_hook(lambda *call: sizes.append(tuple(call[2].shape[1:])))
    with torch.no_grad():
        assert local(torch.zeros(1, 1, 256, 256)).shape == (1, 512)
    assert sizes == [
        (64, 128, 128),
        (64, 64, 64),
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
    ]


def test_local_network_equals_torchvision():
    theirs, ours = torchvision_models().resnet18(weights=None).eval(), GMIC().local_network.eval()
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(state)
    crops = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        expected = theirs(crops.expand(-1, 3, -1, -1))
        torch.testing.assert_close(theirs.fc(ours(crops)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "size, cells", [((5, 5), (1, 1)), ((100, 75), (2, 2)), ((129, 130), (2, 2))]
)
def test_map_of_any_size(size, cells):
    with torch.no_grad():
        assert tuple(small().eval().saliency(torch.randn(1, 1, *size)).shape[2:]) == cells


def test_canvases_of_whole_cells_give_one_cell_per_64_px():
    model = small(width=1).eval()
    with torch.no_grad():
        rows = [model.saliency(torch.zeros(1, 1, 64 * n, 64)).shape[2] for n in range(1, 47)]
    assert rows == list(range(1, 47))


def test_settings():
    class Settings:
        width, local_width, crops, crop = 3, 4, 2, 40
        top_t, attention, saliency_bias = 0.1, 5, -2.0

    model = gmic_from_settings(Settings)
    assert model.saliency_head.bias.tolist() == [-2, -2]
    assert model.attention_gate.weight.shape == (5, 32)
    assert (model.crops, model.crop, model.top_t) == (2, 40, 0.1)


def test_no_saliency_bias_as_published():
    assert small().saliency_head.bias is None


# ------------------------------------------------------------------ outputs
def test_outputs_hang_together():
    model, images = small(top_t=0.2, crop=100).eval(), torch.randn(2, 1, 320, 192)
    with torch.no_grad():
        out = model(images)
        assert torch.equal(model.saliency(images), out.saliency)
    assert out.saliency.shape == (2, 2, 5, 3) and out.crops.shape == (2, 3, 100, 100)
    assert torch.equal(out.cam_positions, greedy_boxes(out.saliency, (2, 2), 3))
    assert torch.equal(out.crop_positions, 64.0 * out.cam_positions)
    assert torch.equal(out.crops, take_crops(images, out.crop_positions, 100))
    torch.testing.assert_close(out.attention.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(out.y_local, out.local_logits.sigmoid())
    torch.testing.assert_close(out.y_fusion, out.fusion_logits.sigmoid())
    top = out.saliency.flatten(2).sort(dim=2, descending=True).values[..., :3].mean(dim=2)
    torch.testing.assert_close(out.y_global, top)
    z = torch.einsum("nk,nkf->nf", out.attention, out.crop_features)
    torch.testing.assert_close(out.z, z)
    with pytest.raises(dataclasses.FrozenInstanceError):
        out.z = z


def test_global_vector_comes_first_in_the_fusion():
    model = small().eval()
    model.fusion_head.weight.data.zero_()
    model.fusion_head.weight.data[0, 0] = 1.0
    model.fusion_head.bias.data.zero_()
    with torch.no_grad():
        out = model(torch.randn(1, 1, 128, 128))
    torch.testing.assert_close(out.fusion_logits[:, 0], out.global_vector[:, 0])


def test_tanh_belongs_to_the_content_and_sigmoid_to_the_gate():
    model = small().eval()
    for layer, value in ((model.attention_content, -3.0), (model.attention_gate, 2.0)):
        layer.weight.data.zero_()
        layer.weight.data[0, 0] = value
    model.attention_score.weight.data.fill_(1.0)
    features = torch.zeros(1, 2, 16)
    features[0, 1, 0] = 1.0
    attention, _ = model._attend(features)
    score = math.tanh(-3) / (1 + math.exp(-2))
    expected = torch.tensor([[1.0, math.exp(score)]]) / (1 + math.exp(score))
    torch.testing.assert_close(attention, expected)


def test_no_gradient_through_positions_but_to_every_weight():
    model = small(saliency_bias=0.0)
    out = model(torch.randn(2, 1, 160, 128))
    assert not out.cam_positions.requires_grad and not out.crop_positions.requires_grad
    labels = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    total_loss(out, labels, beta=0.01, sparsity=1.5).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


IMAGES = {
    "no breast": torch.zeros(2, 1, 128, 96),
    "constant": torch.full((2, 1, 128, 96), 7.0),
    "smallest": torch.arange(50.0).reshape(2, 1, 5, 5),
    "smaller than a crop": torch.arange(2 * 20 * 300.0).reshape(2, 1, 20, 300) / 1e3,
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", IMAGES)
def test_no_nan(name, training):
    model = small().train(training)
    out = model(IMAGES[name])
    for field in dataclasses.fields(GMICOutput):
        assert getattr(out, field.name).isfinite().all(), field.name
    loss = total_loss(out, torch.ones(2, 2), beta=1e-3, sparsity=1.0)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_constant_map_gives_the_crop_at_the_corner():
    model = small().eval()
    model.saliency_head.weight.data.zero_()
    with torch.no_grad():
        out = model(torch.randn(1, 1, 128, 128))
    assert out.saliency.unique().tolist() == [0.5]
    assert out.cam_positions.unique().tolist() == [0]


@pytest.mark.parametrize("shape", [(1, 1, 4, 64), (1, 3, 64, 64), (64, 64)])
def test_refused_shapes(shape):
    with pytest.raises(InputError, match="at least 5 px"):
        small()(torch.zeros(*shape))


# ------------------------------------------------------------------ top cells, order, loss
def test_top_t_count_is_never_none():
    assert top_t_count(3, 2, 0.02) == 1  # 0.12


def test_mean_of_top_by_hand():
    maps = torch.tensor([[[[0.1, 0.9], [0.5, 0.3]], [[0.2, 0.2], [0.2, 0.6]]]])
    torch.testing.assert_close(mean_of_top(maps, 0.5), torch.tensor([[0.7, 0.4]]))


def test_malignant_first():
    maps = torch.rand(2, 2, 3, 4)
    turned = malignant_first(maps)
    assert torch.equal(turned[:, 0], maps[:, 1]) and torch.equal(turned[:, 1], maps[:, 0])
    assert malignant_first(torch.tensor([[1.0, 2.0]])).tolist() == [[2, 1]]
    with pytest.raises(InputError, match="two classes"):
        malignant_first(torch.zeros(2, 4))


def output_of(saliency, y_global, local_logits, fusion_logits):
    fields = dict.fromkeys((f.name for f in dataclasses.fields(GMICOutput)), None)
    given = {"saliency": saliency, "y_global": y_global}
    given |= {"local_logits": local_logits, "fusion_logits": fusion_logits}
    return GMICOutput(**fields | given)


def test_loss_by_hand():
    saliency = torch.zeros(2, 2, 1, 2)
    saliency[0, 0] = 0.5  # two cells of the benign map of the first image
    out = output_of(
        saliency,
        torch.tensor([[0.5, 0.5], [0.25, 0.5]]),
        torch.zeros(2, 2),
        torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]]),  # .75
    )
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    terms = gmic_loss_terms(out, labels, beta=0.1, sparsity=2.0)
    ln2, ln4 = math.log(2), math.log(4)
    assert terms["global"].item() == pytest.approx((3 * ln2 + ln4) / 2)
    assert terms["local"].item() == pytest.approx(2 * ln2)
    assert terms["fusion"].item() == pytest.approx((3 * ln2 + math.log(4 / 3)) / 2)
    assert terms["sparsity"].item() == pytest.approx(0.1 * (2 * 0.25) / 2)
    assert list(terms) == ["global", "local", "fusion", "sparsity"]
    mean = gmic_loss_terms(out, labels, beta=0.1, sparsity=2.0, reduction="mean")["sparsity"]
    assert mean.item() == pytest.approx(0.1 * 0.25 / 2)


def test_loss_is_stable_far_out():
    far = torch.tensor([[1e4, -1e4]], requires_grad=True)
    out = output_of(torch.ones(1, 2, 1, 1), torch.tensor([[1.0, 0.0]]), far, far)
    loss = total_loss(out, torch.tensor([[0.0, 1.0]]), beta=0.0, sparsity=1.0)
    loss.backward()
    assert loss.isfinite() and far.grad.abs().min() > 0


def test_loss_leaves_autocast(monkeypatch):
    """Trap: under autocast a GPU refuses the cross-entropy of probabilities, and the CPU does not."""
    plain = torch.nn.functional.binary_cross_entropy

    def as_on_a_gpu(*given, **named):
        assert not torch.is_autocast_enabled("cpu")
        return plain(*given, **named)

    monkeypatch.setattr(torch.nn.functional, "binary_cross_entropy", as_on_a_gpu)
    with torch.autocast("cpu", torch.bfloat16):
        out = small()(torch.randn(2, 1, 96, 64))
        loss = total_loss(out, torch.eye(2), beta=0.1, sparsity=1.0)
    assert out.fusion_logits.dtype == torch.bfloat16, "autocast was at work"
    assert out.saliency.dtype == loss.dtype == torch.float32


def test_unknown_reduction():
    out = output_of(torch.ones(1, 2, 1, 1), torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2))
    with pytest.raises(InputError, match="sum or mean"):
        gmic_loss_terms(out, torch.ones(1, 2), beta=1.0, sparsity=1.0, reduction="max")


# ------------------------------------------------------------------ speed
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("size", [(3, 3), (8, 9), (37, 64)])
def test_the_pool_gives_the_bits_of_torch(size, padding):
    """Values, where no gradient is asked for and where one is, and the gradient, also in ties."""
    given = torch.randn(2, 5, *size).mul(2).round()
    theirs, ours = (given.clone().requires_grad_() for _ in range(2))
    pool, expected = MaxPool(3, 2, padding), F.max_pool2d(theirs, 3, 2, padding)
    found, weights = pool(ours), torch.randn_like(expected)
    for last in (given, given.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(pool(last), expected)
    assert torch.equal(found, expected) and found.is_contiguous()
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("width", [1, 2, 16])
@pytest.mark.parametrize("size", [(5, 5), (97, 131), (320, 192)])
@torch.no_grad()
def test_the_copy_for_inference_gives_the_same_values(size, width):
    model, images = small(width=width), torch.randn(2, 1, *size)
    model(images)  # moves the statistics of the batch norms
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = for_inference(model)
    found, expected = fast(images), model.eval()(images)
    for field in dataclasses.fields(GMICOutput):
        pair = getattr(found, field.name), getattr(expected, field.name)
        torch.testing.assert_close(*pair, atol=2e-5, rtol=0, msg=field.name)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_copy_for_inference_has_no_norm_left_behind_a_convolution():
    """Left are those before a convolution, and the last; activations are channels last."""
    fast, layouts = for_inference(small(width=4)), []
    norms = {name for name, part in fast.named_modules() if isinstance(part, nn.BatchNorm2d)}
    assert norms == {"global_network.norm"} | {
        f"global_network.stages.{stage}.{block}.norm1" for stage in range(5) for block in (0, 1)
    }
    for part in (fast.global_network.stem, fast.global_network.pool, *fast.global_network.stages):
        part.register_forward_hook(lambda *call: layouts.append(call[2]))
    fast.saliency(torch.randn(1, 1, 320, 192))
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in layouts)
    assert not fast.training and not any(p.requires_grad for p in fast.parameters())
