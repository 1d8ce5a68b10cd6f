"""Writing an aligned stack: the geometry, the record, the way back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import project_points, rz
from napari_inr_tomo.io import (
    SERIES_OUT_SUFFIXES,
    read_angles,
    read_series,
    read_xf,
    write_series,
)
from napari_inr_tomo.io.series import aligned_picture, apply_poses
from napari_inr_tomo.types import Poses, Step, TiltSeries

ANGLES = np.array([-58.3, -20.0, 0.4, 31.0, 60.0])
POINTS = np.array([[11.0, -6.0, 5.0], [-9.0, 7.0, -8.0], [3.0, 12.0, 2.0]])
SHAPE_YX = (61, 75)
SIGMA = 2.0
RNG = np.random.default_rng(8)


def blobs(angles: np.ndarray, poses: Poses, points: np.ndarray = POINTS) -> np.ndarray:
    """Images of Gaussian balls where the geometry says they land (their exact sums)."""
    y = np.arange(SHAPE_YX[0])[:, None] - (SHAPE_YX[0] - 1) / 2
    x = np.arange(SHAPE_YX[1])[None, :] - (SHAPE_YX[1] - 1) / 2
    images = np.zeros((len(angles), *SHAPE_YX))
    for tilt, landed in enumerate(project_points(points, angles, poses)):
        for weight, (px, py) in enumerate(landed, 1):
            r2 = (x - px) ** 2 + (y - py) ** 2
            images[tilt] += weight * np.exp(-r2 / (2 * SIGMA**2))
    return images.astype(np.float32)


def series(poses: Poses, **options: object) -> TiltSeries:
    images = blobs(ANGLES, poses)
    return TiltSeries(images, ANGLES, poses, pixel_size_nm=2.5, name="b", **options)


def general_poses() -> Poses:
    count = len(ANGLES)
    z1 = -14 + RNG.uniform(-3, 3, count)
    z3 = 14 + RNG.uniform(-3, 3, count)
    return Poses(z1, z3, *RNG.uniform(-4, 4, (2, count)))


def test_one_axis_leaves_zero_poses_and_a_turned_object() -> None:
    """Aligning an axis at psi gives the untilted-axis series of Rz(-psi) r."""
    out = apply_poses(series(Poses.from_axis(5, 17.0, dx_px=3.3, dy_px=-2.6)))
    np.testing.assert_allclose(out.start_poses.as_array(), 0, atol=1e-12)
    turned = POINTS @ rz(np.array(-17.0)).T
    expected = blobs(ANGLES, Poses.zeros(5), turned)
    assert np.abs(out.images - expected).max() < 0.01 * expected.max()


def test_any_poses_leave_only_z1() -> None:
    poses = general_poses()
    out = apply_poses(series(poses))
    reference = out.reference
    rest = out.start_poses
    assert rest.z1_deg[reference] == 0
    np.testing.assert_allclose(np.diff(rest.z1_deg), np.diff(poses.z1_deg))
    np.testing.assert_array_equal(rest.as_array()[:, 1:], 0)
    turned = POINTS @ rz(poses.z1_deg[reference]).T
    expected = blobs(ANGLES, rest, turned)
    assert np.abs(out.images - expected).max() < 0.01 * expected.max()


def test_a_picture_for_the_eye_shows_what_would_be_written() -> None:
    raw = series(general_poses())
    written = apply_poses(raw).images
    for tilt in range(len(raw)):
        shown = aligned_picture(raw, tilt)
        # linear in place of cubic: off by an eighth of the second derivative at most
        bound = written.max() / (4 * SIGMA**2)
        assert np.abs(shown - written[tilt]).max() < bound
        coarse = aligned_picture(raw, tilt, step=2)
        np.testing.assert_allclose(coarse, shown[::2, ::2], atol=1e-5)


@pytest.mark.parametrize("suffix", SERIES_OUT_SUFFIXES)
def test_written_and_read_again(tmp_path: Path, suffix: str) -> None:
    poses = general_poses()
    history = (Step("bin_images", {"factor": np.int64(2)}),)
    path = tmp_path / f"aligned{suffix}"
    written = write_series(path, series(poses, history=history))
    assert [p.name for p in written] == [
        path.name,
        "aligned.tlt",
        "aligned.xf",
        "aligned.json",
    ]
    again = read_series(path)
    expected = apply_poses(series(poses))
    np.testing.assert_array_equal(again.images, expected.images)
    np.testing.assert_allclose(again.angles_deg, ANGLES, atol=1e-6)
    np.testing.assert_allclose(
        again.start_poses.as_array(), expected.start_poses.as_array(), atol=1e-12
    )
    assert again.pixel_size_nm == pytest.approx(2.5, rel=1e-6)
    assert [step.name for step in again.history] == ["bin_images", "apply_poses"]
    assert any("applied already" in notice for notice in again.notices)


@pytest.mark.parametrize("suffix", SERIES_OUT_SUFFIXES)
def test_without_poses_not_a_bit_changes(tmp_path: Path, suffix: str) -> None:
    images = RNG.normal(size=(5, 7, 9)).astype(np.float32)
    images[0, 0, 0] = np.float32(1e-42)  # even a subnormal number
    path = tmp_path / f"plain{suffix}"
    poses = Poses(np.full(5, -3.0), np.zeros(5), np.zeros(5), np.zeros(5))
    write_series(path, TiltSeries(images, ANGLES, poses))
    again = read_series(path)
    np.testing.assert_array_equal(
        np.asarray(again.images, np.float32).view(np.uint32), images.view(np.uint32)
    )
    assert again.pixel_size_nm is None
    np.testing.assert_array_equal(
        np.loadtxt(tmp_path / "plain.xf"), [[1, 0, 0, 1, 0, 0]] * 5
    )


def test_a_stack_that_was_never_moved_is_not_called_aligned(tmp_path: Path) -> None:
    raw = TiltSeries(np.ones((5, 7, 9), np.float32), ANGLES)
    write_series(tmp_path / "raw.mrc", raw)
    notices = read_series(tmp_path / "raw.mrc").notices
    assert not any("aligned" in notice for notice in notices)


def test_the_xf_is_the_transform_that_was_applied(tmp_path: Path) -> None:
    """Apply its numbers by IMOD's formula to the raw images: the written appear."""
    raw = series(general_poses())
    path, _, xf, _ = write_series(tmp_path / "a.mrc", raw)
    written = read_series(path).images
    centre = (np.array(SHAPE_YX) - 1) / 2
    for tilt, (a11, a12, a21, a22, dx, dy) in enumerate(np.loadtxt(xf)):
        forward = np.array([[a11, a12], [a21, a22]])
        inverse = np.linalg.inv(forward)[::-1, ::-1]  # scipy wants (y, x), output first
        offset = centre - inverse @ (centre + np.array([dy, dx]))
        image = raw.images[tilt].astype(float)
        moved = ndimage.affine_transform(image, inverse, offset, order=3)
        assert np.abs(moved - written[tilt]).max() < 1e-3
    assert read_xf(xf, axis="x").z3_deg == pytest.approx(raw.start_poses.z3_deg)


def test_excluded_views_are_left_out_and_listed(tmp_path: Path) -> None:
    used = np.array([True, False, True, True, False])
    path = tmp_path / "part.mrc"
    write_series(path, series(Poses.from_axis(5, 10), used=used))
    again = read_series(path)
    np.testing.assert_allclose(again.angles_deg, ANGLES[used])
    np.testing.assert_allclose(read_angles(tmp_path / "part.tlt"), ANGLES[used])
    record = json.loads((tmp_path / "part.json").read_text())
    assert record["original"]["excluded"] == [1, 4]
    assert record["original"]["tilts"] == [0, 2, 3]
    np.testing.assert_allclose(record["original"]["angles_deg"], ANGLES)
    assert len(np.loadtxt(tmp_path / "part.xf")) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize("name", ["a.mrc", "a.tif", "a.h5", "a.npy"])
def test_a_full_disk_leaves_the_old_stack_with_what_is_beside_it(
    tmp_path: Path, name: str
) -> None:
    import resource

    write_series(tmp_path / name, series(Poses.zeros(5)))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    new = series(general_poses(), used=np.arange(5) != 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(UserError, match=rf"^{name} cannot be written"):
            write_series(tmp_path / name, new)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_nothing_left_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to write"):
        write_series(tmp_path / "a.mrc", series(Poses.zeros(5), used=np.zeros(5, bool)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.dm3", "a", "none/a.mrc"])
def test_places_and_formats_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        write_series(tmp_path / name, series(Poses.zeros(5)))


def test_older_angle_files_do_not_get_in_the_way(tmp_path: Path) -> None:
    """Written over the raw stack's name, the new .tlt counts, not the old .rawtlt."""
    (tmp_path / "s.rawtlt").write_text("1\n2\n3\n")
    write_series(tmp_path / "s.mrc", series(Poses.zeros(5)))
    assert read_series(tmp_path / "s.mrc").angle_source == "side-car s.tlt"


def test_a_record_of_another_stack_is_not_believed(tmp_path: Path) -> None:
    write_series(tmp_path / "s.mrc", series(general_poses()))
    other = TiltSeries(np.ones((5, 6, 7)), ANGLES)
    record = (tmp_path / "s.json").read_text()
    write_series(tmp_path / "s.mrc", other)
    (tmp_path / "s.json").write_text(record)
    again = read_series(tmp_path / "s.mrc")
    np.testing.assert_array_equal(again.start_poses.as_array(), 0)
    assert any("does not belong" in notice for notice in again.notices)


def test_outside_takes_the_border(tmp_path: Path) -> None:
    """Pixels from outside are no hard edge: a constant image stays constant."""
    flat = TiltSeries(np.full((1, 20, 31), 7.0), [0.0], Poses.from_axis(1, 30, 8, -5))
    np.testing.assert_allclose(apply_poses(flat).images, 7, rtol=1e-6)


def test_emd_is_what_tomviz_expects(tmp_path: Path) -> None:
    write_series(tmp_path / "t.h5", series(Poses.zeros(5)))
    with h5py.File(tmp_path / "t.h5") as file:
        group = file["data/tomography"]
        assert group.attrs["emd_group_type"] == 1
        assert group["data"].shape == (5, *SHAPE_YX)
        assert group["dim1"].dtype == np.float32
        assert group["dim1"].attrs["units"] == "[deg]"
        assert group["dim1"].attrs["name"] == "angles"
        assert group["dim3"].attrs["units"] == "[n_m]"
        np.testing.assert_allclose(np.diff(group["dim3"][()]), 2.5)
