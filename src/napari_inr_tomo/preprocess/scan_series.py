"""Drift within the images of a tilt series that was scanned in two directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.scan_drift import ScanDrift, correct_scan_drift
from napari_inr_tomo.types import BoolArray, ImageArray, Step, TiltSeries

SAME_ANGLE_DEG = 0.1
_WORSE = 0.02


def partners(series: TiltSeries, others: Sequence[TiltSeries]) -> list[list[int]]:
    """Return for every tilt the tilts of the other series with its angle.

    One index per other series; an empty list where one of them has none within 0.1
    degrees or the tilt is not used.  Repeated angles pair up in the order of the stack.
    Tilts left out of the other series are no partners.
    """
    free = [np.flatnonzero(other.mask).tolist() for other in others]
    found: list[list[int]] = []
    for tilt, angle in enumerate(series.angles_deg):
        near = []
        for other, left in zip(others, free, strict=True):
            gaps = np.abs(other.angles_deg[left] - angle)
            if len(left) and gaps.min() <= SAME_ANGLE_DEG:
                near.append(left[int(np.argmin(gaps))])
        complete = len(near) == len(others) and bool(series.mask[tilt])
        if complete:
            for left, taken in zip(free, near, strict=True):
                left.remove(taken)
        found.append(near if complete else [])
    return found


def drift_of_tilt(
    series: TiltSeries,
    others: Sequence[TiltSeries],
    tilt: int,
    directions_deg: Sequence[float] = (0.0, 90.0),
    upright: bool = False,
    largest_drift: float = 0.08,
) -> ScanDrift:
    """Return the scans of one tilt without their drift, as `correct_scan_drift` does.

    Raises `UserError` as it does, and where the others have no image at the angle.
    """
    pair = partners(series, others)[tilt]
    if not pair:
        raise UserError(
            f"Tilt {tilt} has no second scan",
            f"the other series has no image within {SAME_ANGLE_DEG} degrees of "
            f"{series.angles_deg[tilt]:.1f}, or the tilt is left out in one of them",
            "Choose another tilt, or correct the angles",
        )
    return _corrected(
        series, others, tilt, pair, directions_deg, upright, largest_drift
    )


def correct_series_drift(
    series: TiltSeries,
    others: Sequence[TiltSeries],
    directions_deg: Sequence[float] = (0.0, 90.0),
    upright: bool = False,
    largest_drift: float = 0.08,
    progress: Callable[[int, int], None] | None = None,
) -> TiltSeries:
    """Return the series with the drift within every image taken out.

    others: the same tilts scanned in other directions, paired by their angles; sorted,
    binned or left out independently.  Each image becomes the mean of all its scans in
    the frame of the field; pixels that none shows are not valid any more.
    directions_deg, upright, largest_drift: as in `correct_scan_drift`, the direction of
    ``series`` first.
    progress: called with the number of tilts done and of all, before each; what it
    raises ends the work.
    Tilts without a partner, and those whose scans agree less afterwards, stay as they
    are, with a notice.  The history tells the largest drift of every tilt.
    Raises `UserError` as `correct_scan_drift` does, and where nothing pairs up.
    """
    others = list(others)
    pairs = partners(series, others)
    _check(series, others, pairs)
    images: ImageArray = np.array(series.images, np.float32)
    valid: BoolArray = (
        np.ones(images.shape, bool) if series.valid is None else series.valid.copy()
    )
    settings = (directions_deg, upright, largest_drift)
    results: list[ScanDrift | None] = []
    kept = []
    for tilt, pair in enumerate(pairs):
        if progress is not None:
            progress(tilt, len(series))
        found = None
        if pair:
            found = _corrected(series, others, tilt, pair, *settings)
            if found.correlation_after < found.correlation_before - _WORSE:
                kept.append(tilt)
                found = None
        if found is not None:
            images[tilt], valid[tilt] = found.corrected, found.valid
        results.append(found)
    alone = [tilt for tilt, pair in enumerate(pairs) if not pair and series.mask[tilt]]
    limited = [tilt for tilt, found in enumerate(results) if found and found.limited]
    step = Step(
        "correct_series_drift",
        {
            "others": [other.name for other in others],
            "histories": [[line.to_json() for line in one.history] for one in others],
            "directions_deg": [float(angle) for angle in directions_deg],
            "upright": bool(upright),
            "limited_tilts": limited,
            "largest_drift": float(largest_drift),
            "largest_px": _listed(results, "largest_px"),
            "correlation_before": _listed(results, "correlation_before"),
            "correlation_after": _listed(results, "correlation_after"),
        },
    )
    return series.evolve(
        step,
        images=images,
        valid=None if valid.all() else valid,
        notices=(*series.notices, *_notices(alone, kept, limited)),
    )


def _corrected(
    series: TiltSeries,
    others: Sequence[TiltSeries],
    tilt: int,
    pair: Sequence[int],
    directions_deg: Sequence[float],
    upright: bool,
    largest_drift: float,
) -> ScanDrift:
    places = [(series, tilt), *zip(others, pair, strict=True)]
    return correct_scan_drift(
        [each.images[k] for each, k in places],
        directions_deg,
        upright,
        largest_drift,
        [None if each.valid is None else each.valid[k] for each, k in places],
    )


def _check(
    series: TiltSeries, others: Sequence[TiltSeries], pairs: list[list[int]]
) -> None:
    if not any(pairs):
        raise UserError(
            "These series are not scans of the same tilts",
            "no image of one has a partner at its angle in the other, within "
            f"{SAME_ANGLE_DEG} degrees",
            "Give the series of the other scan direction, with its angles",
        )
    sizes = [each.pixel_size_nm for each in (series, *others) if each.pixel_size_nm]
    if sizes and max(sizes) > 1.01 * min(sizes):
        raise UserError(
            "These series have different pixel sizes",
            f"they are {', '.join(f'{size:.4g}' for size in sizes)} nm",
            "Bin them alike, or correct the pixel size",
        )


def _listed(results: list[ScanDrift | None], name: str) -> list[Any]:
    return [None if r is None else round(float(getattr(r, name)), 4) for r in results]


def _notices(alone: list[int], kept: list[int], limited: list[int]) -> list[str]:
    lines = []
    if alone:
        lines.append(
            f"Scan drift: tilts {', '.join(map(str, alone))} have no second scan and "
            "stay as they are"
        )
    if kept:
        lines.append(
            f"Scan drift: the scans of tilts {', '.join(map(str, kept))} agree less "
            "after the correction, so they stay as they are; look at them"
        )
    if limited:
        lines.append(
            f"Scan drift: tilts {', '.join(map(str, limited))} drift by as much as was "
            "looked for, or more; search further and look at them"
        )
    return lines
