"""Slices and volumes read out of the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_inr_tomo.engine.chunk import CPU_POINTS
from napari_inr_tomo.engine.memory import in_pieces
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


@torch.no_grad()
def read_volume(
    field: Field,
    box: Box,
    step: int,
    like: Tensor,
    occupied: Tensor | None = None,
    chunk: int = CPU_POINTS,
    between: Callable[[], None] | None = None,
) -> Tensor:
    """Return the (z, y, x) density on a lattice of every ``step``-th voxel.

    chunk: points evaluated at once; between: called after each chunk.  Normalised
    intensity per pixel-sized voxel; zero where not occupied.
    """
    shape = box.coarse_shape(step)
    volume = torch.zeros(shape, dtype=torch.float32, device=like.device).reshape(-1)
    inside = None if occupied is None else box.coarse(occupied, step).reshape(-1)

    def fill(points_at_once: int) -> None:
        for part, points in box.lattice(step, points_at_once, like):
            if inside is None:
                volume[part] = (field(points) * box.unit).float()
            else:
                keep = inside[part]
                values = torch.zeros(len(points), device=like.device)
                if keep.any():
                    values[keep] = (field(points[keep]) * box.unit).float()
                volume[part] = values
            if between is not None:
                between()

    in_pieces(fill, chunk)
    return volume.reshape(shape)
