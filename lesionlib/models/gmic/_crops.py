"""Where GMIC looks closer: greedy choice of crops on the saliency maps (Shen et al. 2021).

All functions take whole batches and let no gradient through the positions. A position is the
(row, column) of a box's or crop's upper-left corner.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F


def box_size(map_size: tuple[int, int], image_size: tuple[int, int], crop: int) -> tuple[int, int]:
    """Cells (rows, columns) that a crop of `crop` px covers on the map, rounded half to even.

    At least 1 and at most the map: the published code has neither limit and fails on an image
    smaller than the crop.
    """
    rows, cols = (
        min(max(round(crop * cells / pixels), 1), cells)
        for cells, pixels in zip(map_size, image_size, strict=True)
    )
    return rows, cols


@torch.no_grad()
def greedy_boxes(saliency: torch.Tensor, box: tuple[int, int], count: int) -> torch.Tensor:
    """The `count` boxes of highest mean, one after the other, each erased once taken.

    saliency (n, classes, h, w), box (rows, columns) in cells -> int64 (n, count, 2). Each
    class's map is first stretched to 0..1 and the classes are added. Ties go to the first box
    in row-major order. A constant map counts as all 0; the published code makes it NaN.
    """
    low = saliency.amin(dim=(2, 3), keepdim=True)
    span = saliency.amax(dim=(2, 3), keepdim=True) - low
    # dividing by 1 where the span is 0 leaves zeros
    total = ((saliency - low) / torch.where(span > 0, span, 1)).sum(dim=1)
    rows = torch.arange(total.shape[1], device=total.device)
    cols = torch.arange(total.shape[2], device=total.device)
    chosen = []
    for _ in range(count):
        means = F.avg_pool2d(total.unsqueeze(1), box, stride=1)
        best = means.flatten(1).argmax(dim=1, keepdim=True)
        row, col = best // means.shape[3], best % means.shape[3]
        chosen.append(torch.cat((row, col), dim=1))
        in_rows = (rows >= row) & (rows < row + box[0])
        in_cols = (cols >= col) & (cols < col + box[1])
        total = total.masked_fill(in_rows.unsqueeze(2) & in_cols.unsqueeze(1), 0)
    return torch.stack(chosen, dim=1)


def to_pixels(
    positions: torch.Tensor, map_size: tuple[int, int], image_size: tuple[int, int]
) -> torch.Tensor:
    """Cells (n, k, 2) -> px, float64 whole numbers, rounded half to even (cell / map * image)."""
    cells = positions.new_tensor(map_size, dtype=torch.float64)
    pixels = positions.new_tensor(image_size, dtype=torch.float64)
    return (positions.double() / cells * pixels).round()


def take_crops(images: torch.Tensor, positions: torch.Tensor, crop: int) -> torch.Tensor:
    """Crops (n, k, crop, crop) of images (n, 1, H, W) at px positions (n, k, 2).

    Where a crop hangs over the lower or right edge its part inside the image moves to the
    crop's lower-right corner and the image's minimum fills the rest, as published: such a crop
    has its filling at the top and left although the image ends at the bottom and right.
    """
    rows, rows_inside = _source_indices(positions[..., 0], images.shape[2], crop)
    cols, cols_inside = _source_indices(positions[..., 1], images.shape[3], crop)
    which = torch.arange(len(images), device=images.device)[:, None, None, None]
    taken = images[which, 0, rows[..., :, None], cols[..., None, :]]
    inside = rows_inside[..., :, None] & cols_inside[..., None, :]
    filling = images.amin(dim=(1, 2, 3))[:, None, None, None]
    return torch.where(inside, taken, filling)


def _source_indices(
    start: torch.Tensor, length: int, crop: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Along one axis: source index of every crop pixel and whether the image holds it."""
    start = start.round().long()
    first, last = start.clamp(0, length), (start + crop).clamp(0, length)
    index = torch.arange(crop, device=start.device) + last.unsqueeze(-1) - crop
    return index.clamp(0, length - 1), index >= first.unsqueeze(-1)
