"""What the buttons around passes and scan pairs run in worker threads."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from napari_inr_tomo.types import TiltSeries


def merge_series(series: TiltSeries, others: list[TiltSeries]) -> TiltSeries:
    """Return one series of several passes, sorted by angle."""
    from napari_inr_tomo import preprocess

    return preprocess.merge_series([series, *others])


class Progress:
    """How many tilts of how many are done; written by a worker, read by the window."""

    def __init__(self) -> None:
        self.done = self.count = 0

    def __call__(self, done: int, count: int) -> None:
        """Take both numbers."""
        self.done, self.count = done, count


class _StoppedError(Exception):
    pass


def drift_of_tilt(
    series: TiltSeries, other: TiltSeries, tilt: int, *settings: Any
) -> Any:
    """Correct the scan drift of one tilt; directions, upright, largest drift."""
    from napari_inr_tomo import preprocess

    return preprocess.drift_of_tilt(series, [other], tilt, *settings)


def correct_series_drift(
    series: TiltSeries,
    other: TiltSeries,
    directions_deg: tuple[float, float],
    upright: bool,
    largest_drift: float,
    progress: Progress,
    stop: threading.Event,
) -> TiltSeries | None:
    """Correct the scan drift of all tilts; None where it was stopped."""
    from napari_inr_tomo import preprocess

    def step(done: int, count: int) -> None:
        progress(done, count)
        if stop.is_set():
            raise _StoppedError

    try:
        return preprocess.correct_series_drift(
            series, [other], directions_deg, upright, largest_drift, step
        )
    except _StoppedError:
        return None


def drift_in_words(series: TiltSeries) -> str:
    """Return what the last correction of scan drift has found."""
    found = series.history[-1].parameters
    drifts = [value for value in found["largest_px"] if value is not None]
    if not drifts:
        return ""
    return (
        f"{len(drifts)} tilts corrected; lines were up to {max(drifts):.2f} px from "
        "their place."
    )


def poses_in_words(found: str, table: Any, groups: np.ndarray | None) -> str:
    """Return sentences on lasting steps (``found``) and on passes that differ."""
    hint = "A lasting step may be a backlash of the goniometer"
    lines = [f"{found}. {hint}."] if found else []
    if table is not None and groups is not None and len(groups) == len(table):
        lines.append(passes_in_words(table, groups))
    return " ".join(filter(None, lines))


def passes_in_words(table: Any, groups: np.ndarray) -> str:
    """Return a sentence on the passes of a run where they differ, or empty."""
    from napari_inr_tomo.passes import compare_passes, in_words

    return in_words(
        compare_passes(table["angle_deg"], table.poses(), groups, table["used"])
    )


def set_passes(series: TiltSeries, starts: list[int]) -> TiltSeries:
    """Return the series with passes that begin at these tilts of the stack."""
    from napari_inr_tomo import preprocess

    return preprocess.set_passes(series, starts)
