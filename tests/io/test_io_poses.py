"""poses.csv: what is written is read, and another stack's file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import read_poses, write_poses
from napari_inr_tomo.types import Poses

ANGLES = np.array([-60.1, 1 / 3, 59.9])
POSES = Poses.from_array(np.random.default_rng(2).normal(size=(3, 4)))
USED = np.array([True, False, True])


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    write_poses(path, ANGLES, POSES, USED, [0.5, np.nan, 0.25])
    angles, poses, used = read_poses(path, ANGLES)
    np.testing.assert_array_equal(angles, ANGLES)
    np.testing.assert_array_equal(poses.as_array(), POSES.as_array())
    np.testing.assert_array_equal(used, USED)
    lines = path.read_text().splitlines()
    assert lines[0] == "tilt,angle_deg,z1_deg,z3_deg,dx_px,dy_px,residual,used"
    assert [line.split(",")[-2:] for line in lines[1:]] == [
        ["0.5", "1"],
        ["", "0"],
        ["0.25", "1"],
    ]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_table_that_a_spreadsheet_has_written(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "poses.csv"
    write_poses(path, ANGLES, POSES, USED, [0.5, np.nan, 0.25])
    text = path.read_text()
    path.write_text(text.replace(",", mark).replace(".", ","))
    angles, poses, used = read_poses(path, ANGLES)
    np.testing.assert_array_equal(angles, ANGLES)
    np.testing.assert_array_equal(poses.as_array(), POSES.as_array())
    np.testing.assert_array_equal(used, USED)


def test_lines_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    write_poses(path, ANGLES, POSES, USED)
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *lines[::-1]]))
    np.testing.assert_array_equal(read_poses(path)[0], ANGLES)


@pytest.mark.parametrize("other", [ANGLES[:2], ANGLES + 1])
def test_another_stack_is_refused(tmp_path: Path, other: np.ndarray) -> None:
    write_poses(tmp_path / "p.csv", ANGLES, POSES, USED)
    with pytest.raises(UserError, match="another stack"):
        read_poses(tmp_path / "p.csv", other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "tilt,angle_deg,z1_deg,z3_deg,dx_px,dy_px\n0,1,2,3,4\n",
        "tilt,angle_deg,z1_deg,z3_deg,dx_px,dy_px\n0,1,2,3,4,x\n",
        "tilt,angle_deg,z1_deg,z3_deg,dx_px,dy_px\n0,1,2,3,4,nan\n",
        "tilt,angle_deg,z1_deg,z3_deg,dx_px,dy_px\n1,1,2,3,4,5\n",
    ],
)
def test_damaged_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(UserError):
        read_poses(tmp_path / "p.csv")
