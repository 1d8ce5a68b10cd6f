"""What is known about a series, corrected by hand: angles, handedness, pixel size."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import Step, TiltSeries


def set_angles(
    series: TiltSeries, angles_deg: ArrayLike, source: str = "given"
) -> TiltSeries:
    """Return the series with other angles; everything else stays.

    angles_deg: (tilt,) degrees, in the order of the stack; source: where they are from.
    Raises `UserError` for a wrong number of angles.
    """
    angles = np.asarray(angles_deg, np.float64)
    step = Step("set_angles", {"angles_deg": angles.tolist(), "source": source})
    return series.evolve(step, angles_deg=angles, angle_source=source)


def flip_handedness(series: TiltSeries) -> TiltSeries:
    """Return the series with the sign of every tilt angle turned round.

    The volume comes out mirrored along the beam: some microscopes and programs count
    the angles the other way round.
    """
    return series.evolve(Step("flip_handedness"), angles_deg=-series.angles_deg)


def set_pixel_size(series: TiltSeries, pixel_size_nm: float) -> TiltSeries:
    """Return the series with another pixel size, nm.

    Raises `UserError` if it is not a number above zero.
    """
    size = float(pixel_size_nm)
    if not (np.isfinite(size) and size > 0):
        raise UserError(
            "The pixel size is not valid", f"it is {size} nm", "Give a number above 0"
        )
    step = Step("set_pixel_size", {"pixel_size_nm": size})
    return series.evolve(step, pixel_size_nm=size)
