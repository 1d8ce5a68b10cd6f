"""The steps of the alignment in a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_inr_tomo.align.correlation import align_cross_correlation
from napari_inr_tomo.align.line import align_common_line
from napari_inr_tomo.align.mass import align_center_of_mass
from napari_inr_tomo.align.projections import align_projections
from napari_inr_tomo.align.search import align_tilt_axis
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries

ALIGNMENTS: dict[str, Callable[..., TiltSeries]] = {
    "xcorr": align_cross_correlation,
    "com": align_center_of_mass,
    "line": align_common_line,
    "axis": align_tilt_axis,
    "match": align_projections,
}
STEPS = ("xcorr", "com", "axis", "match")
"""What is done where nothing is chosen."""


def align(
    series: TiltSeries,
    steps: Sequence[str] = STEPS,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> TiltSeries:
    """Return the series after the named steps.

    steps: any of xcorr, com, line, axis, match, in the order they are to be done.
    Which shifts are along the axis and which across is known only once the axis is:
    where ``axis`` follows on ``com``, the centres of mass are fitted anew for every
    angle it tries.
    settings: for a step, what is not to have its default; see the functions.
    Raises `UserError` for an unknown step, where every image has one value, and as the
    steps do.
    """
    unknown = [name for name in steps if name not in ALIGNMENTS]
    if unknown:
        raise UserError(
            "An alignment step is not known",
            f"{', '.join(unknown)} is none of {', '.join(ALIGNMENTS)}",
            f"Choose from {', '.join(ALIGNMENTS)}",
        )
    if steps:
        check_contents(series)
    centred = False
    for name in steps:
        chosen = dict((settings or {}).get(name, {}))
        if name == "axis":
            chosen.setdefault("recentre", centred)
        series = ALIGNMENTS[name](series, **chosen)
        centred = name == "com"
    return series


def check_contents(series: TiltSeries) -> None:
    """Raise `UserError` where no used image shows anything."""
    for tilt in np.flatnonzero(series.mask):
        image = np.asarray(series.images[tilt])
        if image.min() < image.max():
            return
    if series.mask.any():
        raise UserError(
            "There is nothing to align",
            "every image that is used has one value everywhere",
            "Check that the recording and the export of the stack have worked",
        )
