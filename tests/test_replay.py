"""A history, done again on the raw stack, gives the same numbers bit for bit."""

from __future__ import annotations

import json

import numpy as np

from napari_inr_tomo.align import align
from napari_inr_tomo.preprocess import (
    flip_handedness,
    prepare,
    set_angles,
    set_pixel_size,
    subtract_background,
)
from napari_inr_tomo.replay import again as done_again
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Step


def test_everything_done_again_is_the_same() -> None:
    raw = simulate_series(
        "chiral",
        (40, 45),
        np.arange(-60, 61, 12.0),
        dose=200,
        background=0.2,
        drift=0.1,
        hot_pixels=0.002,
        shift_sigma_px=1,
        margin=0.3,
    ).series
    done = set_pixel_size(flip_handedness(set_angles(raw, -raw.angles_deg)), 0.7)
    painted = np.zeros(raw.images.shape, bool)
    painted[2, 10:30, 12:30] = painted[8, 12:28, 10:33] = True
    done = subtract_background(prepare(done), (1, 1), painted, follow_mask=True)
    done = align(done, ("xcorr", "line", "axis", "match"), {"xcorr": {"taper": 0.2}})
    again = raw
    for step in done.history[1:]:
        again = done_again(
            again, Step.from_json(json.loads(json.dumps(step.to_json())))
        )
    assert [step.name for step in again.history] == [s.name for s in done.history]
    np.testing.assert_array_equal(again.images, done.images)
    np.testing.assert_array_equal(again.angles_deg, done.angles_deg)
    np.testing.assert_array_equal(
        again.start_poses.as_array(), done.start_poses.as_array()
    )
    assert again.pixel_size_nm == 0.7
    if done.valid is not None:
        np.testing.assert_array_equal(again.valid, done.valid)
