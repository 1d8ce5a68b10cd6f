"""From density to pixels: exact rays through the box, sampled and summed.

Each ray is clipped to the box along all three axes, divided into equal intervals and
sampled once in each (in training at a random place, the same in all intervals of a ray;
at the middle otherwise), so the sum times the interval is an unbiased line integral for
any number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_inr_tomo.inr.box import Box
from napari_inr_tomo.inr.fields import Field
from napari_inr_tomo.inr.poses import LearnedPoses


@dataclass(frozen=True)
class Rays:
    """Some pixels: tilt (ray,) int64; uv_px (ray, 2) detector x, y about the centre.

    inner: (ray,) bool or None; only these tell the poses where to go.  Near the edge of
    the field, matter outside the box comes and goes with the tilt, and the poses would
    follow it.
    """

    tilt: Tensor
    uv_px: Tensor
    inner: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tilt)

    def __getitem__(self, index: slice) -> Rays:
        inner = None if self.inner is None else self.inner[index]
        return Rays(self.tilt[index], self.uv_px[index], inner)


def ray_offsets(
    rays: int, samples: int, random: torch.Generator, like: Tensor
) -> Tensor:
    """Return (ray, sample) places in the intervals: random, but one per ray.

    Equidistant samples integrate a smooth density almost exactly.  The scatter of
    independent places would enter the squared residual as a penalty on every edge that
    a ray crosses, and blur it (docs/method.md).  The type is that of ``like``.
    """
    place = torch.rand(rays, 1, generator=random, dtype=like.dtype, device=like.device)
    return place.expand(-1, samples)


def sample_points(
    poses: LearnedPoses, rays: Rays, box: Box, fractions: Tensor
) -> tuple[Tensor, Tensor]:
    """Return sample points and the length each stands for.

    fractions: (ray, sample) in [0, 1): where in its interval every sample lies.
    Returns (ray, sample, 3) normalised object coordinates, differentiable with respect
    to the poses, and (ray,) normalised interval lengths (0 where a ray misses the box).
    """
    count = fractions.shape[1]
    uv = rays.uv_px
    ends = torch.stack([functional.pad(uv, (0, 1), value=z) for z in (0.0, 1.0)], 1)
    placing = poses.placing(uv.dtype)
    with torch.no_grad():
        near, far = _clip(poses.rays_to_object(placing, rays.tilt, ends), box)
        step = (far - near) / count
        index = torch.arange(count, dtype=uv.dtype, device=uv.device)
        depth = near[:, None] + (index + fractions) * step[:, None]
    points = torch.cat([uv[:, None].expand(-1, count, -1), depth[..., None]], -1)
    placed = poses.rays_to_object(placing, rays.tilt, points)
    if rays.inner is not None:
        placed = torch.where(rays.inner[:, None, None], placed, placed.detach())
    return placed * box.unit, step * box.unit


def _clip(ends: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """Return where lines enter and leave the box (slab method); both 0 if they miss.

    A line that misses may be nearly parallel to a side: where it would enter is so far
    away that a field has no number there.

    ends: (ray, 2, 3) object points in px at depths 0 and 1.
    """
    origin, direction = ends[:, 0], ends[:, 1] - ends[:, 0]
    tiny = torch.finfo(direction.dtype).tiny ** 0.5
    direction = direction.masked_fill(direction.abs() < tiny, tiny)
    half = box.half_xyz(origin)
    a, b = (-half - origin) / direction, (half - origin) / direction
    near = torch.minimum(a, b).amax(-1)
    far = torch.maximum(a, b).amin(-1)
    missed = far <= near
    return near.masked_fill(missed, 0.0), far.masked_fill(missed, 0.0)


def render(
    field: Field,
    poses: LearnedPoses,
    rays: Rays,
    box: Box,
    fractions: Tensor,
    occupied: Tensor | None = None,
) -> Tensor:
    """Return (ray,) line integrals of the density.

    occupied: (z, y, x) bool or None; samples in voxels that are False count as empty
    and cost nothing.
    """
    points, length = sample_points(poses, rays, box, fractions)
    flat = points.reshape(-1, 3)
    if occupied is None:
        density = field(flat).reshape(fractions.shape)
        integral: Tensor = density.sum(-1) * length
        return integral
    with torch.no_grad():
        keep = occupied_at(occupied, flat, box).nonzero()[:, 0]
    density = field(flat.index_select(0, keep))
    return _summed(density, keep, fractions) * length


def render_within(
    field: Field,
    poses: LearnedPoses,
    rays: Rays,
    box: Box,
    fractions: Tensor,
    occupied: Tensor,
    room: int,
) -> tuple[Tensor, Tensor]:
    """Return what `render` returns, with arrays whose sizes do not depend on the data.

    room: the most samples in occupied voxels.  Also returns (ray,) bool: whether all
    samples of a ray found room; the integrals of the others are wrong.
    """
    points, length = sample_points(poses, rays, box, fractions)
    flat = points.reshape(-1, 3)
    with torch.no_grad():
        inside = occupied_at(occupied, flat, box)
        number = inside.cumsum(0)
        place = (number - 1).masked_fill(~inside, room).clamp(max=room)
        index = torch.arange(max(len(flat), room + 1), device=flat.device)
        # what stays free points at samples of its own: many additions to one are slow
        keep = (index[: room + 1] % len(flat)).scatter(0, place, index[: len(flat)])
        keep, used = keep[:room], index[:room] < number[-1]
        fits = number.reshape(fractions.shape)[:, -1] <= room
    density = field(flat.index_select(0, keep)) * used
    return _summed(density, keep, fractions) * length, fits


def _summed(density: Tensor, keep: Tensor, fractions: Tensor) -> Tensor:
    """Return (ray,) sums of the densities of the samples that were kept."""
    rays, samples = fractions.shape
    sums = torch.zeros(rays, dtype=density.dtype, device=density.device)
    return sums.index_add(0, keep // samples, density)


def occupied_at(occupied: Tensor, points: Tensor, box: Box) -> Tensor:
    """Return (point,) bool: whether a normalised point lies in an occupied voxel."""
    half = box.half_xyz(points)
    index = torch.floor(points / box.unit + half).long()
    index = torch.minimum(index.clamp(min=0), (2 * half).long() - 1)
    return occupied[index[:, 2], index[:, 1], index[:, 0]]
