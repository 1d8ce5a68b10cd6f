"""The visual hull: where matter can be at all, given the empty parts of the images."""

from __future__ import annotations

from functools import partial

import torch

from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import Callback, prepare, sirt

NEGLIGIBLE = 1e-4
"""A pixel below this part of the brightest is empty, also where there is no noise."""
TO_SIGMA = 1 / 0.6745
"""Standard deviation of a normal distribution over its median distance from 0."""
LEAST_RAYS = 1.5
LEAST_SHARE = 0.05
"""So many rays, and this share of the tilts, must be empty before a voxel is."""
FULL = 0.9
"""A hull that keeps more of the box than this is of no use."""
WITHIN, WITHOUT = 10, 5
"""Iterations in the hull and out of it that tell what the carved voxels would hold."""


def hull(
    projector: Projector, images: torch.Tensor, valid: torch.Tensor | None = None
) -> torch.Tensor | None:
    """Return a (z, y, x) bool volume, False where there cannot be matter, or None.

    A voxel is empty if several rays through it measured nothing, and these rays
    together nothing either: the mean of what they measured is above zero by less than
    its noise.  So weak matter stays whose rays are each within the noise (measured on
    films on which a ball lies, docs/method.md).  The images (tilt, y, x) must be
    non-negative apart from noise, background subtracted; they are smoothed over 3 x 3
    pixels first, so single dark pixels carve nothing.  The poses must be right to about
    a pixel.  None: the specimen fills the field of view, or there is none.
    """
    data, usable = prepare(projector, images, valid)
    smooth = _mean(data) / _mean(usable).clamp(min=1e-3)
    noise = _noise(smooth, usable)
    threshold = max(noise, NEGLIGIBLE * float(smooth.max()))
    empty = ((smooth < threshold) & (usable > 0)).to(data.dtype)
    rays = projector.adjoint(empty)
    needed = max(LEAST_RAYS, LEAST_SHARE * len(projector))
    matter = rays < needed
    if noise:
        matter |= projector.adjoint(empty * smooth) > noise * rays.clamp(min=1).sqrt()
    matter = _grown(matter)
    kept = float(matter.to(torch.float64).mean())
    return matter if 0 < kept <= FULL and bool(data.any()) else None


def carved_share(
    projector: Projector,
    images: torch.Tensor,
    matter: torch.Tensor,
    valid: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> float:
    """Return the share of the mass that lies where the hull has carved.

    A classical volume within ``matter``, the hull, is let out of it for a few
    iterations: what could not be explained within flows into the carved voxels.  With
    no volume to begin with, the smear of the missing wedge would count as mass; without
    negative values, noise would.  callback: of `napari_inr_tomo.classic.sirt.sirt`.
    """
    free = partial(sirt, projector, images, positivity=False, valid=valid)
    free = partial(free, callback=callback)
    volume = free(iterations=WITHIN, momentum=True, support=matter)
    volume = free(iterations=WITHOUT, start=volume)
    mass = float(volume.sum(dtype=torch.float64))
    carved = float(volume[~matter].sum(dtype=torch.float64))
    return carved / mass if mass > 0 else 0.0


def _grown(matter: torch.Tensor) -> torch.Tensor:
    """Return the matter and its neighbours, one voxel in every direction."""
    grown = torch.nn.functional.max_pool3d(matter[None, None].float(), 3, 1, 1)
    return grown[0, 0] > 0


def _mean(images: torch.Tensor) -> torch.Tensor:
    """Return (tilt, y, x) means over 3 x 3 pixels."""
    return torch.nn.functional.avg_pool2d(images[:, None], 3, 1, 1)[:, 0]


def _noise(smooth: torch.Tensor, usable: torch.Tensor) -> float:
    """Return the noise of smoothed (tilt, y, x) images where they are empty, rms.

    What is below zero is noise: half of a distribution around an empty background.  0
    where hardly anything is below zero: counts are without noise where nothing is.
    """
    below = -smooth[(smooth < 0) & (usable > 0)]
    enough = len(below) > 0.01 * smooth.numel()
    return TO_SIGMA * float(below.median()) if enough else 0.0
