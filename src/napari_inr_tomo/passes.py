"""What the passes of an interleaved series differ by: tilt axis, turn and shift."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.types import BoolArray, FloatArray, IntArray, Poses, TiltSeries

_LEAST_DEG, _LEAST_PX = 0.6, 0.5
_CLEAR_SIGMA = 3.0


@dataclass(frozen=True)
class PassPose:
    """How one pass lies, compared with the first.

    number: of the pass, from 0; count: of its used tilts.
    axis_deg: mean angle of its tilt axis in the image, degrees.
    turn_deg: mean of z1 + z3, the turn within the image, less that of the first pass.
    dx_px, dy_px: its shift less that of the first pass at the same tilt angles.
    differs: one of the differences is larger than its scatter and worth a word.
    """

    number: int
    count: int
    axis_deg: float
    turn_deg: float
    dx_px: float
    dy_px: float
    differs: bool

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by their names."""
        return asdict(self)


def pass_axes(poses: Poses, groups: IntArray) -> FloatArray:
    """Return (tilt,) degrees: the mean angle of the tilt axis of its pass."""
    axis = (poses.z3_deg - poses.z1_deg) / 2
    result = np.empty(len(poses))
    for number in np.unique(groups):
        result[groups == number] = axis[groups == number].mean()
    return result


def passes_of(series: TiltSeries) -> list[PassPose]:
    """Return how the passes of a series lie; empty for a single pass."""
    return compare_passes(
        series.angles_deg, series.start_poses, series.groups, series.mask
    )


def compare_passes(
    angles_deg: ArrayLike, poses: Poses, groups: IntArray, used: BoolArray
) -> list[PassPose]:
    """Return how the passes lie, in their order; empty where fewer than two are used.

    angles_deg, groups, used: (tilt,), of all tilts as the poses are.
    """
    angles = np.asarray(angles_deg, np.float64)
    numbers = [number for number in np.unique(groups) if used[groups == number].any()]
    if len(numbers) < 2:
        return []
    columns = {
        "axis": (poses.z3_deg - poses.z1_deg) / 2,
        "turn": poses.z1_deg + poses.z3_deg,
        "dx": poses.dx_px,
        "dy": poses.dy_px,
    }
    first = np.flatnonzero(used & (groups == numbers[0]))
    first = first[np.argsort(angles[first], kind="stable")]
    found = []
    for number in numbers:
        own = np.flatnonzero(used & (groups == number))
        gap, clear = {}, {}
        for name, values in columns.items():
            apart = values[own] - np.interp(angles[own], angles[first], values[first])
            gap[name] = float(np.median(apart))
            error = 1.4826 * float(np.median(np.abs(apart - gap[name])))
            error *= 1.25 / np.sqrt(len(own))
            least = _LEAST_DEG if name in ("axis", "turn") else _LEAST_PX
            clear[name] = abs(gap[name]) > max(least, _CLEAR_SIGMA * error)
        found.append(
            PassPose(
                int(number),
                len(own),
                float(columns["axis"][own].mean()),
                gap["turn"],
                gap["dx"],
                gap["dy"],
                any(clear.values()),
            )
        )
    return found


def in_words(passes: list[PassPose]) -> str:
    """Return one sentence on passes that differ, or an empty text; counted from 1."""
    parts = []
    for one in passes[1:]:
        if one.differs:
            gap = one.axis_deg - passes[0].axis_deg
            parts.append(
                f"pass {one.number + 1} has its tilt axis turned by {gap:+.1f} deg, "
                f"its images by {one.turn_deg:+.1f} deg, and is shifted by dx "
                f"{one.dx_px:+.1f} px, dy {one.dy_px:+.1f} px from pass "
                f"{passes[0].number + 1}"
            )
    return f"The passes differ: {'; '.join(parts)}." if parts else ""
