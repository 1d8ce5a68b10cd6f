"""Shifts of tilts that come one after the other, each against its nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_inr_tomo.align.correlation import Correlator
from napari_inr_tomo.align.frame import (
    axis_directions,
    border_level,
    current_axis,
    filled_images,
    resample,
    shifted,
    shifts_xy,
)
from napari_inr_tomo.types import FloatArray, Step, TiltSeries

LOW_SHARE = 0.25
HIGH_PX = 2.0
TAPER = 0.15
ROUNDS = 2
"""As `align_cross_correlation` has them: band, edges, repetitions."""


def align_new_tilts(
    series: TiltSeries, new: Sequence[int]
) -> tuple[TiltSeries, FloatArray]:
    """Return the series with shifts of new tilts, and the heights of the correlation.

    new: indices of the tilts whose shifts are to be found; the others keep theirs.  The
    one nearest in angle to a tilt that has its shift comes first, is laid on that tilt
    by cross-correlation in the frame of the tilt axis, and has its shift then.  Where
    no tilt has one, the reference keeps its own.
    heights: (new,) 1 for equal images, NaN for the one that kept its shift.
    """
    images = filled_images(series)
    shape = (images.shape[1], images.shape[2])
    correlator = Correlator(shape, LOW_SHARE, HIGH_PX, min(shape) / 3, TAPER, True)
    axis_deg, _ = current_axis(series)
    frame = np.stack(axis_directions(axis_deg))
    shifts = shifts_xy(series.start_poses).copy()
    left = [int(tilt) for tilt in new]
    done = [tilt for tilt in range(len(series)) if tilt not in left]
    heights = dict.fromkeys(left, np.nan)
    if not done:
        done = [series.reference]
        left.remove(series.reference)
    angles = series.angles_deg
    while left:
        apart = np.abs(angles[left][:, None] - angles[done][None])
        row, column = np.unravel_index(np.argmin(apart), apart.shape)
        tilt, other = left.pop(int(row)), done[int(column)]
        fixed = correlator.spectrum(
            resample(
                images[other] - border_level(images[other]), axis_deg, shifts[other]
            )
        )
        guess, flat = shifts[other], images[tilt] - border_level(images[tilt])
        for _ in range(ROUNDS):
            moving = resample(flat, axis_deg, guess)
            found, heights[tilt] = correlator.shift(fixed, moving)
            guess = guess + found @ frame
        shifts[tilt] = guess
        done.append(tilt)
    step = Step("align_new_tilts", {"tilts": [int(tilt) for tilt in new]})
    found_heights = np.array([heights[int(tilt)] for tilt in new])
    return shifted(series, shifts, step), found_heights
