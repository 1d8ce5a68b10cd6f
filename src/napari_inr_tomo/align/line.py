"""The common line as a step: the axis angle, and the shifts along the axis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from napari_inr_tomo.align.common_line import CommonLine, find_common_line
from napari_inr_tomo.align.frame import axis_directions, current_axis, with_axis
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import FloatArray, Step, TiltSeries

CLEAR = 0.25  # contrast of a common line below which it says nothing
RIVAL = 1.35
"""An angle far off that disagrees by less than this times the least may be right."""
VAGUE_DEG = 9.0
"""More uncertain than this, the angle is in doubt."""
NOTICE = "Common line: the axis angle "
_LEAST_VIEWS = 5


def align_common_line(series: TiltSeries, turning: bool = True) -> TiltSeries:
    """Return the series with the axis angle on which all profiles agree.

    Along that axis every tilt is laid on the mean profile (the "invariant line");
    across it, where a sum tells nothing, the tilts keep their shifts.  The reference
    tilt keeps its place.  It works from any shifts, and where the specimen stays in the
    field across the axis; excluded tilts turn along and keep their shifts.

    turning: take the angle as well; False only lays the tilts along the axis of the
    poses.
    An angle that is hardly better than another one is told of in a notice.  A common
    line that is not clear, or that needs more field than there is, leaves the
    poses as they are, and a notice.
    Raises `UserError` for fewer than five used views.
    """
    if series.mask.sum() < _LEAST_VIEWS:
        raise UserError(
            "There are too few views for a common line",
            f"{int(series.mask.sum())} are used",
            f"Include at least {_LEAST_VIEWS} views",
        )
    before, shift_px = current_axis(series)
    line = find_common_line(series, None if turning else before)
    parameters: dict[str, Any] = {
        "turning": bool(turning),
        "changed": False,
        "axis_deg": None if line is None else line.axis_deg,
        "contrast": None if line is None else line.contrast,
        "sigma_deg": None if line is None else line.sigma_deg,
        "rival": None if line is None or not np.isfinite(line.rival) else line.rival,
    }
    if line is None or line.contrast < CLEAR:
        why = (
            "the specimen reaches the borders on every side"
            if line is None
            else f"no angle fits clearly better than others ({line.contrast:.2f})"
        )
        notice = f"Common line: nothing was changed, since {why}"
        return series.evolve(
            Step("align_common_line", parameters), notices=(*series.notices, notice)
        )
    poses = with_axis(series, line.axis_deg, shift_px)
    moved = (
        _along_all(series, line.along_px)[:, None] * axis_directions(line.axis_deg)[0]
    )
    poses = replace(
        poses, dx_px=poses.dx_px + moved[:, 0], dy_px=poses.dy_px + moved[:, 1]
    )
    parameters |= {
        "changed": True,
        "dx_px": poses.dx_px.tolist(),
        "dy_px": poses.dy_px.tolist(),
    }
    notices = (*series.notices, *(_doubts(line) if turning else ()))
    step = Step("align_common_line", parameters)
    return series.evolve(step, poses=poses, notices=notices)


def _doubts(line: CommonLine) -> tuple[str, ...]:
    """Return why the angle may be another one, in a sentence, or nothing."""
    if line.rival < RIVAL:
        why = f"{line.rival_deg:.0f} degrees fit nearly as well"
    elif line.sigma_deg > VAGUE_DEG:
        why = f"angles {line.sigma_deg:.0f} degrees off fit nearly as well"
    else:
        return ()
    return (
        f"{NOTICE}{line.axis_deg:.1f} is in doubt, since {why}; "
        "look at the slices of the axis tool, or find the tilt axis as well",
    )


def _along_all(series: TiltSeries, along_px: FloatArray) -> FloatArray:
    """Return (tilt,) px along the axis, 0 for the reference and excluded tilts."""
    moved = np.zeros(len(series))
    moved[series.mask] = along_px
    return np.where(series.mask, moved - moved[series.reference], 0.0)
