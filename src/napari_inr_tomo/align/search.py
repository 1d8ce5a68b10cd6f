"""The tilt axis found by itself: the one with which an object explains all tilts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_inr_tomo.align.checks import axis_from_masses
from napari_inr_tomo.align.common_line import find_common_line
from napari_inr_tomo.align.frame import (
    current_axis,
    set_tilt_axis,
)
from napari_inr_tomo.align.landscape import QUANTILES, Landscape
from napari_inr_tomo.align.line import NOTICE as LINE_NOTICE
from napari_inr_tomo.align.mass import MassModel
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import FloatArray, Step, TiltSeries

_COARSE_PX = 48
_COARSE_TILTS = 40
_FINE_PX = 64
_FINE_TILTS = 100
_FINE_SLICES = 7
_LEAST_VIEWS = 5
NOTICE = "Tilt axis: "
"""How the sentences of this step begin."""


@dataclass(frozen=True, eq=False)
class AxisEstimate:
    """Where the tilt axis seems to be, and how sure that is.

    axis_deg, shift_px: as in `set_tilt_axis`.
    score: 0 to 1, how far the misfit at the minimum lies below that of quite other
    angles; below about 0.3 the minimum is shallow.
    negativity_before, negativity_after: ratio of negative to positive energy of the
    slices with the poses as they were and with the axis found.
    profile_axis_deg: angle from another measure, the common line of all tilts; None
    where the specimen reaches the edges across the axis.
    mass_shift_px: shift from another measure, the centre of mass fitted by
    ``c + y cos(theta) - z sin(theta)``; None where mass touches the borders.
    agreement: sentences that say how far the measures agree.
    positions: pixels along the axis of the slices that were looked at.
    """

    axis_deg: float
    shift_px: float
    score: float
    negativity_before: float
    negativity_after: float
    profile_axis_deg: float | None
    mass_shift_px: float | None
    agreement: tuple[str, ...]
    positions: FloatArray


def find_tilt_axis(
    series: TiltSeries,
    range_deg: tuple[float, float] = (-90.0, 90.0),
    max_shift_px: float | None = None,
    slices: int = 5,
    recentre: bool = False,
) -> AxisEstimate:
    """Find the angle and the shift of the tilt axis.

    With the right axis, some non-negative object explains all tilts; with a wrong one,
    none does.  So a few slices across the axis are reconstructed in a few iterations,
    and the axis with the least residual is searched, on a coarse grid of small images
    first, then ever finer.  (The ratio of negative to positive energy of filtered
    back-projections, which is reported too, finds the same axis from a full range of
    tilts but the wrong one with a missing wedge, whose own negative streaks then
    decide.)  The tilts must be aligned to each other beforehand; they keep their
    relative shifts.

    range_deg: angles to search; an axis and the same turned by 180 degrees differ
    only in handedness, so +-90 degrees is everything.
    max_shift_px: largest distance of the axis from the image centre; none: a quarter
    of the shorter side.
    slices: number of slices for the search, 1 to 7, laid where the specimen is; the
    last refinement takes seven.
    recentre: find the shifts by the centre of mass anew for every angle that is tried,
    as they depend on it; has no effect where the specimen reaches the borders.
    Raises `UserError` for fewer than five used views or a range of tilts below 20
    degrees, which do not tell an axis.
    """
    _check(series, range_deg, slices)
    used = series.only_used()
    shape = used.images.shape[1:]
    if max_shift_px is None:
        max_shift_px = min(shape) / 4
    masses = _usable_masses(series) if recentre else None
    rough = Landscape(series, _COARSE_PX, _COARSE_TILTS, min(slices, 3), 10, masses)
    coarse = Landscape(series, _COARSE_PX, _COARSE_TILTS, slices, 15, masses)
    angles = np.arange(range_deg[0], range_deg[1] + 1e-9, 4.0)
    everything = range_deg[1] - range_deg[0] > 179.9
    angles = angles[:-1] if everything else angles
    step = max(1.0, max_shift_px / 8)
    reach = np.arange(-np.floor(max_shift_px / step), max_shift_px / step + 1e-9) * step
    table = np.stack([rough.misfit(angle, reach) for angle in angles])
    best = min(
        (
            _descend(coarse, angle, shift, 2.0, step / 2)
            for angle, shift in _separate_minima(table, angles, reach)
        ),
        key=lambda found: found[2],
    )
    fine = Landscape(series, _FINE_PX, _FINE_TILTS, _FINE_SLICES, 25, masses)
    axis_deg, shift_px = _parabolic(fine, best[0], best[1])
    score = _score(coarse, rough, best, reach)
    before = Landscape(series, _FINE_PX, _FINE_TILTS, _FINE_SLICES).negativity(
        *current_axis(series)
    )
    after = fine.negativity(axis_deg, shift_px)
    if everything and not range_deg[0] <= axis_deg < range_deg[1]:
        axis_deg = (axis_deg - range_deg[0]) % 180 + range_deg[0]
        shift_px = -shift_px
    return _with_checks(
        series,
        AxisEstimate(
            axis_deg,
            shift_px,
            score,
            before,
            after,
            None,
            None,
            (),
            fine.positions(axis_deg),
        ),
    )


def align_tilt_axis(
    series: TiltSeries,
    range_deg: tuple[float, float] = (-90.0, 90.0),
    max_shift_px: float | None = None,
    slices: int = 5,
    recentre: bool = False,
) -> TiltSeries:
    """Return the series with the tilt axis that `find_tilt_axis` finds.

    The same arguments and errors; a doubtful result leaves a notice.
    """
    found = find_tilt_axis(series, range_deg, max_shift_px, slices, recentre)
    masses = _usable_masses(series) if recentre else None
    if masses is not None:
        dx, dy = masses.shifts(found.axis_deg).T
        poses = replace(series.start_poses, dx_px=dx, dy_px=dy)
        series = series.evolve(poses=poses)
    placed = set_tilt_axis(series, found.axis_deg, found.shift_px)
    parameters = {
        "range_deg": [float(angle) for angle in range_deg],
        "max_shift_px": max_shift_px,
        "slices": slices,
        "recentre": masses is not None,
        "axis_deg": found.axis_deg,
        "shift_px": found.shift_px,
        "score": found.score,
        "negativity_before": found.negativity_before,
        "negativity_after": found.negativity_after,
        "profile_axis_deg": found.profile_axis_deg,
        "mass_shift_px": found.mass_shift_px,
        "agreement": list(found.agreement),
    }
    old = (line for line in series.notices if not line.startswith(LINE_NOTICE))
    doubts = tuple(NOTICE + line for line in found.agreement if "doubt" in line)
    return series.evolve(
        Step("align_tilt_axis", parameters),
        poses=placed.start_poses,
        notices=(*old, *doubts),
    )


def _usable_masses(series: TiltSeries) -> MassModel | None:
    masses = MassModel(series)
    return masses if masses.usable else None


def _score(
    coarse: Landscape,
    rough: Landscape,
    best: tuple[float, float, float],
    shifts_px: FloatArray,
) -> float:
    """Return 0 to 1: how far the least misfit lies below that of other angles."""
    others = []
    for turn in (30.0, 60.0, 90.0, 120.0, 150.0):
        nearest = shifts_px[np.argmin(rough.misfit(best[0] + turn, shifts_px))]
        others.append(float(coarse.misfit(best[0] + turn, [nearest])[0]))
    return float(np.clip(1 - best[2] / max(float(np.median(others)), 1e-30), 0, 1))


def _descend(
    landscape: Landscape,
    axis_deg: float,
    shift_px: float,
    step_deg: float,
    step_px: float,
) -> tuple[float, float, float]:
    """Return angle, shift and misfit of the minimum near a start.

    A 3 x 3 pattern moves downhill and halves where its centre is the least.
    """
    least = np.inf
    for _ in range(25):
        shifts = shift_px + step_px * np.array([-1.0, 0.0, 1.0])
        around = axis_deg + step_deg * np.array([-1.0, 0.0, 1.0])
        table = np.stack([landscape.misfit(angle, shifts) for angle in around])
        i, j = divmod(int(np.argmin(table)), 3)
        axis_deg, shift_px = float(around[i]), float(shifts[j])
        least = float(table[i, j])
        if (i, j) == (1, 1):
            if step_deg < 1.2:
                break
            step_deg, step_px = step_deg / 2, step_px / 2
    return axis_deg, shift_px, least


def _parabolic(
    landscape: Landscape, axis_deg: float, shift_px: float
) -> tuple[float, float]:
    """Return the minimum of a quadratic surface through 3 x 3 values, three times."""
    steps = np.array([-1.0, 0.0, 1.0])
    a, s = np.meshgrid(steps, steps, indexing="ij")
    columns = np.stack([a * a, a * s, s * s, a, s, np.ones_like(a)], -1).reshape(9, 6)
    for step_deg, step_px in ((1.5, 1.0), (0.8, 0.6), (0.5, 0.4)):
        step_px *= landscape.factor
        table = [
            landscape.misfit(axis_deg + step_deg * k, shift_px + step_px * steps)
            for k in steps
        ]
        fit, *_ = np.linalg.lstsq(columns, np.ravel(table), rcond=None)
        hessian = np.array([[2 * fit[0], fit[1]], [fit[1], 2 * fit[2]]])
        if np.linalg.eigvalsh(hessian)[0] > 0:
            move = np.linalg.solve(hessian, -fit[3:5])
        else:
            i, j = np.unravel_index(int(np.argmin(table)), (3, 3))
            move = np.array([steps[i], steps[j]])
        move = np.clip(move, -1.5, 1.5)
        axis_deg += step_deg * float(move[0])
        shift_px += step_px * float(move[1])
    return axis_deg, shift_px


def _separate_minima(
    table: FloatArray, angles: FloatArray, shifts: FloatArray, count: int = 3
) -> list[tuple[float, float]]:
    """Return the (angle, shift) of the least values at least 9 degrees apart."""
    starts: list[tuple[float, float]] = []
    for flat in np.argsort(table, axis=None):
        i, j = np.unravel_index(int(flat), table.shape)
        apart = [abs((angles[i] - angle + 90) % 180 - 90) for angle, _ in starts]
        if all(distance >= 9 for distance in apart):
            starts.append((float(angles[i]), float(shifts[j])))
        if len(starts) == count:
            break
    return starts


def _with_checks(series: TiltSeries, found: AxisEstimate) -> AxisEstimate:
    lines: list[str] = []
    if found.score < 0.3:
        lines.append(
            f"the minimum is shallow (score {found.score:.2f}), so the axis is in "
            "doubt; look at the slices and set it by hand if they show crescents"
        )
    line = find_common_line(series)
    other = None if line is None else line.axis_deg
    if other is not None:
        gap = abs((other - found.axis_deg + 90) % 180 - 90)
        agrees = f"agrees to {max(gap, 0.1):.1f} degrees"
        verdict = agrees if gap < 2 else "disagrees, so the angle is in doubt"
        lines.append(f"the common line gives {other:.1f} degrees: {verdict}")
    mass = axis_from_masses(series, found.axis_deg)
    if mass is not None:
        gap = abs(mass - found.shift_px)
        verdict = f"agrees to {max(gap, 0.1):.1f} px" if gap < 2 else "differs"
        lines.append(f"the centre of mass gives a shift of {mass:.1f} px: {verdict}")
    if other is None and mass is None:
        lines.append(
            "the specimen reaches the borders, no other measure can confirm the "
            "axis and it is in doubt; look at the slices"
        )
    return replace(
        found, profile_axis_deg=other, mass_shift_px=mass, agreement=tuple(lines)
    )


def _check(series: TiltSeries, range_deg: tuple[float, float], slices: int) -> None:
    angles = series.angles_deg[series.mask]
    if len(angles) < _LEAST_VIEWS or np.ptp(angles) < 20:
        raise UserError(
            "These views do not tell a tilt axis",
            f"{len(angles)} views over {np.ptp(angles):.0f} degrees are used",
            f"Use {_LEAST_VIEWS} views over 20 degrees or set the axis by hand",
        )
    if not range_deg[0] < range_deg[1] or range_deg[1] - range_deg[0] > 180:
        raise UserError(
            "The range of axis angles is not valid",
            f"it is {range_deg[0]} to {range_deg[1]} degrees",
            "Give a lower and an upper angle at most 180 degrees apart",
        )
    if not 1 <= slices <= len(QUANTILES):
        raise UserError(
            "The number of slices is not valid",
            f"it is {slices}",
            f"Choose from 1 to {len(QUANTILES)}",
        )
