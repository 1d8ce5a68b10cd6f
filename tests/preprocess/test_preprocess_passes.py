"""Merging passes: sorted by angle, and every tilt knows where it came from."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import (
    bin_images,
    exclude_views,
    merge_series,
    separate_passes,
    sort_tilts,
)
from napari_inr_tomo.types import Poses, Step, TiltSeries


def a_pass(angles: list[float], seed: int, **changes: object) -> TiltSeries:
    rng = np.random.default_rng(seed)
    settings: dict = {
        "poses": Poses.from_array(rng.normal(size=(len(angles), 4))),
        "name": f"pass {seed}",
        "pixel_size_nm": 0.5,
        "history": (Step("first", {"seed": seed}),),
    }
    images = rng.random((len(angles), 12, 15), np.float32)
    return TiltSeries(images, angles, **(settings | changes))


def test_every_tilt_keeps_its_image_pose_flag_and_pass() -> None:
    up = a_pass([-20.0, 0.0, 20.0], 1, used=np.array([True, False, True]))
    down = a_pass([10.0, 0.0, -10.0], 2, valid=np.zeros((3, 12, 15), bool))
    both = merge_series([up, down])
    assert both.angles_deg.tolist() == [-20, -10, 0, 0, 10, 20]
    assert both.groups.tolist() == [0, 1, 0, 1, 1, 0]
    assert both.mask.tolist() == [True, True, False, True, True, True]
    np.testing.assert_array_equal(both.images[3], down.images[1])
    np.testing.assert_array_equal(
        both.start_poses.as_array()[5], up.start_poses.as_array()[2]
    )
    assert both.valid is not None
    np.testing.assert_array_equal(both.valid.all(axis=(1, 2)), both.groups == 0)
    told = both.history[-1].parameters
    assert told["counts"] == [3, 3]
    assert told["histories"][1][0]["parameters"] == {"seed": 2}


def test_passes_come_apart_again_and_stay_apart_when_merged_again() -> None:
    parts = [a_pass([-10.0, 10.0], 1), a_pass([0.0], 2), a_pass([5.0, -5.0], 3)]
    both = merge_series([merge_series(parts[:2]), parts[2]])
    assert both.groups.tolist() == [0, 2, 1, 2, 0]
    apart = separate_passes(both)
    assert [len(one) for one in apart] == [2, 1, 2]
    np.testing.assert_array_equal(apart[2].images, sort_tilts(parts[2]).images)
    assert all(one.group is None for one in apart)


def test_the_pass_is_kept_by_binning_sorting_and_leaving_out() -> None:
    both = merge_series([a_pass([10.0, -10.0], 1), a_pass([0.0, 20.0], 2)])
    assert bin_images(both, 2).groups.tolist() == [0, 1, 0, 1]
    left = exclude_views(both, [0]).only_used()
    assert left.groups.tolist() == [1, 0, 1]
    turned = sort_tilts(both.take([3, 0, 2, 1]))
    assert turned.groups.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(turned.images, both.images)


def test_what_does_not_belong_together_is_refused() -> None:
    one = a_pass([0.0, 10.0], 1)
    with pytest.raises(UserError, match="1 series was given"):
        merge_series([one])
    with pytest.raises(UserError, match="different sizes: 6 x 7, 12 x 15"):
        merge_series([one, bin_images(one, 2)])
    with pytest.raises(UserError, match=r"0\.5, 0\.7 nm"):
        merge_series([one, a_pass([5.0], 2, pixel_size_nm=0.7)])
    with pytest.raises(ValueError, match="group has 3 entries"):
        one.evolve(group=np.array([0, 1, 2]))
