"""The lines of the tilt axis: where they lie, what a drag does."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.types import Poses
from napari_inr_tomo.ui.axis_line import AxisLines, wrapped

SHAPE_YX = (40, 61)


def lines(axis_deg: float = 12.0, shift_px: float = -3.0) -> AxisLines:
    return AxisLines(axis_deg, shift_px, (-10.0, 0.0, 10.0), SHAPE_YX)


def test_axis_line_is_where_the_poses_put_the_axis() -> None:
    axis_deg, shift_px = 25.0, 4.0
    turn = np.deg2rad(axis_deg)
    poses = Poses.from_axis(
        1, axis_deg, -shift_px * np.sin(turn), shift_px * np.cos(turn)
    )
    centre_yx = (np.array(SHAPE_YX) - 1) / 2 + [poses.dy_px[0], poses.dx_px[0]]
    drawn = lines(axis_deg, shift_px)
    start, step = drawn.vectors()[0]
    assert np.allclose(start + step / 2, centre_yx)
    assert np.rad2deg(np.arctan2(step[0], step[1])) == pytest.approx(axis_deg)


def test_slice_lines_cross_the_axis_at_right_angles() -> None:
    axis, *slices = lines().vectors()
    for position, line in zip((-10, 0, 10), slices, strict=True):
        assert axis[1] @ line[1] == pytest.approx(0, abs=1e-9)
        middle = line[0] + line[1] / 2 - lines().foot
        along = axis[1] / np.linalg.norm(axis[1])
        assert middle @ along == pytest.approx(position)


def test_a_press_takes_hold_of_what_is_under_it() -> None:
    drawn = AxisLines(0.0, 0.0, (-10.0, 15.0), (41, 61))
    centre = np.array([20.0, 30.0])
    assert drawn.grabbed(centre, 2) == "shift"
    assert drawn.grabbed(np.add(centre, [1, 25]), 2) == "turn"
    assert drawn.grabbed(np.add(centre, [8, -9]), 2) == 0
    assert drawn.grabbed(np.add(centre, [8, 16]), 2) == 1
    assert drawn.grabbed(np.add(centre, [8, 3]), 2) is None
    assert drawn.grabbed(np.add(centre, [20, 15]), 0.5) is None


def test_dragging_the_middle_shifts_and_keeps_the_angle() -> None:
    before = lines(30.0, 1.0)
    across = np.array([np.cos(np.pi / 6), -np.sin(np.pi / 6)])
    along = np.array([np.sin(np.pi / 6), np.cos(np.pi / 6)])
    after = before.dragged("shift", np.zeros(2), 2.5 * across + 7 * along)
    assert (after.axis_deg, after.shift_px) == pytest.approx((30.0, 3.5))


@pytest.mark.parametrize("side", [1, -1])
def test_dragging_an_end_turns_about_the_foot(side: int) -> None:
    before = lines(0.0, 5.0)
    angle = np.deg2rad(20)
    end = before.foot + side * 25 * np.array([np.sin(angle), np.cos(angle)])
    after = before.dragged("turn", np.add(before.foot, [0, 25]), end)
    assert after.axis_deg == pytest.approx(20.0)
    start, step = after.vectors()[0]
    normal = np.array([step[1], -step[0]]) / np.linalg.norm(step)
    assert (before.foot - start) @ normal == pytest.approx(0, abs=1e-9)


def test_dragging_a_slice_moves_it_along_the_axis_within_the_image() -> None:
    before = lines(0.0, 0.0)
    after = before.dragged(1, np.zeros(2), np.array([9.0, 6.0]))
    assert after.positions_px == pytest.approx((-10, 6, 10))
    far = before.dragged(2, np.zeros(2), np.array([0.0, 500.0]))
    assert far.positions_px[2] == pytest.approx(max(SHAPE_YX) / 2)


@pytest.mark.parametrize(("angle", "same"), [(-90, 90), (91, -89), (180, 0), (45, 45)])
def test_an_axis_and_its_reverse_are_one_line(angle: float, same: float) -> None:
    assert wrapped(angle) == pytest.approx(same)
