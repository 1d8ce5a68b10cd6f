"""Hot pixels, brightness of the tilts, doubtful views."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_inr_tomo import io
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import (
    check_views,
    mask_outliers,
    normalise_tilts,
    prepare,
)
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import TiltSeries

ANGLES = np.arange(-60.0, 61.0, 10.0)


def make(**changes):
    settings = {"dose": 100, "background": 0.2, "margin": 0.3, "seed": 3}
    return simulate_series("ellipsoids", (56, 63), ANGLES, **(settings | changes))


def test_a_hot_pixel_takes_the_mean_of_the_good_ones_next_to_it():
    """On a slope that is what the slope has there, in y, in x and beside another."""
    tilt, y, x = np.mgrid[:5, :30, :31]
    slope = 10.0 + 0.03 * y + 0.02 * x + 0.1 * tilt
    images = slope.copy()
    images[1, 12, 20] = images[3, 14, 9] = images[3, 14, 10] = 1000
    done = mask_outliers(TiltSeries(images, np.arange(5)))
    assert [*zip(*np.nonzero(~done.valid), strict=True)] == [
        (1, 12, 20),
        (3, 14, 9),
        (3, 14, 10),
    ]
    assert done.images[1, 12, 20] == pytest.approx(slope[1, 12, 20], abs=1e-4)
    left = slope[3, 13:16, 8:11].sum() - slope[3, 14, 9:11].sum()
    assert done.images[3, 14, 9] == pytest.approx(left / 7, abs=1e-4)
    named = done.history[-1].parameters
    assert (named["detector_pixels"], named["single_pixels"]) == (0, 3)


def test_three_dead_pixels_do_not_take_the_fourth_of_their_square():
    """It is a little dark by chance, and far from what is beside it: no defect."""
    images = np.random.default_rng(0).normal(100, 1, (4, 30, 31))
    images[1, 14:16, 9:11] = [[0, 0], [0, 96]]
    done = mask_outliers(TiltSeries(images, np.arange(4)))
    found = [*zip(*np.nonzero(~done.valid), strict=True)]
    assert found == [(1, 14, 9), (1, 14, 10), (1, 15, 9)]


def test_what_was_masked_before_is_no_outlier_and_makes_none_beside_it():
    images = make().series.images.copy()
    valid = np.ones(images.shape, bool)
    valid[:, 10:13] = valid[4, :, 20:24] = False
    images[~valid] = 1e6
    images[2, 9, 30] += 0.6 * images[2].max(where=valid[2], initial=0)
    done = mask_outliers(TiltSeries(images, ANGLES, valid=valid))
    lost = valid & ~done.valid
    assert lost[2, 9, 30]
    assert lost.sum() < 3
    assert not (done.valid & ~valid).any()
    assert done.images[2, 9, 30] < images[2].max(where=valid[2], initial=0)
    np.testing.assert_array_equal(done.images[done.valid], images[done.valid])


@pytest.mark.scenario(16)
def test_hot_pixels_are_found_and_nothing_else():
    hot, clean = make(hot_pixels=0.004).series, make().series
    planted = hot.images != clean.images
    done = mask_outliers(hot)
    assert (~done.valid & planted).sum() > 0.97 * planted.sum()
    assert (~done.valid & ~planted).mean() < 1e-4
    # filled from their neighbours, to within the noise
    off = (done.images - clean.images)[~done.valid]
    assert np.abs(off).mean() < 0.05 * clean.images.max()
    np.testing.assert_array_equal(done.images[done.valid], hot.images[done.valid])
    untouched = mask_outliers(clean)
    assert untouched.valid is None or (~untouched.valid).mean() < 1e-4


def test_a_dead_pixel_is_found_in_every_image():
    images = make().series.images.copy()
    images[:, 20, 31] = 0
    done = mask_outliers(TiltSeries(images, ANGLES))
    assert not done.valid[:, 20, 31].any()
    assert (~done.valid).sum() < len(ANGLES) + 5


def test_the_rim_of_a_real_specimen_is_no_defect(shared_data):
    needle = io.read_series(shared_data / "needle" / "needle_unaligned.mrc")
    assert mask_outliers(needle).valid is None


def test_where_much_stands_out_nothing_is_changed():
    images = np.zeros((5, 40, 41))
    images[:, ::3, ::3] = 100 + np.arange(5)[:, None, None]
    done = mask_outliers(TiltSeries(images, np.arange(5)))
    np.testing.assert_array_equal(done.images, images)
    assert "nothing was changed" in done.notices[-1]
    with pytest.raises(UserError):
        mask_outliers(TiltSeries(images, np.arange(5)), threshold=2)


def test_a_drifting_beam_is_evened_out():
    settings = {"dose": None, "background": 0.0}
    steady, drifting = make(**settings).series, make(**settings, drift=0.3).series
    done = normalise_tilts(drifting)
    scale = done.images.sum(axis=(1, 2)) / steady.images.sum(axis=(1, 2))
    before = drifting.images.sum(axis=(1, 2)) / steady.images.sum(axis=(1, 2))
    assert np.ptp(before) > 0.3
    assert np.ptp(scale) < 0.01
    assert np.median(done.images.mean(axis=(1, 2))) == pytest.approx(
        np.median(drifting.images.mean(axis=(1, 2))), rel=1e-5
    )


def test_a_slab_keeps_the_growth_of_its_thickness():
    thickness = 1 / np.cos(np.deg2rad(ANGLES))
    beam = 1 + 0.2 * np.sin(np.arange(len(ANGLES)))
    images = np.ones((len(ANGLES), 20, 31)) * (thickness * beam)[:, None, None]
    done = normalise_tilts(TiltSeries(images, ANGLES), thickness=True)
    level = done.images.mean(axis=(1, 2)) / thickness
    np.testing.assert_allclose(level, level[0], rtol=1e-5)
    steep = TiltSeries(images[:3], [0, 45, 88])
    with pytest.raises(UserError, match="slab"):
        normalise_tilts(steep, thickness=True)


def test_a_full_field_is_not_normalised_unasked():
    full = TiltSeries(np.random.default_rng(0).normal(50, 2, (7, 30, 33)), np.arange(7))
    done = normalise_tilts(full, only_isolated=True)
    np.testing.assert_array_equal(done.images, full.images)
    assert "not normalised" in done.notices[-1]


@pytest.mark.parametrize(("full", "isolated"), [(2, True), (3, False)])
@pytest.mark.parametrize("side", [0, 1, 2, 3])
def test_a_tenth_of_the_tilts_may_reach_an_edge(full, isolated, side):
    images = np.zeros((20, 40, 40)) + 0.01
    images[:, 14:26, 14:26] = 1 + 0.02 * np.arange(20)[:, None, None]
    for image in images[:full]:
        np.rot90(image, side)[:, :6] = 1
    done = normalise_tilts(TiltSeries(images, np.arange(20)), only_isolated=True)
    assert (done.history[-1].parameters["factors"] is not None) == isolated


@pytest.mark.parametrize("hidden", [-1e4, 1e4])
def test_what_is_masked_neither_fills_the_field_nor_blocks_the_beam(hidden):
    """A masked bar at a border of half of the tilts, whatever is stored there."""
    series = make(dose=None, background=0.0, drift=0.2).series
    images = series.images.copy()
    valid = np.ones(images.shape, bool)
    valid[::2, :9] = False
    images[~valid] = hidden
    masked = TiltSeries(images, ANGLES, valid=valid)
    done = normalise_tilts(masked, only_isolated=True)
    assert done.history[-1].parameters["factors"] is not None
    even, barred = np.ones((9, 40, 44)), np.ones((9, 40, 44), bool)
    barred[4, :12] = False
    even[~barred] = -abs(hidden)
    assert not check_views(TiltSeries(even, np.arange(9), valid=barred)).notices


def test_a_tilt_without_intensity_is_refused():
    images = np.ones((5, 20, 21))
    images[2] = 0
    with pytest.raises(UserError, match="2"):
        normalise_tilts(TiltSeries(images, np.arange(5)))


def test_blocked_and_jumping_tilts_are_named_and_can_be_left_out():
    images = make(drift=0.2).series.images.copy()
    images[4] *= 1.8
    images[9, :, :40] *= 0.05
    order = np.random.default_rng(1).permutation(len(ANGLES))
    series = TiltSeries(images[order], ANGLES[order])
    done = check_views(series)
    parameters = done.history[-1].parameters
    assert [order[k] for k in parameters["jump_tilts"] if order[k] != 9] == [4]
    assert [order[k] for k in parameters["blocked_tilts"]] == [9]
    assert done.mask.all()
    assert check_views(done).notices == done.notices  # told once
    left = check_views(series, exclude=True)
    assert sorted(order[~left.mask]) == [4, 9]
    assert not check_views(make(drift=0.2).series).notices


@pytest.mark.parametrize("phantom", ["sea-mine", "porous", "chiral"])
def test_a_specimen_that_moves_blocks_no_beam(phantom):
    """Between tilts it leaves one edge of the field and nears the other."""
    for seed in (0, 1):
        moving = simulate_series(
            phantom, 64, np.arange(-60, 61, 2.0), dose=200, shift_sigma_px=2, seed=seed
        ).series
        assert not check_views(moving).notices
        images = moving.images.copy()
        images[21, 24:44] *= 0.1  # a bar across a third of the field
        barred = check_views(TiltSeries(images, moving.angles_deg))
        assert barred.history[-1].parameters["blocked_tilts"] == [21]


def test_prepare_gives_the_specimen_back():
    dirty = make(drift=0.2, hot_pixels=0.001, background=0.3)
    clean = make(dose=None, background=0.0)
    done = prepare(dirty.series)
    names = [step.name for step in done.history[1:]]
    assert names == [
        "mask_outliers",
        "check_views",
        "subtract_background",
        "normalise_tilts",
    ]
    error = ndimage.gaussian_filter(done.images - clean.series.images, (0, 3, 3))
    assert np.abs(error).max() < 0.08 * clean.series.images.max()
    scale = done.images.sum(axis=(1, 2)) / clean.series.images.sum(axis=(1, 2))
    assert np.ptp(scale) < 0.06
    again = prepare(dirty.series)
    np.testing.assert_array_equal(again.images, done.images)
