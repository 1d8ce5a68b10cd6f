"""The measured stack on the device, normalised, ready to be drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_inr_tomo.inr.rendering import Rays

EDGE = 0.1
"""Pixels nearer to the edge of the image than this share of it do not move poses."""


def intensity_scale(
    images: NDArray[Any], valid: NDArray[np.bool_] | None = None
) -> float:
    """Return the number intensities are divided by: the 95th percentile.

    Of the pixels that are ``valid``, where given.  For a stack so sparse that this is
    nearly zero, the 99.9th percentile instead; 1 for an empty stack.  numpy's
    percentile has no limit on the number of elements.
    """
    counted = images if valid is None else images[valid]
    if not counted.size:
        return 1.0
    common, bright = np.percentile(counted, [95, 99.9])
    scale = common if common > 0.05 * bright else bright
    return float(scale) if scale > 0 else 1.0


@dataclass(frozen=True)
class Stack:
    """images: (tilt, y, x) normalised; weight: same shape, 0 where to be ignored.

    order: (tilt,) int64, the tilts sorted by angle, or None for those of the stack.
    Pixels are drawn by their numbers in that order, so that the order in which the
    images were taken does not change what is drawn.
    """

    images: Tensor
    weight: Tensor | None
    scale: float
    order: Tensor | None = None

    @classmethod
    def load(
        cls,
        images: NDArray[Any],
        valid: NDArray[Any] | None,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        scale: float | None = None,
        angles_deg: ArrayLike | None = None,
    ) -> Stack:
        """Divide a stack by ``scale`` and put it on the device.

        angles_deg: (tilt,); where not sorted, pixels are drawn as if they were.
        """
        scale = scale or intensity_scale(images, valid)
        values = torch.as_tensor(np.array(images, np.float32), device=device) / scale
        weight = None
        if valid is not None:
            weight = torch.as_tensor(np.array(valid, bool), device=device).to(dtype)
        order = None
        if angles_deg is not None:
            sorted_ = np.argsort(angles_deg, kind="stable")
            if (np.diff(sorted_) != 1).any():
                order = torch.as_tensor(sorted_, device=device)
        return cls(values.to(dtype), weight, scale, order)

    @property
    def tilts(self) -> int:
        """Number of tilts."""
        return self.images.shape[0]

    @property
    def pixels(self) -> int:
        """Number of pixels of all tilts."""
        return self.images.numel()

    @property
    def dtype(self) -> torch.dtype:
        """Type of coordinates and intensities."""
        return self.images.dtype

    @cached_property
    def _reach(self) -> Tensor:
        """(2,) largest |x|, |y| of pixels that move poses; made once."""
        _, height, width = self.images.shape
        return self.images.new_tensor([width, height]) * (0.5 - EDGE)

    def rays(self, pixels: Tensor) -> tuple[Rays, Tensor, Tensor]:
        """Return rays, measured values and weights of flat pixel numbers.

        The numbers count the tilts in the order of their angles, where there is one.
        """
        _, height, width = self.images.shape
        tilt = pixels // (height * width)
        if self.order is not None:
            tilt = self.order.index_select(0, tilt)
            pixels = tilt * (height * width) + pixels % (height * width)
        row = (pixels // width) % height
        column = pixels % width
        uv = torch.stack([column - (width - 1) / 2, row - (height - 1) / 2], -1).to(
            self.dtype
        )
        rays = Rays(tilt, uv, (uv.abs() <= self._reach).all(-1))
        target = self.images.reshape(-1)[pixels]
        if self.weight is None:
            return rays, target, torch.ones_like(target)
        return rays, target, self.weight.reshape(-1)[pixels]
