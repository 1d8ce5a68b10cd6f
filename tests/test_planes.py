"""Planes through the box: where their samples lie, and requests that are no good."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo import geometry, planes
from napari_inr_tomo.planes import Plane, SliceRequest

SHAPE_ZYX = (9, 14, 11)


def test_whole_slices_fall_on_the_voxels() -> None:
    z, y, x = (geometry.centred(n) for n in SHAPE_ZYX)
    xy, xz, yz = planes.orthogonal((x[3], y[5], z[2]), SHAPE_ZYX)
    assert xy.shape == (14, 11)
    assert xy.points()[5, 3] == pytest.approx([x[3], y[5], z[2]])
    assert xy.points()[0, -1] == pytest.approx([x[-1], y[0], z[2]])
    assert xz.points()[0, -1] == pytest.approx([x[-1], y[5], z[0]])
    assert yz.points()[0, -1] == pytest.approx([x[3], y[-1], z[0]])


def test_zoom_looks_between_the_voxels_around_the_point() -> None:
    at = (2.0, -3.0, 1.0)
    for plane in planes.orthogonal(at, SHAPE_ZYX, zoom=4):
        points = plane.points()
        assert plane.step_px <= 0.25
        assert points.mean(axis=(0, 1)) == pytest.approx(at)
        assert np.ptp(points, axis=(0, 1)).max() < max(SHAPE_ZYX) / 4


def test_a_large_box_is_sampled_with_at_most_so_many_points() -> None:
    wanted = planes.orthogonal((0, 0, 0), (100, 2000, 1000), most=256)
    for plane, longest in zip(wanted, (2000, 1000, 2000), strict=True):
        assert max(plane.shape) == 256
        span = np.ptp(plane.points(), axis=(0, 1)).max()
        assert span == pytest.approx(longest * 255 / 256)


def test_an_oblique_plane_passes_through_the_point_at_its_angles() -> None:
    at = np.array([2.0, -3.0, 1.0])
    normal = geometry.object_to_detector([0.0], [50.0], [30.0])[0] @ [0.0, 0.0, 1.0]
    for zoom in (1.0, 7.0, 300.0):
        plane = planes.oblique(tuple(at), SHAPE_ZYX, 30.0, 50.0, zoom)
        away = (plane.points() - at) @ normal
        assert np.abs(away).max() < 1e-9
        assert max(plane.shape) * plane.step_px == pytest.approx(14 / zoom)
        if zoom > 1:
            assert plane.points().mean(axis=(0, 1)) == pytest.approx(at)


@pytest.mark.parametrize(
    ("turn_deg", "lean_deg", "which"), [(0, 0, 0), (0, 90, 1), (90, 90, 2)]
)
def test_an_oblique_plane_at_right_angles_is_a_slice(
    turn_deg: float, lean_deg: float, which: int
) -> None:
    slices = planes.orthogonal((2.0, -3.0, 1.0), SHAPE_ZYX)
    plane = planes.oblique((2.0, -3.0, 1.0), SHAPE_ZYX, turn_deg, lean_deg)
    assert plane.right_xyz == pytest.approx(slices[which].right_xyz)
    assert plane.down_xyz == pytest.approx(slices[which].down_xyz)
    # one sample for every voxel of the longest side, none between them
    assert plane.shape == (max(SHAPE_ZYX), max(SHAPE_ZYX))
    assert plane.step_px == 1.0


@pytest.mark.parametrize("axis_deg", [0.0, 25.0, 90.0, -40.0])
def test_the_plane_of_the_wedge_is_perpendicular_to_the_axis(axis_deg: float) -> None:
    """What is seen at two tilts of points in it moves across the axis only."""
    plane = planes.across_axis((3.0, -2.0, 5.0), SHAPE_ZYX, axis_deg)
    points = plane.points().reshape(-1, 3)
    from napari_inr_tomo.types import Poses

    poses = Poses.from_axis(2, axis_deg)
    seen = geometry.project_points(points, [0.0, 40.0], poses)
    turn = np.deg2rad(axis_deg)
    along = seen @ np.array([np.cos(turn), np.sin(turn)])
    assert np.ptp(along) < 1e-9
    # not mirrored: columns run across the axis, towards +y turned by it, rows along +z
    across = (-np.sin(turn), np.cos(turn), 0.0)
    assert plane.right_xyz == pytest.approx(across, abs=1e-12)
    assert plane.down_xyz == pytest.approx((0.0, 0.0, 1.0), abs=1e-12)
    assert np.ptp(seen @ np.array([-np.sin(turn), np.cos(turn)])) > 5


def test_a_request_is_read_once_and_as_it_was_written(tmp_path: Path) -> None:
    wanted = planes.orthogonal((1.0, 2.0, -3.5), SHAPE_ZYX, 3)
    path = tmp_path / "slices.json"
    SliceRequest("seven", wanted).write(path)
    found = SliceRequest.take(path)
    assert found == SliceRequest("seven", wanted)
    assert SliceRequest.take(path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [100_000, 100_000]},
        {"shape": [0, 5]},
        {"step_px": float("nan")},
        {"centre_xyz": [0, 0]},
        {"centre_xyz": [0, float("nan"), 0]},
        {"right_xyz": "abc"},
    ],
)
def test_a_request_that_makes_no_sense_is_dropped(tmp_path: Path, change: dict) -> None:
    plane = Plane((0, 0, 0), (1, 0, 0), (0, 1, 0), (4, 5)).to_json() | change
    path = tmp_path / "slices.json"
    path.write_text(json.dumps({"name": "x", "planes": [plane]}))
    assert SliceRequest.take(path) is None
    assert not path.exists()


def test_slices_come_back_as_they_were(tmp_path: Path) -> None:
    images = [np.eye(3, 4, dtype=np.float32), np.ones((2, 7), np.float32)]
    planes.write_slices(tmp_path / "slices.npz", images)
    found = planes.read_slices(tmp_path / "slices.npz")
    assert all(np.array_equal(a, b) for a, b in zip(found, images, strict=True))
    (tmp_path / "slices.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError):
        planes.read_slices(tmp_path / "slices.npz")
