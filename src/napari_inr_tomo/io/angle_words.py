"""What a list of tilt angles is, in words: range, step, order, duplicates, gaps."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.types import FloatArray

Order = Literal["rising", "falling", "dose-symmetric", "two branches", "mixed"]

SAME_DEG = 0.01
"""Angles nearer than this are duplicates."""
_EVEN = 0.05
_MOST_NAMED = 6
_WORDS = {
    "rising": "in rising order",
    "falling": "in falling order",
    "dose-symmetric": "in dose-symmetric order",
    "two branches": "in two branches from {start:g}",
    "mixed": "in no regular order",
}


def angle_order(angles_deg: ArrayLike) -> Order:
    """Return in which order angles, (tilt,) degrees, follow one another.

    dose-symmetric: outwards from the first one, to both sides in turn, whatever the
    size of the groups; two branches: outwards to one side, then to the other.
    """
    angles = np.asarray(angles_deg, np.float64)
    steps = np.diff(angles)
    if (steps >= -SAME_DEG).all():
        return "rising"
    if (steps <= SAME_DEG).all():
        return "falling"
    step = float(np.median(np.abs(steps[np.abs(steps) > SAME_DEG])))
    distance = angles - angles[0]
    side = np.sign(np.where(np.abs(distance) < SAME_DEG, 0, distance))
    turns = int(np.count_nonzero(np.diff(side[side != 0])))
    if turns == 0:
        return "mixed"
    branches = [np.abs(distance[side == sign]) for sign in (-1, 1)]
    if any((np.diff(branch) < -SAME_DEG).any() for branch in branches):
        return "mixed"
    if turns == 1:
        return "two branches"
    # within a group of one side the other side lags behind, never more than the group
    reach = np.abs(distance)
    behind = float((np.maximum.accumulate(reach) - reach).max())
    span = float(reach.max())
    return "dose-symmetric" if behind < max(0.5 * span, 2.5 * step) else "mixed"


def describe_angles(angles_deg: ArrayLike) -> str:
    """Return a sentence about tilt angles, (tilt,) degrees.

    E.g. "141 angles, -70 to 70 degrees in steps of 1; in dose-symmetric order;
    2 duplicates."
    """
    angles = np.asarray(angles_deg, np.float64)
    if not np.isfinite(angles).all():
        bad = int((~np.isfinite(angles)).sum())
        return f"{angles.size} angles, {bad} of them no numbers."
    if angles.size < 2:
        return f"One angle, {angles[0]:g} degrees." if angles.size else "No angles."
    ordered = np.sort(angles)
    steps = np.diff(ordered)
    duplicates = int((steps < SAME_DEG).sum())
    steps = steps[steps >= SAME_DEG]
    parts = [_span(ordered, steps, angles.size)]
    if steps.size:
        parts.append(_WORDS[angle_order(angles)].format(start=angles[0]))
    if duplicates:
        parts.append(f"{duplicates} duplicate{'s' * (duplicates > 1)}")
    missing = _missing(ordered)
    if missing:
        shown = ", ".join(f"{value:g}" for value in missing[:_MOST_NAMED])
        more = len(missing) - _MOST_NAMED
        shown += f" and {more} more" if more > 0 else ""
        parts.append(f"{len(missing)} missing: {shown}")
    return "; ".join(parts) + "."


def _span(ordered: FloatArray, steps: FloatArray, count: int) -> str:
    span = f"{count} angles, {_short(ordered[0])} to {_short(ordered[-1])} degrees"
    if not steps.size:
        return f"{count} angles, all {_short(ordered[0])} degrees"
    usual = float(np.median(steps))
    multiples = steps / usual
    even = np.abs(multiples - np.rint(multiples)).max() < _EVEN
    if even and np.rint(multiples).max() <= 3:
        return f"{span} in steps of {_short(usual)}"
    return f"{span}, {_short(steps.min())} to {_short(steps.max())} apart"


def _missing(ordered: FloatArray) -> list[float]:
    """Return the angles that a series with one step has left out."""
    steps = np.diff(ordered)
    steps = steps[steps >= SAME_DEG]
    if steps.size < 4:
        return []
    usual = float(np.median(steps))
    multiples = steps / usual
    if np.abs(multiples - np.rint(multiples)).max() >= _EVEN:
        return []
    if multiples.max() > 3.5:
        return []
    unique = ordered[np.concatenate([[True], np.diff(ordered) >= SAME_DEG])]
    return [
        float(round(start + k * usual, 3))
        for start, many in zip(unique, np.rint(multiples).astype(int), strict=False)
        for k in range(1, many)
    ]


def _short(value: float) -> str:
    return f"{float(f'{value:.4g}') + 0.0:g}"
