"""Slices read out of the network, for somebody who looks at a plane."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_inr_tomo.engine.chunk import CPU_POINTS
from napari_inr_tomo.inr import Box, Field
from napari_inr_tomo.inr.rendering import occupied_at
from napari_inr_tomo.planes import Plane


@torch.no_grad()
def read_plane(
    field: Field,
    box: Box,
    plane: Plane,
    like: Tensor,
    occupied: Tensor | None = None,
    chunk: int = CPU_POINTS,
) -> Tensor:
    """Return the (row, column) density in a plane, at any angle and zoom.

    chunk: points evaluated at once.  Normalised intensity per pixel-sized voxel; zero
    outside the box and where not occupied.
    """
    flat = torch.from_numpy(plane.points().reshape(-1, 3)).to(like.device, like.dtype)
    keep = (flat.abs() <= box.half_xyz(flat)).all(-1)
    points = flat * box.unit
    if occupied is not None:
        keep &= occupied_at(occupied, points, box)
    values = torch.zeros(len(points), device=like.device)
    for index in torch.split(keep.nonzero()[:, 0], chunk):
        values[index] = (field(points[index]) * box.unit).float()
    return values.reshape(plane.shape)
