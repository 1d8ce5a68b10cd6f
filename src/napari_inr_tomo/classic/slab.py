"""A slab of the volume that stands for all of it: slices across the tilt axis.

Where the tilt axis lies along an axis of the images, a ray stays in its slice, so that
a few neighbouring slices and their part of the images are a smaller tilt series of the
same noise and the same pixel size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from napari_inr_tomo.classic.linear import CHUNK
from napari_inr_tomo.classic.projector import Axis, Projector

SLAB_VOXELS = 1 << 20
"""Voxels of a slab, at least."""

MOST_SHARE = 0.6
"""A slab that is more than this share of the volume saves too little."""

LEAST_KEPT = 0.6
"""Share of its pixels whose rays must stay within a slab."""

STRAY = 0.02
"""A ray stays within a slab that has its length, but for this share."""


@dataclass(frozen=True)
class Slab:
    """A part of a tilt series.

    axis, part: where it was cut out.  images: (tilt, y, x).  usable: (tilt, y, x), 1.0
    for pixels that count and whose ray stays within.  support: (z, y, x) bool or None.
    """

    axis: Axis
    part: slice
    projector: Projector
    images: torch.Tensor
    usable: torch.Tensor
    support: torch.Tensor | None


def slab_slices(across: int, along: int) -> int | None:
    """Return how many slices of ``across`` voxels a slab takes of ``along``.

    None: the whole volume is small enough.
    """
    count = CHUNK * math.ceil(SLAB_VOXELS / across / CHUNK)
    return count if count <= MOST_SHARE * along else None


def densest_slab(
    projector: Projector,
    images: torch.Tensor,
    usable: torch.Tensor,
    support: torch.Tensor | None = None,
) -> Slab | None:
    """Return the slab with the most matter; None: the whole volume is as well.

    That is so for a small volume, and where the tilt axis is oblique in the images, so
    that rays leave any slab.
    images, usable: (tilt, y, x), as `napari_inr_tomo.classic.sirt.prepare` gives them.
    support: (z, y, x) bool.
    """
    axis = _along(projector)
    rows, columns = projector.image_shape_yx
    across, along = (rows, columns) if axis == "x" else (columns, rows)
    count = slab_slices(projector.depth_px * across, along)
    if count is None:
        return None
    mass = (images * usable).clamp(min=0).sum((0, 1 if axis == "x" else 2))
    windows = np.convolve(mass.double().cpu().numpy(), np.ones(count), "valid")
    first = int(windows.argmax())
    part = slice(first, first + count)
    cut = (..., part) if axis == "x" else (..., part, slice(None))
    smaller = projector.slab(axis, part)
    lengths = _lengths(projector)[cut]
    stays = (_lengths(smaller) - lengths).abs() <= STRAY * lengths
    if float(stays.float().mean()) < LEAST_KEPT:
        return None
    return Slab(
        axis,
        part,
        smaller,
        images[cut].contiguous(),
        usable[cut] * stays,
        None if support is None else support[cut].contiguous(),
    )


def _along(projector: Projector) -> Axis:
    """Return the axis of the volume that is nearer to the tilt axis."""
    turned = np.deg2rad(np.median(projector.poses.z1_deg))
    return "x" if abs(np.cos(turned)) >= abs(np.sin(turned)) else "y"


def _lengths(projector: Projector) -> torch.Tensor:
    """Return the length of every ray in the box, (tilt, y, x)."""
    ones = torch.ones(
        projector.shape_zyx, dtype=projector.dtype, device=projector.device
    )
    return projector.forward(ones)
