"""The mean of a box as the background: for comparison, and for its simplicity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.background_settings import BackgroundSettings
from napari_inr_tomo.types import BoolArray, FloatArray

_BOX_SHARE = 8  # the automatic box is this part of each side


def box_mean(
    values: FloatArray, blocked: BoolArray, settings: BackgroundSettings
) -> tuple[BoolArray, float]:
    """Return (y, x) bool, False where an image was looked at, and the mean there.

    values, blocked: (y, x), what does not count.  The box is that of the settings, or
    the darkest one.  Raises `UserError` where nothing in it counts.
    """
    if settings.box is None:
        settings = replace(settings, box=darkest_box(values))
    rows, columns = box_slices(settings, values.shape)
    outside = np.ones(values.shape, bool)
    outside[rows, columns] = blocked[rows, columns]
    if outside.all():
        raise UserError(
            "The box for the background holds no pixel to use",
            "all of it is masked",
            "Choose another box",
        )
    return outside, float(values[~outside].mean())


def darkest_box(values: NDArray[np.floating]) -> tuple[int, int, int, int]:
    """Return y0, y1, x0, x1 of the box, an eighth of each side, with the least mean."""
    rows, columns = (max(1, n // _BOX_SHARE) for n in values.shape)
    mean = ndimage.uniform_filter(
        np.asarray(values, np.float64), (rows, columns), mode="nearest"
    )
    top, left = rows // 2, columns // 2
    inside = mean[
        top : top + values.shape[0] - rows + 1,
        left : left + values.shape[1] - columns + 1,
    ]
    y, x = (int(n) for n in np.unravel_index(int(np.argmin(inside)), inside.shape))
    return y, y + rows, x, x + columns


def box_slices(
    settings: BackgroundSettings, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return the rows and columns of the box; raises `UserError` if it is outside."""
    assert settings.box is not None  # noqa: S101 - filled in by the callers
    y0, y1, x0, x1 = settings.box
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise UserError(
            "The box for the background is not in the image",
            f"it is rows {y0} to {y1} and columns {x0} to {x1} of {shape[0]} x "
            f"{shape[1]} pixels (y, x)",
            "Give the first row, the row after the last, and the same for columns",
        )
    return slice(y0, y1), slice(x0, x1)
