"""Tilt series, poses, volumes: what they refuse, keep, and give back."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import Poses, Step, TiltSeries, Volume, tilts_in_words


def series(count: int = 5, **changes: object) -> TiltSeries:
    images = np.random.default_rng(0).random((count, 6, 9), np.float32)
    values = {"images": images, "angles_deg": np.linspace(-50, 60, count)} | changes
    return TiltSeries(**values)


def test_defaults() -> None:
    made = series()
    assert len(made) == 5
    assert len(made.start_poses) == 5
    assert not made.start_poses.as_array().any()
    assert made.mask.all()
    assert made.angles_deg.dtype == np.float64


def test_images_are_float32_and_not_copied_if_they_are_already() -> None:
    images = np.zeros((2, 4, 5), np.float32)
    assert series(2, images=images).images is images
    assert series(2, images=np.ones((2, 4, 5), np.uint16)).images.dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": np.zeros((6, 9))}, "not a tilt series"),
        ({"images": np.zeros((5, 0, 9))}, "not a tilt series"),
        ({"images": np.zeros((5, 6, 9), complex)}, "complex128"),
        ({"images": np.full((5, 6, 9), "a")}, "not plain numbers"),
        ({"angles_deg": np.arange(4)}, "4 angles were given for 5 images"),
        ({"angles_deg": [0, 1, 2, np.nan, 4]}, "1 of 5"),
        ({"angles_deg": np.zeros((5, 1))}, "number of tilt angles"),
    ],
)
def test_bad_series_say_what_is_wrong(changes: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        series(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"poses": Poses.zeros(4)},
        {"used": np.ones(6, bool)},
        {"valid": np.ones((5, 9, 6), bool)},
    ],
)
def test_parts_of_another_size_are_refused(changes: dict) -> None:
    with pytest.raises(ValueError):
        series(**changes)


def test_values_cannot_change_behind_the_back() -> None:
    angles = np.linspace(-50, 60, 5)
    made = series(angles_deg=angles)
    angles[0] = 99
    assert made.angles_deg[0] == -50
    for array in (made.angles_deg, made.mask, made.start_poses.dx_px):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(FrozenInstanceError):
        made.name = "other"


def test_reference_is_the_used_tilt_nearest_zero() -> None:
    angles = [-40.0, -3.0, 2.0, 30.0, 60.0]
    assert series(angles_deg=angles).reference == 2
    used = np.array([True, True, False, True, True])
    assert series(angles_deg=angles, used=used).reference == 1


def test_only_used_takes_every_part() -> None:
    used = np.array([True, False, True, True, False])
    poses = Poses.from_array(np.arange(20.0).reshape(5, 4))
    valid = np.random.default_rng(1).random((5, 6, 9)) > 0.5
    made = series(used=used, poses=poses, valid=valid)
    left = made.only_used()
    assert np.array_equal(left.images, made.images[used])
    assert np.array_equal(left.angles_deg, made.angles_deg[used])
    assert np.array_equal(left.start_poses.as_array(), poses.as_array()[used])
    assert left.valid is not None
    assert np.array_equal(left.valid, valid[used])
    assert left.mask.all()
    assert len(left.mask) == 3


def test_only_used_of_a_whole_series_is_itself() -> None:
    made = series()
    assert made.only_used() is made


def test_excluding_every_view_is_refused() -> None:
    with pytest.raises(UserError, match="all 5 views are excluded"):
        series(used=np.zeros(5, bool)).only_used()


def test_evolve_adds_one_line_of_history() -> None:
    first = series()
    second = first.evolve(Step("bin", {"factor": 2}), name="binned")
    third = second.evolve(pixel_size_nm=2.0)
    assert first.history == ()
    assert second.history == third.history == (Step("bin", {"factor": 2}),)
    assert (second.name, third.pixel_size_nm) == ("binned", 2.0)


def test_step_round_trip() -> None:
    step = Step("background", {"degree_yx": [3, 2], "mask": None})
    assert Step.from_json(json.loads(json.dumps(step.to_json()))) == step


def test_poses_round_trip_and_take() -> None:
    values = np.arange(12.0).reshape(3, 4)
    poses = Poses.from_array(values)
    assert poses.z1_deg.tolist() == [0, 4, 8]
    assert poses.dy_px.tolist() == [3, 7, 11]
    assert np.array_equal(poses.as_array(), values)
    assert np.array_equal(poses.take([2, 0]).as_array(), values[[2, 0]])
    assert len(Poses.from_array(np.empty((0, 4)))) == 0


def test_scaled_poses_scale_shifts_only() -> None:
    poses = Poses([1.0], [2.0], [3.0], [4.0]).scaled(0.5)
    assert poses.as_array().tolist() == [[1.0, 2.0, 1.5, 2.0]]


def test_axis_is_the_mean_of_half_the_difference() -> None:
    assert Poses.from_axis(4, -7.5).axis_deg == pytest.approx(-7.5)
    assert Poses([-2.0, -6.0], [4.0, 8.0], [0, 0], [0, 0]).axis_deg == pytest.approx(5)
    assert Poses.zeros(0).axis_deg == 0.0


@pytest.mark.parametrize(
    "parts",
    [
        ([0.0], [0.0], [0.0], [0.0, 1.0]),
        (1.0, 1.0, 1.0, 1.0),
        ([[0.0]], [[0.0]], [[0.0]], [[0.0]]),
    ],
)
def test_inconsistent_poses_are_refused(parts: tuple) -> None:
    with pytest.raises(UserError, match="poses are inconsistent"):
        Poses(*parts)


def test_volume() -> None:
    made = Volume(np.ones((3, 4, 5), np.int16), 0.5)
    assert made.data.dtype == np.float32
    data = np.zeros((2, 3, 4), np.float32)
    assert Volume(data).data is data


@pytest.mark.parametrize(
    "data", [np.zeros((3, 4)), np.zeros((0, 3, 4)), np.zeros((2, 3, 4), complex)]
)
def test_bad_volumes_are_refused(data: np.ndarray) -> None:
    with pytest.raises(UserError):
        Volume(data)


def test_user_error_says_three_things_on_one_line() -> None:
    error = UserError("It is broken", "it fell", "Pick it up")
    assert str(error) == "It is broken: it fell. Pick it up."


@pytest.mark.parametrize("copied", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])  # noqa: S301
def test_user_error_crosses_process_borders(copied) -> None:
    error = copied(UserError("It is broken", "it fell", "Pick it up"))
    assert (error.what, error.why, error.do) == (
        "It is broken",
        "it fell",
        "Pick it up",
    )
    assert str(error) == "It is broken: it fell. Pick it up."


def test_tilts_are_told_as_ranges_where_they_follow_each_other() -> None:
    assert tilts_in_words([3]) == "tilt 3"
    assert tilts_in_words([3, 4]) == "tilts 3, 4"
    assert tilts_in_words([0, 1, 2, 5, 7, 8, 9, 10]) == "tilts 0 to 2, 5, 7 to 10"
