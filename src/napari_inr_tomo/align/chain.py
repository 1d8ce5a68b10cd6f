"""The steps of the alignment in a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from napari_inr_tomo.align.correlation import align_cross_correlation
from napari_inr_tomo.align.frame import current_axis
from napari_inr_tomo.align.mass import align_center_of_mass
from napari_inr_tomo.align.search import align_tilt_axis
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries

_STEPS: dict[str, Callable[[TiltSeries], TiltSeries]] = {
    "xcorr": align_cross_correlation,
    "com": align_center_of_mass,
    "axis": align_tilt_axis,
}
_SAME_AXIS_DEG = 0.2
_NEAR_DEG = 8.0
_MOST_REPEATS = 4
STEPS = tuple(_STEPS)


def align(
    series: TiltSeries, steps: Sequence[str] = ("xcorr", "com", "axis")
) -> TiltSeries:
    """Return the series after the named steps, each with its default settings.

    steps: any of xcorr, com, axis, in the order they are to be done.  Which shifts are
    along the axis and which across is known only once the axis is: where ``com`` comes
    before ``axis`` and the axis turns out to be another than supposed, both are repeated
    until it stays.  The history holds every step that was done.
    Raises `UserError` for an unknown step, and as the steps do.
    """
    unknown = [name for name in steps if name not in _STEPS]
    if unknown:
        raise UserError(
            "An alignment step is not known",
            f"{', '.join(unknown)} is none of {', '.join(STEPS)}",
            f"Choose from {', '.join(STEPS)}",
        )
    supposed: float | None = None
    for name in steps:
        before = series.notices
        series = _STEPS[name](series)
        if name == "com":
            supposed = current_axis(series)[0]
        if name == "axis" and supposed is not None:
            series = _settled(series, supposed, before)
            supposed = None
    return series


def _settled(
    series: TiltSeries, supposed: float, notices: tuple[str, ...]
) -> TiltSeries:
    """Repeat centre of mass and axis, near the axis found, until it stays."""
    for _ in range(_MOST_REPEATS):
        axis_deg = current_axis(series)[0]
        if abs((axis_deg - supposed + 90) % 180 - 90) < _SAME_AXIS_DEG:
            break
        supposed = axis_deg
        centred = align_center_of_mass(series.evolve(notices=notices))
        near = (axis_deg - _NEAR_DEG, axis_deg + _NEAR_DEG)
        series = align_tilt_axis(centred, range_deg=near)
    return series
