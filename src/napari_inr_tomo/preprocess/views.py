"""Leaving views out of a reconstruction, and taking them back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import Step, TiltSeries

_LEAST_VIEWS = 2


def exclude_views(series: TiltSeries, tilts: Sequence[int]) -> TiltSeries:
    """Return the series with the views ``tilts`` marked as not used.

    tilts: indices into the stack, counted from 0.  The images stay in the stack; views
    excluded earlier stay excluded.
    Raises `UserError` for an index outside the stack, or if fewer than two views
    would remain.
    """
    return _flagged(series, tilts, used=False, name="exclude_views")


def include_views(series: TiltSeries, tilts: Sequence[int]) -> TiltSeries:
    """Return the series with the views ``tilts`` marked as used again.

    tilts: indices into the stack, counted from 0.
    Raises `UserError` for an index outside the stack.
    """
    return _flagged(series, tilts, used=True, name="include_views")


def _flagged(
    series: TiltSeries, tilts: Sequence[int], used: bool, name: str
) -> TiltSeries:
    wanted = sorted({int(tilt) for tilt in tilts})
    outside = [tilt for tilt in wanted if not 0 <= tilt < len(series)]
    if outside:
        raise UserError(
            "A view to change does not exist",
            f"{', '.join(map(str, outside))} is outside the stack, whose views are "
            f"0 to {len(series) - 1}",
            "Give indices counted from 0, in the order of the stack",
        )
    flags = np.array(series.mask)
    flags[wanted] = used
    if flags.sum() < _LEAST_VIEWS:
        raise UserError(
            "Too few views would remain",
            f"{int(flags.sum())} of {len(series)} views would be used",
            "Keep at least two views, better many more",
        )
    return series.evolve(Step(name, {"tilts": wanted}), used=flags)
