"""Where the poses of a run are drawn on its tilts; arrays only."""

from __future__ import annotations

import numpy as np

from napari_inr_tomo.ui.live import PoseTable

FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
LONGEST = 0.2
"""Of the shorter side of the image: what the arrow of the longest shift may take."""


def zoom_between(old_yx: tuple[int, ...], new_yx: tuple[int, ...]) -> float | None:
    """Return how many new pixels an old one is; None for another field of view."""
    (rows, columns), (height, width) = old_yx, new_yx
    return height / rows if rows * width == columns * height else None


def pose_features(poses: PoseTable) -> dict[str, np.ndarray]:
    """Return the features table of the pose layers."""
    names = ("tilt", "angle_deg", "z1_deg", "z3_deg", "dx_px", "dy_px", "residual")
    return {name: np.array(poses[name]) for name in names}


def centres(poses: PoseTable, shape_yx: tuple[int, int]) -> np.ndarray:
    """Return (tilt, 3): where the centre of rotation lies, in data coordinates."""
    return _middles(poses, shape_yx) + _shifts(poses)


def axis_vectors(poses: PoseTable, shape_yx: tuple[int, int]) -> np.ndarray:
    """Return (tilt, 2, 3) vectors along the tilt axis as the detector sees it.

    The axis of tilt lies at z3 in the plane of the detector (see `geometry`).
    """
    turn = np.deg2rad(poses["z3_deg"])
    along = np.stack([0 * turn, np.sin(turn), np.cos(turn)], axis=1)
    along *= 0.9 * max(shape_yx)
    return np.stack([centres(poses, shape_yx) - along / 2, along], axis=1)


def shift_factor(poses: PoseTable, shape_yx: tuple[int, int]) -> int:
    """Return how many times as long as they are shifts can be drawn, a round number."""
    used = poses["used"].astype(bool)
    longest = np.linalg.norm(_shifts(poses)[used], axis=1).max(initial=0.0)
    if longest == 0:
        return 1
    room = LONGEST * min(shape_yx)
    return max([f for f in FACTORS if f * longest <= room], default=1)


def shift_arrows(
    poses: PoseTable, shape_yx: tuple[int, int], factor: float
) -> np.ndarray:
    """Return (tilt, 2, 3) vectors from the middle of the image to where it belongs.

    That is the centre of rotation, ``factor`` times as far away; of no length for tilts
    that are not used, whose shifts may be anything.
    """
    steps = factor * _shifts(poses)
    steps[~poses["used"].astype(bool)] = 0
    return np.stack([_middles(poses, shape_yx), steps], axis=1)


def shift_words(factor: int) -> str:
    """Return the name of the layer of arrows."""
    return "Shifts of the run" + (f", {factor} x as long" if factor > 1 else "")


def _middles(poses: PoseTable, shape_yx: tuple[int, int]) -> np.ndarray:
    """Return (tilt, 3): the middle of every image."""
    height, width = shape_yx
    tilt = poses["tilt"].astype(float)
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    return np.column_stack([tilt, np.broadcast_to(middle, (len(tilt), 2))])


def _shifts(poses: PoseTable) -> np.ndarray:
    """Return (tilt, 3): no tilts, dy, dx."""
    dy, dx = (np.asarray(poses[name], float) for name in ("dy_px", "dx_px"))
    return np.stack([0 * dy, dy, dx], axis=1)
