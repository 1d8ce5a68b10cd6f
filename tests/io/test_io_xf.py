"""IMOD's transforms against the geometry: the sign conventions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import project_points, rz
from napari_inr_tomo.io import read_xf, write_xf
from napari_inr_tomo.io.xf import axis_on_screen
from napari_inr_tomo.types import Poses

RNG = np.random.default_rng(11)
ANGLES = np.array([-60.0, -31.5, 0.0, 12.0, 57.0])
POINTS = RNG.uniform(-20, 20, (9, 3))


def poses(z1: float = -94.0) -> Poses:
    count = len(ANGLES)
    z3 = 94 + RNG.uniform(-2, 2, count)
    return Poses(np.full(count, z1), z3, *RNG.uniform(-5, 5, (2, count)))


def moved(table: np.ndarray, points: np.ndarray) -> np.ndarray:
    """IMOD's formula, written out: X' = A11 X + A12 Y + DX."""
    a11, a12, a21, a22, dx, dy = table.T[:, :, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([a11 * x + a12 * y + dx, a21 * x + a22 * y + dy], -1)


def imod_projection(points: np.ndarray) -> np.ndarray:
    """Where IMOD's aligned images show points: X cos + Z sin, and Y as it is."""
    c, s = np.cos(np.deg2rad(ANGLES)), np.sin(np.deg2rad(ANGLES))
    x = points[:, 0] * c[:, None] + points[:, 2] * s[:, None]
    return np.stack([x, np.broadcast_to(points[:, 1], x.shape)], -1)


def test_pose_then_transform_is_a_tilt_about_y(tmp_path: Path) -> None:
    """The object of IMOD is ours turned by z1 + 90 about the beam; nothing else."""
    pose = poses(z1=-91.3)
    write_xf(tmp_path / "a.xf", pose)
    aligned = moved(np.loadtxt(tmp_path / "a.xf"), project_points(POINTS, ANGLES, pose))
    turned = POINTS @ rz(np.array(-91.3 + 90)).T
    np.testing.assert_allclose(aligned, imod_projection(turned), atol=1e-4)


def test_poses_from_a_transform_land_where_it_says(tmp_path: Path) -> None:
    """Read a file of IMOD: the object keeps the orientation of the raw image."""
    phi, shift = np.deg2rad([83.9, 84.4, 84.1, 84.0, 83.7]), RNG.uniform(-9, 9, (5, 2))
    table = np.column_stack(
        [np.cos(phi), np.sin(phi), -np.sin(phi), np.cos(phi), shift]
    )
    np.savetxt(tmp_path / "b.xf", table, fmt="%12.7f")
    pose = read_xf(tmp_path / "b.xf")
    assert pose.z3_deg[0] == pytest.approx(173.9)
    assert np.ptp(pose.z1_deg) == 0
    aligned = moved(table, project_points(POINTS, ANGLES, pose))
    turned = POINTS @ rz(pose.z1_deg[0] + 90).T
    np.testing.assert_allclose(aligned, imod_projection(turned), atol=1e-4)
    still = Poses(pose.z1_deg[2:3], pose.z3_deg[2:3], np.zeros(1), np.zeros(1))
    at_zero = project_points(POINTS, [0.0], still)[0]
    np.testing.assert_allclose(at_zero, POINTS[:, :2], atol=0.1)  # z3 spreads a little


@pytest.mark.parametrize("axis", ["x", "y"])
def test_round_trip(tmp_path: Path, axis: str) -> None:
    pose = poses()
    mean = np.angle(np.exp(1j * np.deg2rad(pose.z3_deg)).mean(), deg=True)
    pose = Poses(np.full(len(pose), -mean), pose.z3_deg, pose.dx_px, pose.dy_px)
    write_xf(tmp_path / "c.xf", pose, axis)
    again = read_xf(tmp_path / "c.xf", axis)
    np.testing.assert_allclose(again.as_array(), pose.as_array(), atol=2e-5)


def test_no_pose_is_the_identity_along_x(tmp_path: Path) -> None:
    write_xf(tmp_path / "d.xf", Poses.zeros(3), axis="x")
    np.testing.assert_array_equal(
        np.loadtxt(tmp_path / "d.xf"), [[1, 0, 0, 1, 0, 0]] * 3
    )


def test_real_imod_file(shared_data: Path) -> None:
    folder = shared_data / "metadata" / "imod_TS_001"
    pose = read_xf(folder / "TS_001.xf")
    assert len(pose) == 40
    assert pose.z3_deg[0] - 90 == pytest.approx(84.14, abs=0.01)  # .edf: 83.9
    first = moved(
        np.loadtxt(folder / "TS_001.xf")[:1],
        np.array([[[pose.dx_px[0], pose.dy_px[0]]]]),
    )
    np.testing.assert_allclose(first, 0, atol=1e-9)  # the axis passes through (dx, dy)


@pytest.mark.parametrize(
    ("imod", "rows_up", "screen"),
    [
        (0, True, 90),  # vertical
        (0, False, 90),
        (90, True, 0),
        (83.9, True, -6.1),  # counter-clockwise where y is up is clockwise where down
        (83.9, False, 6.1),
        (-95, True, -5),
    ],
)
def test_axis_on_screen(imod: float, rows_up: bool, screen: float) -> None:
    assert axis_on_screen(imod, rows_up) == pytest.approx(screen)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("1 0 0 1 0\n", "six numbers"),
        ("1 0 0 1 0 a\n", "six numbers"),
        ("", "0 bytes"),
        ("1 0 0 1 nan 0\n", "six numbers"),
        ("1 0 0 -1 0 0\n", "mirror"),
        ("1.1 0 0 1.1 0 0\n", "stretch"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "e.xf").write_text(text)
    with pytest.raises(UserError, match=match):
        read_xf(tmp_path / "e.xf")
