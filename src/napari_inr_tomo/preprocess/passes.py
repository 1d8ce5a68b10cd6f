"""Several passes over the same specimen become one series, and stay told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import BoolArray, Poses, Step, TiltSeries

_SAME_SIZE = 0.01


def merge_series(parts: Sequence[TiltSeries]) -> TiltSeries:
    """Return all tilts of several passes as one series, sorted by angle.

    parts: two or more, with images of one size.  Every tilt keeps its pose, its flags,
    and in ``group`` the number of its pass, counted in the order of the parts; passes
    of a part that was merged before stay apart.  Tilts of one angle stay in the order
    of the parts.  The history of the result begins with the histories of the parts.
    Raises `UserError` for fewer than two parts, other image sizes or other pixels.
    """
    parts = list(parts)
    _check(parts)
    group, next_number = [], 0
    for part in parts:
        _, numbers = np.unique(part.groups, return_inverse=True)
        group.append(numbers + next_number)
        next_number += int(numbers.max()) + 1
    angles = np.concatenate([part.angles_deg for part in parts])
    order = np.argsort(angles, kind="stable")
    valid: BoolArray | None = None
    if any(part.valid is not None for part in parts):
        valid = np.concatenate([_valid(part) for part in parts])[order]
    step = Step(
        "merge_series",
        {
            "names": [part.name for part in parts],
            "counts": [len(part) for part in parts],
            "histories": [[line.to_json() for line in part.history] for part in parts],
        },
    )
    first = parts[0]
    return TiltSeries(
        np.concatenate([part.images for part in parts])[order],
        angles[order],
        Poses.from_array(
            np.concatenate([part.start_poses.as_array() for part in parts])[order]
        ),
        np.concatenate([part.mask for part in parts])[order],
        valid,
        first.pixel_size_nm,
        " + ".join(dict.fromkeys(part.name for part in parts)),
        "; ".join(dict.fromkeys(part.angle_source for part in parts)),
        (step,),
        tuple(dict.fromkeys(line for part in parts for line in part.notices)),
        np.concatenate(group)[order],
    )


def set_passes(series: TiltSeries, starts: Sequence[int]) -> TiltSeries:
    """Return the series with its passes marked; order and images stay.

    starts: index of the first tilt of every pass but the first, in the order of the
    stack, which must be that of the recording; none: one pass.
    Raises `UserError` for an index outside the stack.
    """
    begins = sorted({int(start) for start in starts} - {0})
    outside = [start for start in begins if not 0 < start < len(series)]
    if outside:
        raise UserError(
            "A pass cannot begin there",
            f"{', '.join(map(str, outside))} is outside the stack, whose views are 0 "
            f"to {len(series) - 1}",
            "Give the first view of every pass, counted from 0",
        )
    group = np.searchsorted(begins, np.arange(len(series)), side="right")
    return series.evolve(Step("set_passes", {"starts": begins}), group=group)


def sort_tilts(series: TiltSeries) -> TiltSeries:
    """Return the series with its tilts in the order of their angles."""
    order = np.argsort(series.angles_deg, kind="stable")
    return series.take(order).evolve(Step("sort_tilts"))


def separate_passes(series: TiltSeries) -> list[TiltSeries]:
    """Return one series for each pass, in the order of their numbers."""
    return [
        replace(
            series.take(np.flatnonzero(series.groups == number)),
            name=f"{series.name}, pass {number + 1}",
        )
        for number in np.unique(series.groups)
    ]


def _valid(part: TiltSeries) -> BoolArray:
    return np.ones(part.images.shape, bool) if part.valid is None else part.valid


def _check(parts: list[TiltSeries]) -> None:
    if len(parts) < 2:
        raise UserError(
            "There is nothing to merge",
            f"{len(parts)} series was given",
            "Choose two or more passes over the same specimen",
        )
    shapes = {part.images.shape[1:] for part in parts}
    if len(shapes) > 1:
        listed = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(shapes))
        raise UserError(
            "These series cannot be merged",
            f"their images have different sizes: {listed} pixels (y, x)",
            "Bin or down-sample them to one size first",
        )
    sizes = [part.pixel_size_nm for part in parts if part.pixel_size_nm is not None]
    if sizes and max(sizes) > (1 + _SAME_SIZE) * min(sizes):
        listed = ", ".join(f"{size:.4g}" for size in sizes)
        raise UserError(
            "These series cannot be merged",
            f"their pixels have different sizes: {listed} nm",
            "Bin them alike first, or correct the pixel size",
        )
