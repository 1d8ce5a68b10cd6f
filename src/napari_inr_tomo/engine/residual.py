"""What a volume leaves unexplained of every tilt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import prepare
from napari_inr_tomo.engine.job import Job
from napari_inr_tomo.engine.memory import is_full
from napari_inr_tomo.engine.sharded import ShardedProjector
from napari_inr_tomo.types import Poses


def residual_rms(
    projector: Projector, volume: Tensor, images: Tensor, valid: Tensor | None
) -> NDArray[np.float64]:
    """Return (tilt,) rms of measured minus projected pixels, in the images' intensity.

    volume: (z, y, x).  images: (tilt, y, x).  valid: like the images, False where a
    pixel does not count.  NaN where none counts.
    """
    data, usable = prepare(projector, images, valid)
    wrong = (projector.forward(volume.to(data)) - data).mul_(usable)
    power = (wrong**2).sum(dim=(1, 2)).double() / usable.sum(dim=(1, 2)).double()
    return power.sqrt().cpu().numpy()


def residual_at(
    job: Job, poses: Poses, volume: Tensor, images: Tensor, weight: Tensor | None
) -> NDArray[np.float64]:
    """Return `residual_rms` at other poses, for a run that ended too soon to know it.

    In the input's intensity; volume and images are normalised.  weight: like the
    images, 0 where a pixel does not count.  NaN where the memory is too small: the
    result is worth more than this number.
    """
    shape = job.shape_yx
    try:
        projector = ShardedProjector(
            job.ranks, job.spec.angles_deg, poses, shape, job.depth_px
        )
        valid = None if weight is None else weight > 0
        return residual_rms(projector, volume, images, valid) * job.scale
    except (MemoryError, RuntimeError) as error:
        if not is_full(error):
            raise
        return np.full(len(images), np.nan)
