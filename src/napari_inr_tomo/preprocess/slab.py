"""A slab of a tilt series: a few slices across the tilt axis, with what they need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_inr_tomo import geometry
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import ImageArray, Poses, Step, TiltSeries

SPARE_PX = 2
"""Pixels beyond what the poses say: they are not final yet."""


@dataclass(frozen=True)
class Slab:
    """A part of a series.

    series: its images are cut along ``axis`` (2: x, 1: y), poses and all.
    first, last: slices of the whole volume along ``axis`` that were asked for, last
    excluded; inside: where they lie in the slab's own volume.  depth_px: of the box.
    """

    series: TiltSeries
    axis: int
    first: int
    last: int
    inside: slice
    depth_px: int

    def settings(self, config: ReconstructionConfig) -> ReconstructionConfig:
        """Return the settings for the slab: the whole depth, poses as they start."""
        depth = config.depth_px or self.depth_px
        return config.merged({"depth_px": depth, "inr": {"poses": {"refine": False}}})

    def inner(self, data: ImageArray) -> ImageArray:
        """Return the slices that were asked for, of a (z, y, x) volume of the slab."""
        part: list[slice] = [slice(None)] * 3
        part[self.axis] = self.inside
        return np.ascontiguousarray(data[tuple(part)])


def cut_slab(
    series: TiltSeries, position: int | None = None, thickness_px: int = 8
) -> Slab:
    """Return the slab of ``thickness_px`` slices about ``position``.

    position: index of a column (tilt axis nearer to x) or of a row (nearer to y) of
    the images; none: the middle.  What the poses mix into the slab from beside it, by
    an oblique axis and by shifts, is cut along as a margin.  Raises `UserError` for a
    position outside the images.
    """
    poses = series.start_poses.take(series.mask)
    axis_deg = poses.axis_deg
    along_x = is_along_x(series)
    axis = 2 if along_x else 1
    size, across = series.images.shape[axis], series.images.shape[3 - axis]
    middle = size // 2 if position is None else int(position)
    if not 0 <= middle < size:
        raise UserError(
            "There is no such slice",
            f"{middle} is outside the images, which have {size} pixels along the axis",
            f"Choose one from 0 to {size - 1}",
        )
    first = min(max(0, middle - thickness_px // 2), max(0, size - thickness_px))
    last = min(size, first + thickness_px)
    margin = _margin(poses, along_x, across)
    start, end = max(0, first - margin), min(size, last + margin)
    cut: list[slice] = [slice(None)] * 3
    cut[axis] = slice(start, end)
    offset = (start + end - 1) / 2 - (size - 1) / 2
    parameters = {"axis": "x" if along_x else "y", "first": first, "last": last}
    part = series.evolve(
        Step("cut_slab", parameters | {"margin_px": margin}),
        images=np.ascontiguousarray(series.images[tuple(cut)]),
        valid=None if series.valid is None else series.valid[tuple(cut)],
        poses=geometry.poses_about(
            series.angles_deg,
            series.start_poses,
            (offset, 0.0, 0.0) if along_x else (0.0, offset, 0.0),
        ),
    )
    depth = geometry.default_depth(
        (series.images.shape[1], series.images.shape[2]), axis_deg
    )
    inside = slice(first - start, last - start)
    return Slab(part, axis, first, last, inside, depth)


def is_along_x(series: TiltSeries) -> bool:
    """Return whether the tilt axis is nearer to x than to y."""
    axis_deg = series.start_poses.take(series.mask).axis_deg
    return bool(abs(np.cos(np.deg2rad(axis_deg))) >= np.sqrt(0.5))


def _margin(poses: Poses, along_x: bool, across: int) -> int:
    """Return how far, in px, rays of the slab stray from its slices."""
    turns = np.concatenate([poses.z1_deg, poses.z3_deg])
    turns = np.deg2rad(turns if along_x else np.abs(turns) - 90)
    shift = poses.dx_px if along_x else poses.dy_px
    stray = np.abs(np.sin(turns)).max() * across / 2 + np.abs(shift).max()
    return int(np.ceil(stray)) + SPARE_PX
