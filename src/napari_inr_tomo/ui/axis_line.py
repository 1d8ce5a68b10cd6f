"""The tilt axis as lines on the image: where they lie, and what a drag does to them.

The axis runs along +x turned by ``axis_deg`` towards +y (clockwise on screen) and lies
``shift_px`` from the centre of the image, along +y turned by the same angle: the
convention of `Poses.from_axis` with ``dx = -shift sin a, dy = shift cos a``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_inr_tomo.types import Poses

REACH = 0.75
"""Half the length of the axis line, in longer sides of the image."""
SLICE_REACH = 0.32
"""Half the length of a slice line."""
MIDDLE = 0.18
"""Part of the axis line, either side, that shifts the axis; the rest turns it."""


@dataclass(frozen=True)
class AxisLines:
    """A tilt axis and the slices across it.

    positions_px: along the axis, from its point nearest the centre of the image.
    shape_yx: of the image, pixels.
    """

    axis_deg: float
    shift_px: float
    positions_px: tuple[float, ...]
    shape_yx: tuple[int, int]

    @property
    def _size(self) -> int:
        return max(self.shape_yx)

    @property
    def _along(self) -> np.ndarray:
        turn = np.deg2rad(self.axis_deg)
        return np.array([np.sin(turn), np.cos(turn)])

    @property
    def _across(self) -> np.ndarray:
        turn = np.deg2rad(self.axis_deg)
        return np.array([np.cos(turn), -np.sin(turn)])

    @property
    def foot(self) -> np.ndarray:
        """The point (y, x) of the axis nearest the centre, data coordinates."""
        centre = (np.asarray(self.shape_yx, float) - 1) / 2
        return centre + self.shift_px * self._across

    def vectors(self) -> np.ndarray:
        """Return (1 + slice, 2, 2): start and direction (y, x) of axis and slices."""
        along, across = self._along, self._across
        axis, cut = REACH * self._size, SLICE_REACH * self._size
        drawn = [(self.foot - axis * along, 2 * axis * along)]
        for position in self.positions_px:
            middle = self.foot + position * along
            drawn.append((middle - cut * across, 2 * cut * across))
        return np.array(drawn)

    def grabbed(self, point_yx: np.ndarray, reach_px: float) -> str | int | None:
        """Return what a press at a point takes hold of.

        "shift" or "turn" for the axis, the number of a slice, or None.  reach_px: how
        near the line the press must be.
        """
        offset = np.asarray(point_yx, float) - self.foot
        along, across = float(offset @ self._along), float(offset @ self._across)
        if abs(across) <= reach_px and abs(along) <= REACH * self._size:
            return "shift" if abs(along) < MIDDLE * self._size else "turn"
        distances = [abs(along - place) for place in self.positions_px]
        if distances and min(distances) <= reach_px:
            if abs(across) <= SLICE_REACH * self._size:
                return int(np.argmin(distances))
        return None

    def dragged(
        self, held: str | int, start_yx: np.ndarray, now_yx: np.ndarray
    ) -> AxisLines:
        """Return the lines after a drag from one point (y, x) to another."""
        moved = np.asarray(now_yx, float) - np.asarray(start_yx, float)
        if held == "shift":
            return replace(self, shift_px=self.shift_px + float(moved @ self._across))
        if held == "turn":
            return self._turned(np.asarray(now_yx, float))
        places = list(self.positions_px)
        place = places[int(held)] + float(moved @ self._along)
        places[int(held)] = float(np.clip(place, -self._size / 2, self._size / 2))
        return replace(self, positions_px=tuple(places))

    def _turned(self, point_yx: np.ndarray) -> AxisLines:
        """Return the axis turned about its foot so that it passes a point."""
        dy, dx = point_yx - self.foot
        if np.hypot(dy, dx) < 1:
            return self
        angle = wrapped(float(np.rad2deg(np.arctan2(dy, dx))))
        turned = replace(self, axis_deg=angle, shift_px=0.0)
        shift = float((self.foot - turned.foot) @ turned._across)
        return replace(turned, shift_px=shift)


def line_of(poses: Poses, reference: int) -> tuple[float, float, bool]:
    """Return angle (deg), shift (px) of the axis as a line, and whether it is reversed.

    The shift is that of the reference tilt, as `align.set_tilt_axis` takes it.  The
    line of an axis at 100 degrees lies at -80, where the tilts turn the other way:
    it is reversed, see `reversed_axis`.
    """
    axis_deg = poses.axis_deg
    line = wrapped(axis_deg)
    turn = np.deg2rad(line)
    dx, dy = poses.dx_px[reference], poses.dy_px[reference]
    shift = float(dy * np.cos(turn) - dx * np.sin(turn))
    return line, shift, abs(line - axis_deg) % 360 > 1


def reversed_axis(axis_deg: float, shift_px: float) -> tuple[float, float]:
    """Return the same line with the other sense of tilt."""
    return axis_deg + 180.0 if axis_deg <= 0 else axis_deg - 180.0, -shift_px


def wrapped(angle_deg: float) -> float:
    """Return the angle of the same line within (-90, 90] degrees."""
    return 90.0 - (90.0 - angle_deg) % 180.0
