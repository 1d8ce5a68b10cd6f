"""The steps of the alignment in a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_inr_tomo.align.correlation import align_cross_correlation
from napari_inr_tomo.align.mass import align_center_of_mass
from napari_inr_tomo.align.projections import align_projections
from napari_inr_tomo.align.search import align_tilt_axis
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries

_STEPS: dict[str, Callable[[TiltSeries], TiltSeries]] = {
    "xcorr": align_cross_correlation,
    "com": align_center_of_mass,
    "axis": align_tilt_axis,
    "match": align_projections,
}
STEPS = tuple(_STEPS)


def align(series: TiltSeries, steps: Sequence[str] = STEPS) -> TiltSeries:
    """Return the series after the named steps, each with its default settings.

    steps: any of xcorr, com, axis, match, in the order they are to be done.  Which
    shifts are along the axis and which across is known only once the axis is: where
    ``axis`` follows on ``com``, the centres of mass are fitted anew for every angle it
    tries.
    Raises `UserError` for an unknown step, and as the steps do.
    """
    unknown = [name for name in steps if name not in _STEPS]
    if unknown:
        raise UserError(
            "An alignment step is not known",
            f"{', '.join(unknown)} is none of {', '.join(STEPS)}",
            f"Choose from {', '.join(STEPS)}",
        )
    centred = False
    for name in steps:
        if name == "axis":
            series = align_tilt_axis(series, recentre=centred)
        else:
            series = _STEPS[name](series)
            centred = name == "com"
    return series
