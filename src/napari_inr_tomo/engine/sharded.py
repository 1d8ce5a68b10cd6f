"""A projector whose tilts are shared out among the ranks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.types import Poses


class ShardedProjector(Projector):
    """Looks like a `Projector` of all tilts; every rank works on its share.

    Images and volumes are whole on every rank, so SIRT and TV run unchanged; one
    message per projection and one per back-projection.
    """

    def __init__(
        self,
        ranks: Ranks,
        angles_deg: ArrayLike,
        poses: Poses,
        image_shape_yx: tuple[int, int],
        depth_px: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(
            angles_deg, poses, image_shape_yx, depth_px, ranks.device, dtype
        )
        self._ranks = ranks
        self._mine = np.arange(ranks.rank, len(self), ranks.size)
        self._share = (
            self.subset(self._mine) if 0 < len(self._mine) < len(self) else None
        )

    def _like(self, poses: Poses, image_shape_yx: tuple[int, int]) -> ShardedProjector:
        return ShardedProjector(
            self._ranks,
            self.angles_deg,
            poses,
            image_shape_yx,
            self.depth_px,
            self.dtype,
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Return the (tilt, y, x) projections of a (z, y, x) volume."""
        if self._ranks.size == 1:
            return super().forward(volume)
        images = torch.zeros(self.shape_tyx, dtype=self.dtype, device=self.device)
        if self._share is not None:
            images[self._mine] = self._share.forward(volume)
        self._ranks.sum([images])
        return images

    def adjoint(self, images: Tensor) -> Tensor:
        """Return the (z, y, x) back-projection of (tilt, y, x) images."""
        if self._ranks.size == 1:
            return super().adjoint(images)
        volume = torch.zeros(self.shape_zyx, dtype=self.dtype, device=self.device)
        if self._share is not None:
            volume += self._share.adjoint(images[self._mine])
        self._ranks.sum([volume])
        return volume
