"""Time and error of one patch: ours, ours of before, a bare warp, and what a user would pick instead.

    python benchmarks/bench_patches.py [--windows 64] [--rounds 5] [--out figures/benchmarks]

The windows are the paper's: 128 to 384 px per side, turned by up to 30 degrees, to patches of
256 px, from a made-up 16-bit canvas of 2944 x 1920 px that is in memory (but for `decode`).  All
cases are measured in turns, in random order, in one process of one thread; the ratios are of
medians over rounds.
Writes patches.csv and patch_error.csv.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from lesionlib.loading import prepared
from lesionlib.models._torchvision import torchvision_models
from lesionlib.patches import extract_patches
from lesionlib.store import LEAST_STD, ArrayStore
from lesionlib.windows import check_windows, corners, window_affine, window_table

PATCH = 256
CANVAS = (2944, 1920)
OURS, FORMER, PLAIN = "ours", "ours, commit 5d2f6d6", "plain warp"
SCALES = (1.05, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0)  # px of the canvas per px of the patch
LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
Case = Callable[[pd.DataFrame], object]  # cuts all windows of a table


# ------------------------------------------------------------------ what is cut
@cache
def store(rows: int = CANVAS[0], cols: int = CANVAS[1]) -> ArrayStore:
    """One image: texture of three sizes, 16 bits."""
    g = np.random.default_rng(0)
    image = 0.3 * g.normal(size=(rows, cols))
    for size, share in ((1, 2), (3, 8)):
        noise = g.normal(size=(rows, cols)).astype(np.float32)
        image += share * cv2.GaussianBlur(noise, (0, 0), size)
    image = np.clip(20000 + 4000 * image / image.std(), 0, 65535).astype(np.uint16)
    return ArrayStore(image[None])


def windows(count: int, scale: float | None = None, patch: int = PATCH) -> pd.DataFrame:
    """Windows on the canvas of `store()`; of one scale, or of the paper's sides."""
    g = np.random.default_rng(1)
    side = g.uniform(0.5, 1.5, count) * patch if scale is None else scale * patch
    row, col = (g.uniform(0.2, 0.8, count) * length for length in CANVAS)
    return window_table(image=0, row=row, col=col, side=side, angle=g.uniform(-30, 30, count))


# ------------------------------------------------------------------ the cases
def ours(table: pd.DataFrame, patch: int = PATCH) -> np.ndarray:
    return extract_patches(store(), table, patch)


def former(table: pd.DataFrame, patch: int = PATCH) -> np.ndarray:
    """As the project cut patches at commit 5d2f6d6."""
    images = store()
    check_windows(table, len(images.images))
    image = table["image"].to_numpy()
    mean = images.images["mean"].to_numpy(dtype=float)[image]
    std = np.maximum(images.images["std"].to_numpy(dtype=float)[image], LEAST_STD)
    affines, boxes = window_affine(table, patch), _boxes(table)
    patches = np.empty((len(table), 1, patch, patch), dtype=np.float32)
    for k in np.argsort(image, kind="stable"):
        scale = math.hypot(*affines[k][:, 0])
        finer = max(1, math.ceil(scale - 1e-9))
        raw = _warped(images.raw(image[k]), boxes[k], affines[k], patch, finer)
        if finer > 1:
            raw = cv2.resize(raw, (patch, patch), interpolation=cv2.INTER_AREA)
        patches[k, 0] = (raw - np.float32(mean[k])) / np.float32(std[k])
    return patches


def plain(table: pd.DataFrame, patch: int = PATCH) -> np.ndarray:
    """One bilinear warp of the crop, standardised: no averaging."""
    facts = store().images.iloc[0]
    patches = np.empty((len(table), 1, patch, patch), dtype=np.float32)
    for k, (box, affine) in enumerate(zip(_boxes(table), window_affine(table, patch), strict=True)):
        patches[k, 0] = _warped(store().raw(0), box, affine, patch, 1)
    patches -= np.float32(facts["mean"])
    patches /= np.float32(facts["std"])
    return patches


def _boxes(table: pd.DataFrame) -> np.ndarray:
    points = corners(table)
    start = np.floor(points.min(axis=1)).astype(int) - 2
    end = np.ceil(points.max(axis=1)).astype(int) + 2
    return np.clip(np.stack([start, end], axis=1), 0, CANVAS)


def _warped(raw: np.ndarray, box: np.ndarray, affine: np.ndarray, patch: int, finer: int):
    (row0, col0), (row1, col1) = box
    pixels = raw[row0:row1, col0:col1].astype(np.float32)
    turn = affine[:, :2] / finer
    shift = affine[:, 2] - (col0, row0) + turn.sum(axis=1) / 2 - 0.5
    size = (patch * finer, patch * finer)
    return cv2.warpAffine(pixels, np.column_stack([turn, shift]), size, flags=LINEAR)


def _torchvision() -> Case:
    """Crop, rotate, centre crop, antialiased resize."""
    torchvision_models()  # makes torchvision work next to any edition of torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as T

    image = torch.from_numpy(store().raw(0).astype(np.float32))[None]

    def cut(table):
        patches = []
        for row, col, side, angle in _poses(table):
            wide = math.ceil(side * 1.42) + 2
            crop = T.crop(image, round(row - wide / 2), round(col - wide / 2), wide, wide)
            turned = T.rotate(crop, -angle, InterpolationMode.BILINEAR)
            square = T.center_crop(turned, [round(side)] * 2)
            patches.append(T.resize(square, [PATCH, PATCH], antialias=True))
        return torch.stack(patches)

    return cut


def _decode() -> Case:
    """Read the whole 16-bit PNG for each window, and crop."""
    _, png = cv2.imencode(".png", store().raw(0))

    def cut(table):
        for row, col, side, _ in _poses(table):
            image = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
            top, left = round(row - side / 2), round(col - side / 2)
            image[top : top + round(side), left : left + round(side)].copy()

    return cut


def _monai() -> Case:
    torchvision_models()
    from monai.transforms import Compose, RandRotate, RandSpatialCrop, Resize

    image = torch.from_numpy(store().raw(0).astype(np.float32))[None]

    def cut(table):
        for _, _, side, _ in _poses(table):
            size = round(side)
            Compose(
                [RandSpatialCrop((size, size), random_size=False),
                 RandRotate(math.radians(30), prob=1.0, padding_mode="zeros"),
                 Resize((PATCH, PATCH), anti_aliasing=True)]
            )(image)  # fmt: skip

    return cut


def _torchio() -> Case:
    torchvision_models()
    import torchio as tio

    image = torch.from_numpy(store().raw(0).astype(np.float32))[None, :, :, None]
    label = torch.zeros_like(image)
    label[:, 600:2300, 400:1500] = 1
    subject = tio.Subject(image=tio.ScalarImage(tensor=image), label=tio.LabelMap(tensor=label))

    def cut(table):
        for _, _, side, _ in _poses(table):
            size = math.ceil(side)
            sampler = tio.LabelSampler(patch_size=(size, size, 1), label_name="label")
            turn = tio.RandomAffine(scales=0, degrees=(0, 0, 0, 0, -30, 30))
            part = next(sampler(subject, num_patches=1))
            tio.CropOrPad((PATCH, PATCH, 1))(turn(part))

    return cut


def _poses(table: pd.DataFrame):
    return table[["row", "col", "side", "angle"]].to_numpy().tolist()


# peers that are slow cut the first few windows of a round
PEERS = {
    "torchvision": (_torchvision, 16),
    "MONAI": (_monai, 6),
    "TorchIO": (_torchio, 6),
    "decode the 16-bit PNG, crop": (_decode, 2),
}


def cases() -> dict[str, tuple[Case, int | None]]:
    """What is measured, and how many windows of a round it cuts (None: all).

    A peer that is not installed is named on the screen and left out.
    """
    found = {OURS: (ours, None), FORMER: (former, None), PLAIN: (plain, None)}
    for name, (make, most) in PEERS.items():
        try:
            found[name] = (make(), most)
        except ImportError as error:
            print(f"{name} is left out: {error.name} is not installed")
    return found


# ------------------------------------------------------------------ measuring
def rounds(found: dict, table: pd.DataFrame, count: int = 5) -> pd.DataFrame:
    """CPU time of each case, one row per case and round: name, round, ms per patch."""
    rows, g = [], np.random.default_rng(0)
    for k in range(-1, count):  # the first round only warms up
        # each in another order: what runs before a case leaves it a warm cache or a cold one
        for name in g.permutation(list(found)):
            case, most = found[name]
            part = table.iloc[:most]
            start = time.process_time()
            case(part)
            took = (time.process_time() - start) * 1e3 / len(part)
            rows.append({"name": name, "round": k, "ms": took})
    measured = pd.DataFrame(rows).query("round >= 0")
    return measured.sort_values(
        "name", key=lambda names: names.map(list(found).index), kind="stable"
    )


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Median ms of each case, and how many times ours it takes (median of the rounds' ratios)."""
    wide = measured.pivot(index="round", columns="name", values="ms")
    of_ours = wide.div(wide[OURS], axis=0).median()
    table = pd.DataFrame({"ms": wide.median(), "of_ours": of_ours})
    return table.loc[measured["name"].unique()].rename_axis("name").reset_index()


def errors(count: int = 4, patch: int = 64) -> pd.DataFrame:
    """Root mean square error of ours, former and plain at each scale, in SD of the image."""
    rows = []
    for scale in SCALES:
        table = windows(count, scale, patch)
        wanted = np.stack([reference(window, patch) for _, window in table.iterrows()])
        for name, case in ((OURS, ours), (FORMER, former), (PLAIN, plain)):
            off = case(table, patch)[:, 0] - wanted
            rows.append({"name": name, "scale": scale, "rms": np.sqrt(np.mean(off**2))})
    return pd.DataFrame(rows)


def reference(window: pd.Series, patch: int, fine: int = 24) -> np.ndarray:
    """Mean over each patch pixel's area of an image of square pixels, in float64 (patch, patch).

    By fine x fine points of each patch pixel, standardised.
    """
    image, facts = store().raw(0).astype(float), store().images.iloc[0]
    (a, b, c), (d, e, f) = window_affine(window, patch)
    at = (np.arange(patch * fine) + 0.5) / fine
    u, v = np.meshgrid(at, at)
    values = image[np.floor(d * u + e * v + f).astype(int), np.floor(a * u + b * v + c).astype(int)]
    means = values.reshape(patch, fine, patch, fine).mean(axis=(1, 3))
    return (means - facts["mean"]) / facts["std"]


def pipeline(table: pd.DataFrame, workers: int = 2, each: int = 50) -> tuple[float, float]:
    """Patches per second of the loader alone, and what as many free cores would give.

    The second is `workers` over the CPU time of a patch: what else runs on the machine slows the
    first, and hardly the second.
    """
    elsewhere = torch.nn.Linear(1, 1, device="meta")  # as on a GPU: inputs are made ahead
    parts = [table.iloc[start : start + each] for start in range(0, len(table), each)]
    cut = lambda part: torch.from_numpy(ours(part))  # noqa: E731
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in prepared(cut, parts, elsewhere, workers):
        pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return len(table) / wall, workers * len(table) / cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=64, help="cut in each round (64)")
    parser.add_argument("--rounds", type=int, default=5, help="of which medians are taken (5)")
    parser.add_argument("--out", type=Path, default=Path("figures/benchmarks"), help="folder")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    table = summary(rounds(cases(), windows(args.windows), args.rounds))
    table.to_csv(args.out / "patches.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False, float_format="%.3g"))
    rates = [pipeline(windows(1000)) for _ in range(args.rounds)]
    there, free = np.median(rates, axis=0)
    print(f"loader, two threads: {there:.0f} patches/s, {free:.0f} on two free cores")
    found = errors()
    found.to_csv(args.out / "patch_error.csv", index=False, float_format="%.4g")
    print(found.pivot(index="scale", columns="name", values="rms").to_string(float_format="%.4f"))


if __name__ == "__main__":
    main()
