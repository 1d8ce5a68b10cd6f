"""The step of projection matching: shifts and axis from what the tilts predict."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_inr_tomo.align.common_line import CommonLine, find_common_line
from napari_inr_tomo.align.frame import with_axis
from napari_inr_tomo.align.landscape import Landscape
from napari_inr_tomo.align.line import CLEAR
from napari_inr_tomo.align.line import NOTICE as LINE_NOTICE
from napari_inr_tomo.align.matching import LEVELS, MatchQuality, match
from napari_inr_tomo.align.search import NOTICE
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.passes import pass_axes, passes_of
from napari_inr_tomo.types import (
    BoolArray,
    FloatArray,
    Poses,
    Step,
    TiltSeries,
    tilts_in_words,
)

_LEAST_VIEWS = 5
_APART_DEG = 3.0
_AGREE_DEG = 2.0
_SPREAD_DEG = 0.6
_POOR = 0.5
_OUTLIER_SIGMA = 6.0
_OUTLIER_RATIO = 1.6
_WELL = 0.03
"""Share of the detail below which a tilt fits well, however well the others fit."""


def align_projections(
    series: TiltSeries, turning: bool = True, largest_px: int = 64
) -> TiltSeries:
    """Return the series with the shifts and the axis that one object explains best.

    From the poses as they are (within some pixels and ten degrees) the slices across
    the axis are reconstructed, projected, and every tilt is laid on its prediction; so
    in turns, on images of 32, 48 and 64 px.  What is wider than some of these pixels
    does not count, so a rest of background does no harm.  The reference tilt keeps its
    shift, and so the object keeps its place.  Where the common line disagrees with the
    axis of the poses, both are tried and the one that leaves less is taken.

    turning: find the axis angle as well; False holds it.  Where the series has several
    passes, each gets its own, within some degrees of the others.
    largest_px: longest side of the finest images; more is slower and finer.
    The history tells for every tilt how much is left of it; doubts leave notices.
    Raises `UserError` for fewer than five used views.
    """
    if series.mask.sum() < _LEAST_VIEWS:
        raise UserError(
            "There are too few views for projection matching",
            f"{int(series.mask.sum())} are used",
            f"Include at least {_LEAST_VIEWS} views",
        )
    used = series.only_used()
    line = find_common_line(used)
    levels = tuple(level for level in LEVELS if level[0] <= largest_px) or LEVELS[:1]
    if largest_px > levels[-1][0]:
        levels = (*levels, (int(largest_px), *levels[-1][1:]))
    start, tried = _best_start(used, line if turning else None)
    poses, quality = match(used.evolve(poses=start), turning, levels)
    residual = np.full(len(series), np.nan)
    residual[series.mask] = quality.residual
    outliers = _outliers(quality.residual)
    found = np.flatnonzero(series.mask)[outliers]
    doubts = _doubts(poses, quality, line, found.tolist(), turning)
    whole = _for_all(series, poses)
    parameters: dict[str, Any] = {
        "turning": bool(turning),
        "largest_px": int(largest_px),
        "axis_deg": poses.axis_deg,
        "axis_sigma_deg": quality.axis_sigma_deg,
        "axis_spread_deg": quality.axis_spread_deg,
        "line_axis_deg": None if line is None else line.axis_deg,
        "line_contrast": None if line is None else line.contrast,
        "starts_deg": tried,
        "residual": [None if np.isnan(value) else float(value) for value in residual],
        "last_step_deg": quality.last_step_deg,
        "last_step_px": quality.last_step_px,
        "outlier_tilts": found.tolist(),
        "doubts": doubts,
        "passes": [found.to_json() for found in passes_of(series.evolve(poses=whole))],
        "dx_px": whole.dx_px.tolist(),
        "dy_px": whole.dy_px.tolist(),
    }
    old = series.notices
    if turning:  # what the steps before left in doubt is answered here
        answered = (NOTICE, LINE_NOTICE)
        old = tuple(line for line in old if not line.startswith(answered))
    notices = (*old, *(f"Projection matching: {line}" for line in doubts))
    return series.evolve(
        Step("align_projections", parameters), poses=whole, notices=notices
    )


def _best_start(
    series: TiltSeries, line: CommonLine | None
) -> tuple[Poses, list[float]]:
    """Return the poses to begin with, and the axis angles that were tried."""
    start = series.start_poses
    tried = [start.axis_deg]
    if line is None or line.contrast < CLEAR:
        return start, tried
    if _apart(line.axis_deg, start.axis_deg) < _APART_DEG:
        return start, tried
    tried.append(line.axis_deg)
    other = with_axis(series, line.axis_deg, _shift(series, line.axis_deg))
    found = [
        match(series.evolve(poses=poses), True, LEVELS[:1]) for poses in (start, other)
    ]
    return min(found, key=lambda result: float(result[1].residual.mean()))[0], tried


def _shift(series: TiltSeries, axis_deg: float) -> float:
    """Return the shift that suits an axis angle best, px."""
    landscape = Landscape(series, 32, 40, 5)
    reach = np.linspace(-1, 1, 25) * min(series.images.shape[1:]) / 4
    return float(reach[np.argmin(landscape.misfit(axis_deg, reach))])


def _for_all(series: TiltSeries, poses: Poses) -> Poses:
    """Return poses of all tilts; excluded ones turn along and keep their shifts."""
    table = series.start_poses.as_array()
    table[:, 0], table[:, 1] = -poses.axis_deg, poses.axis_deg
    axes = pass_axes(poses, series.groups[series.mask])
    for number in np.unique(series.groups[series.mask]):
        axis_deg = axes[series.groups[series.mask] == number][0]
        table[series.groups == number, :2] = -axis_deg, axis_deg
    table[series.mask] = poses.as_array()
    return Poses.from_array(table)


def _outliers(residual: FloatArray) -> BoolArray:
    """Return (tilt,): far more is left of these than of the others."""
    middle = float(np.median(residual))
    spread = 1.4826 * float(np.median(np.abs(residual - middle)))
    limit = max(middle + _OUTLIER_SIGMA * spread, _OUTLIER_RATIO * middle, _WELL)
    return np.asarray(residual > limit)


def _doubts(
    poses: Poses,
    quality: MatchQuality,
    line: CommonLine | None,
    outliers: list[int],
    turning: bool,
) -> list[str]:
    lines = []
    left = float(np.median(quality.residual))
    if left > _POOR:
        lines.append(
            f"{left:.0%} of the detail of the images is left unexplained, so shifts "
            "and axis are in doubt"
        )
    if outliers:
        lines.append(
            f"{tilts_in_words(outliers)} {'fits' if len(outliers) == 1 else 'fit'} far "
            "worse than the others; look there, and leave out what is broken"
        )
    if not turning:
        return lines
    if line is not None and line.contrast >= CLEAR:
        gap = _apart(line.axis_deg, poses.axis_deg)
        if gap > _AGREE_DEG:
            lines.append(
                f"the axis is at {poses.axis_deg:.1f} degrees here and at "
                f"{line.axis_deg:.1f} by the common line, so its angle is in doubt"
            )
    if quality.axis_spread_deg > _SPREAD_DEG:
        lines.append(
            f"the tilts disagree about the axis angle by {quality.axis_spread_deg:.1f} "
            "degrees (one standard deviation), so it is in doubt"
        )
    elif quality.axis_sigma_deg > 0.5 or quality.last_step_deg > 0.25:
        lines.append("the images hardly tell the axis angle, so it is in doubt")
    return lines


def _apart(a_deg: float, b_deg: float) -> float:
    return abs((a_deg - b_deg + 90) % 180 - 90)
