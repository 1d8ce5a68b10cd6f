"""Poses as something to learn: z1, z3, dx, dy per tilt and one shared axis angle."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from napari_inr_tomo import geometry
from napari_inr_tomo.types import Poses


class LearnedPoses(nn.Module):
    """Deviations from the start poses, with the gauge of `geometry.fix_gauge`.

    axis_deg: one angle that turns the tilt axis of all tilts (z1 - a, z3 + a); it makes
    a common axis error one parameter instead of two per tilt.
    angle_deg: (tilt, 2) deviations of z1, z3.  shift_px: (tilt, 2) of dx, dy.
    The reference tilt's own deviations stay zero; a frozen tilt does not take part in
    the shared axis either and stays where it started.
    """

    start: Tensor
    angles_deg: Tensor
    free: Tensor
    turns: Tensor
    depth: Tensor

    def __init__(
        self,
        angles_deg: ArrayLike,
        start: Poses,
        reference: int,
        frozen: ArrayLike = (),
    ) -> None:
        """frozen: indices of tilts that keep their start pose."""
        super().__init__()
        angles = np.asarray(angles_deg, np.float64)
        held = np.asarray(frozen, int).reshape(-1)
        depth = geometry.depth_direction(angles, start)
        depth[reference] = 0.0
        if np.abs(depth[held]).max(initial=0.0) > 1e-6:
            depth[:] = 0.0  # a frozen tilt fixes where the object lies along z
        depth /= max(float(np.linalg.norm(depth)), 1e-12)
        free, turns = np.ones((len(angles), 1)), np.ones((len(angles), 1))
        free[reference] = free[held] = turns[held] = 0.0
        self.reference = reference
        self.origin = start
        self.register_buffer("start", torch.tensor(start.as_array()))
        self.register_buffer("angles_deg", torch.tensor(angles))
        self.register_buffer("free", torch.as_tensor(free))
        self.register_buffer("turns", torch.as_tensor(turns))
        self.register_buffer("depth", torch.as_tensor(depth))
        self.axis_deg = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.angle_deg = nn.Parameter(torch.zeros(len(angles), 2, dtype=torch.float64))
        self.shift_px = nn.Parameter(torch.zeros(len(angles), 2, dtype=torch.float64))

    def current(self) -> tuple[Tensor, Tensor]:
        """Return (tilt, 2) z1, z3 in degrees and (tilt, 2) dx, dy in pixels."""
        turn = torch.stack([-self.axis_deg, self.axis_deg])
        angle = self.start[:, :2] + self.turns * turn + self.free * self.angle_deg
        return angle, self.start[:, 2:] + self.free * self.shift_px

    def placing(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return (tilt, 3, 3) rotations and (tilt, 2) shifts for `rays_to_object`."""
        angle, shift = self.current()
        rotation = geometry.object_to_detector(
            angle[:, 0], self.angles_deg, angle[:, 1], torch
        )
        return rotation.to(dtype), shift.to(dtype)

    @staticmethod
    def rays_to_object(
        placing: tuple[Tensor, Tensor], tilt: Tensor, points: Tensor
    ) -> Tensor:
        """Return object coordinates of detector points.

        placing: of the type of ``points``; tilt: (ray,) indices; points:
        (ray, sample, 3) detector x, y, depth in px.
        """
        rotation, shift = (values.index_select(0, tilt) for values in placing)
        moved = points - torch.nn.functional.pad(shift, (0, 1))[:, None]
        turned: Tensor = moved @ rotation  # row vectors: p R = (R^T p)^T
        return turned

    @torch.no_grad()
    def pin(self) -> None:
        """Remove what the data cannot fix (called after every step)."""
        self.angle_deg.mul_(self.free)
        self.shift_px.mul_(self.free)
        self.shift_px.sub_((self.shift_px * self.depth).sum() * self.depth)

    @torch.no_grad()
    def poses(self) -> Poses:
        """Return the present poses, gauge fixed by `pin`."""
        angle, shift = self.current()
        return Poses.from_array(torch.cat([angle, shift], 1).cpu().numpy())
