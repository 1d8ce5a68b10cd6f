"""The tilt axis as lines on the image: angle and shift to end points and back.

The axis runs along +x turned by ``axis_deg`` towards +y (clockwise on screen) and lies
``shift_px`` from the centre of the image, along +y turned by the same angle: the
convention of `Poses.from_axis` with ``dx = -shift sin a, dy = shift cos a``.
"""

from __future__ import annotations

import numpy as np

REACH = 0.75
"""Half the length of the axis line, in longer sides of the image."""
SLICE_REACH = 0.32
"""Half the length of a slice line."""


def axis_ends(
    axis_deg: float, shift_px: float, shape_yx: tuple[int, int]
) -> np.ndarray:
    """Return (2, 2): y, x of the two ends of the axis line, data coordinates."""
    along, across = _directions(axis_deg)
    middle = _centre(shape_yx) + shift_px * across
    reach = REACH * max(shape_yx)
    return np.stack([middle - reach * along, middle + reach * along])


def slice_ends(
    axis_deg: float, shift_px: float, position_px: float, shape_yx: tuple[int, int]
) -> np.ndarray:
    """Return (2, 2): the line across the axis where a slice is previewed.

    position_px: distance along the axis from its point nearest the centre.
    """
    along, across = _directions(axis_deg)
    middle = _centre(shape_yx) + shift_px * across + position_px * along
    reach = SLICE_REACH * max(shape_yx)
    return np.stack([middle - reach * across, middle + reach * across])


def axis_from_ends(
    ends_yx: np.ndarray, shape_yx: tuple[int, int]
) -> tuple[float, float]:
    """Return axis_deg within (-90, 90] and shift_px of a line drawn on the image."""
    first, second = np.asarray(ends_yx, float)[[0, -1]]
    dy, dx = second - first
    angle = float(np.rad2deg(np.arctan2(dy, dx)))
    angle = 90.0 - (90.0 - angle) % 180.0
    _, across = _directions(angle)
    middle = (first + second) / 2
    return angle, float((middle - _centre(shape_yx)) @ across)


def position_from_ends(
    ends_yx: np.ndarray, axis_deg: float, shape_yx: tuple[int, int]
) -> float:
    """Return how far along the axis a slice line lies, pixels from the centre."""
    along, _ = _directions(axis_deg)
    middle = np.asarray(ends_yx, float)[[0, -1]].mean(axis=0)
    return float((middle - _centre(shape_yx)) @ along)


def _centre(shape_yx: tuple[int, int]) -> np.ndarray:
    return (np.asarray(shape_yx, float) - 1) / 2


def _directions(axis_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the (y, x) directions along and across the axis."""
    turn = np.deg2rad(axis_deg)
    along = np.array([np.sin(turn), np.cos(turn)])
    across = np.array([np.cos(turn), -np.sin(turn)])
    return along, across
