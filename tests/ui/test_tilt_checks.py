"""Bad tilts, outliers and steps are found where they were put, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.ui import tilt_checks

RNG = np.random.default_rng(3)


def test_bad_tilts_stand_out_and_left_out_ones_do_not_count() -> None:
    residual = 1 + 0.05 * RNG.normal(size=41)
    residual[[4, 30]] = 1.9, 3.0
    residual[20] = 0.2
    used = np.ones(41, bool)
    used[30] = False
    assert np.flatnonzero(tilt_checks.bad_tilts(residual, used)).tolist() == [4]
    assert not tilt_checks.bad_tilts(np.full(41, np.nan), used).any()
    assert not tilt_checks.bad_tilts(np.ones(41), used).any()


@pytest.mark.parametrize("slope", [0.0, 0.4])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_backlash_is_a_step_and_a_slip_is_an_outlier(slope: float, sign: int) -> None:
    values = slope * np.arange(50.0) + 0.03 * RNG.normal(size=50)
    values[30:] += sign * 1.2
    values[12] += sign * 0.9
    assert tilt_checks.jumps(values) == [30]
    assert 12 in np.flatnonzero(tilt_checks.odd_ones(values))
    assert not tilt_checks.odd_ones(values)[[0, 5, 20, 40, 49]].any()


def test_scatter_alone_is_neither() -> None:
    values = RNG.normal(size=(20, 61))
    assert sum(len(tilt_checks.jumps(v)) for v in values) <= 1
    assert sum(int(tilt_checks.odd_ones(v).sum()) for v in values) <= 3


def test_what_stands_out_is_said_in_a_sentence() -> None:
    angles = np.arange(-60, 61, 20.0)
    assert tilt_checks.in_words(np.array([1, 5]), angles) == (
        "Tilts 1 (-40.0 deg), 5 (+40.0 deg) stand out."
    )
    assert tilt_checks.in_words(np.empty(0, int), angles) == "No tilt stands out."


def test_the_last_ones_are_counted_not_listed() -> None:
    angles = np.arange(-10.0, 10.0)
    assert tilt_checks.listed(np.array([3]), angles) == "3 (-7.0 deg)"
    assert tilt_checks.listed(np.arange(9), angles, 2).endswith("and 7 more")
