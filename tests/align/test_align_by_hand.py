"""Shifts by hand: what is stored, which tilt comes next, what is compared."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_inr_tomo.align import compare_tilts, in_order, neighbour, shift_by_hand
from napari_inr_tomo.align.by_hand import MOST_SIDE
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import exclude_views
from napari_inr_tomo.replay import again
from napari_inr_tomo.types import Poses, TiltSeries

DOSE_SYMMETRIC = np.array([0.0, 3, -3, -6, 6])


def blobs(shifts: np.ndarray, shape_yx: tuple[int, int] = (37, 50)) -> TiltSeries:
    """The same blob in every image, its content moved by (dx, dy); more beam each."""
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
    images = [
        (tilt + 1) * np.exp(-(((x - 22 - dx) / 5) ** 2 + ((y - 17 - dy) / 3) ** 2))
        for tilt, (dx, dy) in enumerate(shifts)
    ]
    return TiltSeries(np.array(images), DOSE_SYMMETRIC[: len(shifts)])


def test_shifts_replace_and_leave_one_line_that_replays() -> None:
    series = blobs(np.zeros((5, 2))).evolve(poses=Poses.from_axis(5, 8.0, 1.0, 1.0))
    done = shift_by_hand(series, [3], [2.5], [-1.0])
    done = shift_by_hand(done, [1, 3], [0.1, 4.0], [7.0, 0.0])
    assert done.start_poses.dx_px.tolist() == [1, 0.1, 1, 4, 1]
    assert done.start_poses.dy_px.tolist() == [1, 7, 1, 0, 1]
    assert done.start_poses.axis_deg == 8.0
    assert done.images is series.images
    (step,) = done.history
    assert step.parameters["tilts"] == [1, 3]
    repeated = again(series, step)
    np.testing.assert_array_equal(
        repeated.start_poses.as_array(), done.start_poses.as_array()
    )


@pytest.mark.parametrize(
    ("tilt", "value", "match"),
    [(5, 0.0, "0 to 4"), (-1, 0.0, "0 to 4"), (0, np.nan, "number")],
)
def test_wrong_shifts_are_refused(tilt: int, value: float, match: str) -> None:
    with pytest.raises(UserError, match=match):
        shift_by_hand(blobs(np.zeros((5, 2))), [tilt], [value], [0.0])


def test_neighbours_go_by_angle_and_leap_over_excluded_views() -> None:
    series = exclude_views(blobs(np.zeros((5, 2))), [2])
    assert in_order(series) == [3, 2, 0, 1, 4]
    assert neighbour(series, 0, -1) == 3
    assert neighbour(series, 2, 1) == 0  # an excluded view can be looked at, too
    assert neighbour(series, 0, 1) == 1
    assert neighbour(series, 3, -1) is None
    assert neighbour(series, 4, 1) is None


def test_right_shifts_make_the_difference_vanish() -> None:
    """Whatever the brightness; a wrong shift shows as a difference of known sign."""
    shifts = np.array([[0.0, 0.0], [4.0, -3.0]])
    series = blobs(shifts)
    aligned = shift_by_hand(series, [1], [4.0], [-3.0])
    good, bad = compare_tilts(aligned, 1, 0), compare_tilts(series, 1, 0)
    faint = aligned.evolve(images=aligned.images * np.float32(2.0**-50))
    assert compare_tilts(faint, 1, 0).agreement == pytest.approx(good.agreement)
    assert good.agreement > 0.9999
    assert np.abs(good.difference).max() < 0.02
    assert bad.agreement < 0.8
    centre = ndimage.center_of_mass(np.clip(bad.difference, 0, None))
    assert centre[1] > 22  # bright where the tilt lies, right of its place ...
    assert centre[0] < 17  # ... and above it
    assert np.unravel_index(good.tilt.argmax(), good.tilt.shape) == (17, 22)


def test_images_that_do_not_meet_agree_in_nothing() -> None:
    far = shift_by_hand(blobs(np.zeros((2, 2))), [1], [400.0], [0.0])
    compared = compare_tilts(far, 1, 0)
    assert np.isnan(compared.agreement)
    assert not compared.difference.any()


def test_dead_pixels_do_not_count() -> None:
    series = blobs(np.zeros((2, 2)))
    images, valid = series.images.copy(), np.ones(series.images.shape, bool)
    images[1, 0, 0], valid[1, 0, 0] = 1e6, False
    dead = series.evolve(images=images, valid=valid)
    assert compare_tilts(dead, 1, 0).agreement > 0.9999


def test_large_images_are_thinned() -> None:
    images = np.zeros((2, 4, MOST_SIDE + 1), np.float32)
    images[0, :, 1000:1010], images[1, :, 1020:1030] = 1, 1
    series = TiltSeries(images, [0.0, 1.0])
    compared = compare_tilts(shift_by_hand(series, [1], [20.0], [0.0]), 1, 0)
    assert compared.pixel_px == 2
    assert compared.tilt.shape == (2, MOST_SIDE // 2 + 1)
    assert compared.agreement == pytest.approx(1.0)
