"""Live volumes: coarser than the box where that is large, and in its frame."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from napari_inr_tomo.inr import Box


def coarseness(shape_zyx: Sequence[int], most: int) -> int:
    """Return every how many pixels there is a voxel, for at most about ``most``."""
    step = 1
    while math.prod(shape_zyx) / step**3 > most:
        step += 1
    return step


def binned(volume: Tensor, step: int) -> Tensor:
    """Return the means of (z, y, x) voxels over the cells of `Box.lattice`.

    Cells that stick out of the box have nothing there.
    """
    if step == 1:
        return volume
    spare = [-n % step for n in reversed(volume.shape)]
    sides = [side for n in spare for side in (n // 2, n - n // 2)]
    padded = torch.nn.functional.pad(volume[None, None], sides)
    return torch.nn.functional.avg_pool3d(padded, step)[0, 0]


def from_axis_frame(
    volume: Tensor, voxel_px: float, z1_deg: float, box: Box, step: int
) -> Tensor:
    """Return a coarse volume in the frame of the box, on the cells of `Box.lattice`.

    volume: (z, y, x) in the frame where the tilt axis is x, about the same centre;
    voxel_px: the edge of its voxels; z1_deg: the turn from the box to that frame.
    """
    z, y, x = (torch.tensor(box.axis(n, step)).to(volume) for n in box.shape_zyx)
    c, s = math.cos(math.radians(z1_deg)), math.sin(math.radians(z1_deg))
    y, x = y[:, None], x[None, :]
    plane = torch.stack([c * x - s * y, s * x + c * y], -1)
    depth = z[:, None, None, None].expand(-1, *plane.shape[:2], -1)
    places = torch.cat([plane.expand(len(z), -1, -1, -1), depth], -1)
    half = places.new_tensor([(n - 1) / 2 for n in reversed(volume.shape)]) * voxel_px
    grid = (places / half)[None]
    return torch.nn.functional.grid_sample(
        volume[None, None], grid, align_corners=True
    )[0, 0]
