"""The box the network lives in: pixels outside, [-1, 1] inside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from napari_inr_tomo.geometry import centred


@cache
def _half_xyz(
    shape_zyx: tuple[int, int, int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return a constant that is sent to a GPU only once: sending it makes both wait."""
    z, y, x = shape_zyx
    return torch.tensor([x / 2, y / 2, z / 2], dtype=dtype, device=device)


@dataclass(frozen=True)
class Box:
    """A volume of ``shape_zyx`` voxels, one pixel each, centred on the origin.

    Normalised coordinates are pixels times `unit`, so the longest edge spans [-1, 1]
    and the scale is the same along every axis; the density of a field is intensity per
    normalised length, so a line integral over the longest edge has length 2, as in the
    paper (section 4.1.1).
    """

    shape_zyx: tuple[int, int, int]

    @property
    def unit(self) -> float:
        """Normalised length of one pixel."""
        return 2.0 / max(self.shape_zyx)

    def half_xyz(self, like: Tensor) -> Tensor:
        """Return (3,) half extents in pixels, x y z, with the type of ``like``."""
        return _half_xyz(self.shape_zyx, like.dtype, like.device)

    def coarse(self, occupied: Tensor, step: int) -> Tensor:
        """Return which cells of a coarser lattice hold an occupied (z, y, x) voxel."""
        if step == 1:
            return occupied
        spare = [
            cells * step - n
            for cells, n in zip(self.coarse_shape(step), self.shape_zyx, strict=True)
        ]
        sides = [side for n in reversed(spare) for side in (n // 2, n - n // 2)]
        padded = torch.nn.functional.pad(occupied.float()[None, None], sides)
        return torch.nn.functional.max_pool3d(padded, step)[0, 0] > 0

    def lattice(
        self, step: int, chunk: int, like: Tensor
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield (slice of the flat volume, (n, 3) normalised coordinates) by chunks.

        ``step`` > 1 gives a coarser lattice: cells of step^3 voxels, sampled at their
        centres.  Memory does not depend on the size of the volume.
        """
        axes = [
            torch.as_tensor(self.axis(n, step), dtype=like.dtype, device=like.device)
            * self.unit
            for n in self.shape_zyx
        ]
        nz, ny, nx = (len(a) for a in axes)
        total = nz * ny * nx
        for start in range(0, total, chunk):
            index = torch.arange(start, min(start + chunk, total), device=like.device)
            z = axes[0][index // (ny * nx)]
            y = axes[1][(index // nx) % ny]
            x = axes[2][index % nx]
            yield slice(start, start + len(index)), torch.stack([x, y, z], -1)

    @staticmethod
    def axis(count: int, step: int) -> list[float]:
        """Return the pixel coordinates of one axis of a (coarser) lattice."""
        if step == 1:
            return [float(v) for v in centred(count)]
        cells = -(-count // step)
        return [(i - (cells - 1) / 2) * step for i in range(cells)]

    def coarse_shape(self, step: int) -> tuple[int, int, int]:
        """Return the (z, y, x) shape of the lattice `lattice` walks over."""
        z, y, x = (-(-n // step) for n in self.shape_zyx)
        return z, y, x
