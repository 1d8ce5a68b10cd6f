"""An alignment used on another signal: the same point of the object lands rightly."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_inr_tomo.align import use_alignment
from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic.fbp import fbp
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import project_points
from napari_inr_tomo.preprocess import bin_images, exclude_views, flip_handedness
from napari_inr_tomo.replay import again
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Alignment, Poses, Step, TiltSeries

ANGLES = np.arange(-60.0, 61, 20)
RNG = np.random.default_rng(4)
FOUND = Poses(np.full(7, -9.0), 9 + RNG.uniform(-1, 1, 7), *RNG.uniform(-5, 5, (2, 7)))


def signal(
    shape_yx: tuple[int, int], size_nm: float | None, **more: object
) -> TiltSeries:
    images = np.zeros((len(ANGLES), *shape_yx), np.float32)
    return replace(TiltSeries(images, ANGLES, pixel_size_nm=size_nm, name="s"), **more)


HAADF = signal((40, 60), 2.0, poses=FOUND, name="haadf")


def test_a_point_in_nm_lands_at_the_same_place_in_nm() -> None:
    """Fewer, larger pixels; other order; the point is given in nm of the object."""
    order = RNG.permutation(7)
    maps = signal((10, 15), 8.0, angles_deg=ANGLES[order] + 0.1)
    done = use_alignment(maps, Alignment.of(HAADF))
    point_nm = np.array([[13.0, -9.0, 21.0]])
    here = 8.0 * project_points(point_nm / 8, ANGLES[order], done.start_poses)
    there = 2.0 * project_points(point_nm / 2, ANGLES, FOUND)[order]
    np.testing.assert_allclose(here, there, atol=1e-9)
    assert done.images is maps.images
    assert "0.25" in done.notices[-1]
    step = done.history[-1]
    assert (step.parameters["source"], step.parameters["scale"]) == ("haadf", 0.25)


def test_without_pixel_sizes_the_field_is_the_same() -> None:
    done = use_alignment(signal((20, 30), None), Alignment.of(HAADF))
    np.testing.assert_allclose(done.start_poses.dx_px, FOUND.dx_px / 2)
    with pytest.raises(UserError, match="60 x 40"):
        use_alignment(signal((30, 30), None), Alignment.of(HAADF))


def test_an_unknown_scale_is_only_taken_where_it_is_said_to_be_the_same() -> None:
    bare = Alignment(FOUND, ANGLES)
    with pytest.raises(UserError, match="scale"):
        use_alignment(signal((20, 30), 1.0), bare)
    done = use_alignment(signal((20, 30), 1.0), bare, same_pixels=True)
    np.testing.assert_array_equal(done.start_poses.as_array(), FOUND.as_array())


def test_another_field_of_view_is_named() -> None:
    done = use_alignment(signal((40, 40), 2.0), Alignment.of(HAADF))
    assert "60 x 40" in done.notices[-1]


def test_tilts_that_are_missing_are_named() -> None:
    sparse = Alignment.of(HAADF.evolve(used=np.arange(7) != 2))
    part = replace(sparse, poses=FOUND.take(slice(0, 5)), angles_deg=ANGLES[:5],
                   used=sparse.used[:5])  # fmt: skip
    with pytest.raises(UserError, match=r"40, 60 degrees.*--exclude 5,6"):
        use_alignment(signal((40, 60), 2.0), part)
    rest = exclude_views(signal((40, 60), 2.0), [5, 6])
    done = use_alignment(rest, part)
    assert done.mask.tolist() == [True, True, False, True, True, False, False]
    assert "Left out here as in haadf: 1 view." in done.notices[-1]
    repeated = again(
        rest, Step.from_json(json.loads(json.dumps(done.history[-1].to_json())))
    )
    np.testing.assert_array_equal(
        repeated.start_poses.as_array(), done.start_poses.as_array()
    )
    np.testing.assert_array_equal(repeated.mask, done.mask)


def test_two_tilts_at_one_angle_keep_their_order() -> None:
    angles = np.array([0.0, 10, 0, -10])
    poses = Poses(*np.zeros((2, 4)), np.arange(4.0), np.zeros(4))
    series = TiltSeries(np.zeros((4, 5, 5), np.float32), angles)
    done = use_alignment(series, Alignment(poses, angles), same_pixels=True)
    assert done.start_poses.dx_px.tolist() == [0, 1, 2, 3]


def test_a_flipped_hand_is_refused() -> None:
    found = Alignment.of(flip_handedness(HAADF))
    with pytest.raises(UserError, match="sign"):
        use_alignment(signal((40, 60), 2.0), found)
    use_alignment(flip_handedness(signal((40, 60), 2.0)), found)
    turned = Alignment(FOUND, -ANGLES - 1.0, pixel_size_nm=2.0)
    with pytest.raises(UserError, match="flip the handedness"):
        use_alignment(signal((40, 60), 2.0, angles_deg=ANGLES + 1.0), turned)


def seen(series: TiltSeries) -> tuple[np.ndarray, float]:
    """Return the volume of a series and the rms of what it leaves unexplained."""
    shape = series.images.shape[1:]
    projector = Projector(series.angles_deg, series.start_poses, shape, shape[0])
    images = torch.from_numpy(np.array(series.images))
    volume = fbp(projector, images)
    return volume.numpy(), float((projector.forward(volume) - images).std())


@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_the_other_hand_of_the_same_stack_is_the_mirror_image(offset: float) -> None:
    """Every shift stays with its image, and the axis where it was."""
    made = simulate_series(
        "chiral", (32, 37), np.arange(-60, 61, 10.0) + offset,
        axis_deg=5, axis_shift_px=2, shift_sigma_px=2, seed=3,
    )  # fmt: skip
    own = Alignment(made.truth_poses, made.series.angles_deg, name="found")
    volume, rest = seen(use_alignment(made.series, own, same_pixels=True))
    other = use_alignment(flip_handedness(made.series), own, same_pixels=True)
    np.testing.assert_array_equal(
        other.start_poses.as_array(), made.truth_poses.as_array()
    )
    assert "found holds these tilt angles with their signs" in other.notices[-1]
    mirrored, as_small = seen(other)
    np.testing.assert_allclose(mirrored, volume[::-1], atol=1e-5)
    assert as_small == pytest.approx(rest, rel=1e-4)
    assert np.abs(volume - volume[::-1]).max() > 0.1 * volume.max()


def test_another_signal_in_reverse_is_matched_by_angle_and_said() -> None:
    maps = signal((40, 60), 2.0, angles_deg=ANGLES[::-1])
    done = use_alignment(maps, Alignment.of(HAADF))
    np.testing.assert_array_equal(done.start_poses.dx_px, FOUND.dx_px[::-1])
    assert "haadf holds these tilt angles in reverse" in done.notices[-1]


def test_the_same_stack_in_no_such_order_is_matched_by_angle() -> None:
    order = RNG.permutation(7)
    mixed = signal((40, 60), 2.0, angles_deg=ANGLES[order])
    done = use_alignment(mixed, Alignment(FOUND, ANGLES), same_pixels=True)
    np.testing.assert_array_equal(done.start_poses.dx_px, FOUND.dx_px[order])
    assert done.notices == ()


def test_shifts_alone_leave_the_axis_and_wrap_within_the_image() -> None:
    """tomviz knows no rotation, and its correlation counts modulo the image."""
    shifts = Poses(np.zeros(7), np.zeros(7), np.full(7, 57.0), np.full(7, -38.0))
    axis = signal((40, 60), 2.0, poses=Poses.from_axis(7, 12.0))
    only = Alignment(shifts, turns=False, cyclic=True)
    done = use_alignment(axis, only, same_pixels=True).start_poses
    assert (done.dx_px == -3).all()
    assert (done.dy_px == 2).all()
    assert done.axis_deg == pytest.approx(12.0)
    with pytest.raises(UserError, match="7 tilts without angles"):
        use_alignment(bin_images(TiltSeries(np.zeros((6, 8, 8)), ANGLES[:6]), 1), only)


def test_once_is_the_same_as_twice() -> None:
    """Shifts are set, never added: using an alignment again changes nothing."""
    once = use_alignment(signal((10, 15), 8.0), Alignment.of(HAADF))
    twice = use_alignment(once, Alignment.of(HAADF))
    np.testing.assert_array_equal(
        twice.start_poses.as_array(), once.start_poses.as_array()
    )
