"""The visual hull: where matter can be at all, given the empty parts of the images."""

from __future__ import annotations

import torch

from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import prepare

EMPTY_FRACTION = 0.01
"""A pixel below this part of the brightest is empty, unless the noise asks for more."""
LEAST_RAYS = 1.5
LEAST_SHARE = 0.05
"""So many rays, and this share of the tilts, must be empty before a voxel is."""
FULL = 0.9
"""A hull that keeps more of the box than this is of no use."""


def hull(
    projector: Projector, images: torch.Tensor, valid: torch.Tensor | None = None
) -> torch.Tensor | None:
    """Return a (z, y, x) bool volume, False where there cannot be matter, or None.

    A voxel is empty if several rays through it measured nothing.  The images (tilt, y,
    x) must be non-negative apart from noise, background subtracted; they are smoothed
    over 3 x 3 pixels first, so single dark pixels carve nothing.  The poses must be
    right to about a pixel.  None: the specimen fills the field of view, or there is
    none.
    """
    data, usable = prepare(projector, images, valid)
    empty = _empty_pixels(data, usable)
    rays = projector.adjoint(empty)
    needed = max(LEAST_RAYS, LEAST_SHARE * len(projector))
    matter = _grown(rays < needed)
    kept = float(matter.to(torch.float64).mean())
    return matter if 0 < kept <= FULL and bool(data.any()) else None


def _grown(matter: torch.Tensor) -> torch.Tensor:
    """Return the matter and its neighbours, one voxel in every direction."""
    grown = torch.nn.functional.max_pool3d(matter[None, None].float(), 3, 1, 1)
    return grown[0, 0] > 0


def _empty_pixels(data: torch.Tensor, usable: torch.Tensor) -> torch.Tensor:
    """Return 1.0 where a pixel and its neighbours measured nothing, else 0.0."""

    def mean(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(images[:, None], 3, 1, 1)[:, 0]

    smooth = mean(data) / mean(usable).clamp(min=1e-3)
    # what is below zero is noise: half of a distribution around an empty background
    negative = data[data < 0]
    enough = len(negative) > 0.01 * data.numel()
    noise = float(torch.sqrt((negative**2).mean())) if enough else 0.0
    # one standard deviation of a mean of nine pixels
    threshold = max(noise / 3, EMPTY_FRACTION * float(smooth.max()))
    return ((smooth < threshold) & (usable > 0)).to(data.dtype)
