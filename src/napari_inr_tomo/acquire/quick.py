"""A volume in seconds, on images made small enough for it."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from napari_inr_tomo.geometry import default_depth
from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import Step, TiltSeries, Volume

QuickMethod = Literal["sirt", "fbp", "tv"]
QUICK_METHODS: tuple[QuickMethod, ...] = get_args(QuickMethod)
ITERATIONS = {"sirt": 20, "tv": 40}
LARGEST_PX = 160
"""Longer side of the images that are reconstructed; larger ones are binned."""


def quick_volume(
    series: TiltSeries, method: QuickMethod, largest_px: int = LARGEST_PX
) -> Volume:
    """Return a first volume (z, y, x) of the used tilts at their present poses.

    Images whose longer side exceeds ``largest_px`` are binned first, and the voxels are
    as large as the binned pixels; their intensity is per such voxel.
    SIRT has 20 iterations with momentum, TV 40 with weight 1.
    Raises `UserError` where no tilt is used.
    """
    import torch

    from napari_inr_tomo.classic import Projector
    from napari_inr_tomo.classic.fbp import fbp
    from napari_inr_tomo.classic.sirt import sirt
    from napari_inr_tomo.classic.tv import tv

    series = series.only_used()
    factor = -(-max(series.images.shape[1:]) // largest_px)
    if factor > 1:
        series = bin_images(series, factor)
    rows, columns = series.images.shape[1:]
    poses = series.start_poses
    depth = default_depth((rows, columns), poses.axis_deg)
    projector = Projector(series.angles_deg, poses, (rows, columns), depth)
    images = torch.from_numpy(np.array(series.images))
    valid = None if series.valid is None else torch.from_numpy(np.array(series.valid))
    if method == "fbp":
        data = fbp(projector, images, valid=valid)
    elif method == "tv":
        data = tv(projector, images, ITERATIONS["tv"], valid=valid)
    else:
        data = sirt(projector, images, ITERATIONS["sirt"], valid=valid, momentum=True)
    step = Step("quick_volume", {"method": method, "binning": factor})
    return Volume(
        data.numpy(), series.pixel_size_nm, series.name, (*series.history, step)
    )
