"""The Bernstein background: exact where it should be, careful where it must be."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import (
    bernstein_basis,
    fit_background,
    follow_tilts,
    subtract_background,
)
from napari_inr_tomo.preprocess.background_box import darkest_box
from napari_inr_tomo.types import TiltSeries

SHAPE = (97, 120)


def done_again(series, done):
    """Do the last step again from what its history line holds."""
    recorded = json.loads(json.dumps(done.history[-1].to_json()))["parameters"]
    accepted = inspect.signature(subtract_background).parameters
    return subtract_background(
        series, **{name: recorded[name] for name in recorded if name in accepted}
    )


def surface(degree_yx, seed):
    c = np.random.default_rng(seed).uniform(
        40, 60, (degree_yx[0] + 1, degree_yx[1] + 1)
    )
    return (
        bernstein_basis(SHAPE[0], degree_yx[0])
        @ c
        @ bernstein_basis(SHAPE[1], degree_yx[1]).T
    )


def specimen(kind):
    """Projected thickness of a few specimens, up to about 100."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    if kind == "needle":  # reaches both edges
        across = (y - 48) * np.cos(0.2) - (x - 60) * np.sin(0.2)
        return 100 * np.sqrt(np.clip(1 - (across / 15) ** 2, 0, None))
    if kind == "large":
        return 100 * np.sqrt(
            np.clip(1 - ((y - 48) ** 2 + (x - 60) ** 2) / 46**2, 0, None)
        )
    image = np.zeros(SHAPE)
    rng = np.random.default_rng(4)
    for _ in range(8):
        cy, cx, r = rng.uniform(0, 97), rng.uniform(0, 120), rng.uniform(5, 12)
        image += 50 * np.sqrt(
            np.clip(1 - ((y - cy) ** 2 + (x - cx) ** 2) / r**2, 0, None)
        )
    return image


def test_the_basis_is_bernsteins():
    basis = bernstein_basis(51, 4)
    np.testing.assert_allclose(basis.sum(axis=1), 1)
    assert (basis > 0).all()
    np.testing.assert_allclose(basis, basis[::-1, ::-1], atol=1e-15)
    t = (np.arange(51) + 0.5) / 51
    np.testing.assert_allclose(basis @ np.arange(5) / 4, t, atol=1e-14)


@pytest.mark.parametrize("degree", [(1, 2), (3, 3), (6, 6)])
@pytest.mark.parametrize("kind", ["needle", "particles", "large"])
def test_a_planted_background_is_removed(kind, degree):
    """Within 1 % of its range, and 1 % of the specimen's mass."""
    background, object_ = surface(degree, 1), specimen(kind)
    fit = fit_background(background + object_, degree)
    assert fit.degree_yx == degree
    assert not fit.notice
    error = fit.background - background
    strictness = 0.01 if kind != "large" or max(degree) < 6 else 0.1
    assert np.abs(error).max() < strictness * np.ptp(background) + 1e-3 * 100
    assert abs(error.sum()) < 0.01 * object_.sum()
    assert fit.mask[object_ > 5].all()
    np.testing.assert_allclose(
        fit.residual + fit.background, background + object_, rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["needle", "particles", "large"])
def test_noise_does_not_bias_the_mass(kind):
    rng = np.random.default_rng(2)
    background, object_ = surface((3, 3), 1), specimen(kind)
    image = background + object_ + rng.normal(0, 2, SHAPE)
    fit = fit_background(image)
    assert abs((fit.background - background).sum()) < 0.015 * object_.sum()
    assert np.median(fit.residual[~fit.mask]) == pytest.approx(0, abs=0.1)


def test_negative_values_are_kept():
    images = np.random.default_rng(0).normal(50, 3, (3, 41, 52))
    residual = subtract_background(TiltSeries(images, [-1, 0, 1])).images
    assert (residual < 0).mean() == pytest.approx(0.5, abs=0.03)
    assert np.abs(residual.mean(axis=(1, 2))).max() < 0.2


def test_a_users_mask_is_added_and_can_stand_alone():
    background, object_ = surface((2, 2), 3), specimen("needle")
    drawn = object_ > 0
    alone = fit_background(background + object_, (2, 2), drawn, automatic=False)
    np.testing.assert_array_equal(alone.mask, drawn)
    np.testing.assert_allclose(alone.background, background, atol=0.01)
    # faint haze that no threshold would find, in a corner the user painted
    haze = np.zeros(SHAPE)
    haze[:30, :30] = 0.4
    noisy = background + haze + np.random.default_rng(0).normal(0, 1, SHAPE)
    both = fit_background(noisy, (1, 1), haze > 0)
    assert both.mask[:30, :30].all()


def test_a_frame_full_of_specimen_is_not_eaten():
    rng = np.random.default_rng(0)
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), 4)
    image = 100 + 20 * texture / texture.std() + rng.normal(0, 2, SHAPE)
    fit = fit_background(image)
    assert "fill the frame" in fit.notice
    assert fit.degree_yx == (0, 0)
    assert np.ptp(fit.background) == 0
    assert np.corrcoef(fit.residual.ravel(), image.ravel())[0, 1] > 0.999
    series = subtract_background(TiltSeries(np.stack([image, image + 7]), [0, 10]))
    assert "all tilts" in series.notices[0]
    # one constant for all: the brightness of the tilts relative to each other stays
    assert np.ptp(series.images.mean(axis=(1, 2))) == pytest.approx(7, abs=1e-3)


@pytest.mark.parametrize("hidden", [-5000.0, np.nan])
def test_what_is_masked_is_not_the_darkest_of_a_slab(hidden):
    """The constant of all tilts is that of pixels that count."""
    angles = np.arange(-60, 61, 10.0)
    level = 100 / np.cos(np.deg2rad(angles))
    noise = np.random.default_rng(0).normal(0, 1, (len(angles), 40, 50))
    images = level[:, None, None] + noise
    clean = subtract_background(TiltSeries(images, angles))
    valid = np.ones(images.shape, bool)
    valid[:, :, 7:12] = False
    images[~valid] = hidden
    masked = subtract_background(TiltSeries(images, angles, valid=valid))
    assert "slab" in masked.notices[0]
    off = masked.images[valid] - clean.images[valid]
    assert np.abs(off).max() < 1.0


def test_a_constant_that_was_asked_for_is_that_of_every_tilt():
    angles = np.arange(-60, 61, 10.0)
    level = 100 / np.cos(np.deg2rad(angles))
    noise = np.random.default_rng(0).normal(0, 1, (len(angles), 40, 50))
    series = TiltSeries(level[:, None, None] + noise, angles)
    done = subtract_background(series, kind="constant")
    assert np.abs(done.images.mean(axis=(1, 2))).max() < 1


def test_a_level_that_hardly_grows_with_the_tilt_is_no_slab():
    """A few percent of stray beam follow the thickness; the rest is background."""
    angles = np.arange(-60, 61, 10.0)
    level = 100 + 2 / np.cos(np.deg2rad(angles))
    noise = np.random.default_rng(0).normal(0, 1, (len(angles), 40, 50))
    series = subtract_background(TiltSeries(level[:, None, None] + noise, angles))
    assert not any("slab" in notice for notice in series.notices)
    assert np.abs(series.images.mean(axis=(1, 2))).max() < 0.2


def test_a_featureless_slab_is_recognised_over_the_tilts():
    angles = np.arange(-60, 61, 10.0)
    rng = np.random.default_rng(0)
    images = 100 / np.cos(np.deg2rad(angles))[:, None, None] + rng.normal(
        0, 1, (len(angles), 40, 50)
    )
    series = subtract_background(TiltSeries(images, angles))
    assert "slab" in series.notices[0]
    assert series.images[0].mean() - series.images[6].mean() == pytest.approx(
        100, abs=1
    )


def test_an_empty_frame_is_all_background():
    fit = fit_background(surface((3, 2), 5), (3, 2))
    assert not fit.notice
    assert np.abs(fit.residual).max() < 0.05


def test_a_surface_that_sees_half_the_frame_stays_tame():
    rng = np.random.default_rng(0)
    image = 50 + rng.normal(0, 2, SHAPE)
    image[40:] += 100
    fit = fit_background(image, (6, 6))
    assert np.abs(fit.background - 50).max() < 25
    assert fit.mask[50:].all()


def test_invalid_pixels_are_ignored():
    images = np.full((1, 40, 50), 7.0, np.float32)
    images[0, :20] = 1000.0
    valid = images < 100
    series = subtract_background(TiltSeries(images, [0], valid=valid), (1, 1))
    np.testing.assert_allclose(series.images[0, 20:], 0, atol=1e-3)


@pytest.mark.parametrize("height", [1e-6, 1.0, 1e6])
def test_units_do_not_matter(height):
    image = surface((3, 3), 1) + specimen("particles")
    image += np.random.default_rng(0).normal(0, 1, SHAPE)
    fit, scaled = fit_background(image), fit_background(image * height)
    np.testing.assert_allclose(scaled.background / height, fit.background, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"degree_yx": (9, 3)}, "degree"),
        ({"degree_yx": (3,)}, "degree"),
        ({"mask": np.ones((97, 120))}, "too little background"),
        ({"mask": np.ones((97, 121))}, "does not belong"),
    ],
)
def test_bad_settings_are_refused(arguments, what):
    with pytest.raises(UserError, match=what):
        fit_background(specimen("needle"), **arguments)


def test_masks_per_tilt_and_the_history():
    images = np.stack([surface((1, 1), k) + specimen("needle") for k in range(2)])
    series = TiltSeries(images, [0, 10])
    mask = np.stack([specimen("needle") > 0] * 2)
    done = subtract_background(series, (1, 1), mask.astype(int), automatic=False)
    np.testing.assert_allclose(done.images[1], specimen("needle"), atol=0.05)
    assert done.history[-1].parameters["degree_yx"] == [1, 1]
    np.testing.assert_array_equal(done_again(series, done).images, done.images)
    with pytest.raises(UserError, match="does not belong"):
        subtract_background(series, (1, 1), np.zeros((3, *SHAPE)))


@pytest.mark.parametrize(
    "settings",
    [
        {"reweight": True},
        {"reweight": True, "automatic": False},
        {"reweight": True, "specimen": "otsu"},
        {"edge_px": 4},
        {"edge_px": 4, "edge_weight": 3.0},
    ],
)
@pytest.mark.parametrize("kind", ["needle", "particles"])
def test_every_way_to_fit_finds_the_planted_background(kind, settings):
    background, object_ = surface((3, 3), 1), specimen(kind)
    fit = fit_background(background + object_, (3, 3), **settings)
    error = fit.background - background
    assert np.abs(error).max() < 0.01 * np.ptp(background)
    assert abs(error.sum()) < 0.01 * object_.sum()


def test_reweighting_stays_under_a_specimen_on_a_steep_background():
    """A third of the image is specimen that nobody masked; every round must help."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    background = 50 + 2.0 * x + y + 0.02 * (x - 50) ** 2
    rng = np.random.default_rng(0)
    blobs = ndimage.gaussian_filter(rng.normal(size=SHAPE), 5)
    object_ = np.where(blobs > np.quantile(blobs, 0.65), 30.0, 0)
    image = background + object_ + rng.normal(0, 2, SHAPE)
    fit = fit_background(image, (2, 2), reweight=True, automatic=False)
    assert np.abs(fit.background - background).max() < 3
    plain = fit_background(image, (2, 2), automatic=False)
    assert np.abs(plain.background - background).max() > 10


@pytest.mark.parametrize("shape", [(40, 56), (45, 50), (7, 9)])
@pytest.mark.parametrize("at", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.4, 0.7)])
def test_the_darkest_box_is_the_darkest_wherever_it_lies(shape, at):
    rows, columns = (max(1, n // 8) for n in shape)
    y = round(at[0] * (shape[0] - rows))
    x = round(at[1] * (shape[1] - columns))
    image = np.random.default_rng(0).uniform(10, 11, shape)
    image[y : y + rows, x : x + columns] = 1.0
    assert darkest_box(image) == (y, y + rows, x, x + columns)


def test_bad_pixels_at_the_edges_do_not_count_when_masked():
    background, object_ = surface((2, 2), 3), specimen("particles") * 0
    object_[40:60, 50:70] = 80
    image = background + object_
    image[:, :3] -= 200
    fit = fit_background(image, (2, 2), edge_px=3)
    np.testing.assert_allclose(fit.background, background, atol=0.3)
    careless = fit_background(image, (2, 2))
    assert np.abs(careless.background - background).max() > 10


def test_a_level_and_otsu_find_a_bright_block():
    object_ = np.zeros(SHAPE)
    object_[30:60, 40:80] = 50
    image = 10 + object_ + np.random.default_rng(0).normal(0, 1, SHAPE)
    for settings in ({"specimen": "otsu"}, {"specimen": "threshold", "level": 30}):
        fit = fit_background(image, (1, 1), dilation_px=0, **settings)
        assert (fit.mask == (object_ > 0)).mean() > 0.99
        grown = fit_background(image, (1, 1), dilation_px=4, **settings)
        assert grown.mask[27:63, 37:83].mean() > 0.97
        np.testing.assert_allclose(grown.background, 10, atol=0.5)
    with pytest.raises(UserError, match="no level"):
        fit_background(image, specimen="threshold")
    with pytest.raises(UserError, match="not known"):
        fit_background(image, kind="spline")


def test_constants_for_comparison():
    object_ = specimen("needle")
    image = 12 + object_ + np.random.default_rng(0).normal(0, 1, SHAPE)
    assert fit_background(image, kind="constant").background[0, 0] == pytest.approx(
        12, abs=0.05
    )
    by_hand = fit_background(image, kind="box-mean", box=(0, 20, 30, 50))
    expected = image[:20, 30:50].mean()
    np.testing.assert_allclose(by_hand.background, expected, rtol=1e-6)
    series = TiltSeries(np.stack([image, image + 3]), [0, 10])
    done = subtract_background(series, kind="box-mean")
    y0, y1, x0, x1 = done.history[-1].parameters["box"]
    assert not (object_[y0:y1, x0:x1] > 0).any()
    assert np.abs(done.images[:, y0:y1, x0:x1].mean(axis=(1, 2))).max() < 1e-4
    np.testing.assert_array_equal(done_again(series, done).images, done.images)
    with pytest.raises(UserError, match="not in the image"):
        fit_background(image, kind="box-mean", box=(0, 200, 0, 10))


def test_negative_values_are_counted_and_said():
    images = np.random.default_rng(0).normal(50, 3, (3, 41, 52))
    done = subtract_background(TiltSeries(images, [-1, 0, 1]))
    parameters = done.history[-1].parameters
    assert parameters["negative_share"] == pytest.approx((done.images < 0).mean())
    assert parameters["negative_sum_share"] == pytest.approx(0.5, abs=0.03)
    assert not done.notices
    few = np.where(np.random.default_rng(1).random((2, 41, 52)) < 0.2, 60.0, 50.0)
    high = subtract_background(
        TiltSeries(few, [0, 1]), kind="constant", automatic=False
    )
    assert "80% of the pixels are negative" in high.notices[-1]


def test_degrees_per_tilt_or_the_same_for_all():
    rng = np.random.default_rng(0)
    half = 50 + rng.normal(0, 2, SHAPE)
    half[40:] += 100
    whole = surface((3, 3), 1) + specimen("particles")
    series = TiltSeries(np.stack([whole, half, whole]), [-10, 0, 10])
    alone = subtract_background(series, (6, 6))
    assert "tilt 1" in " ".join(alone.notices)
    same = subtract_background(series, (6, 6), same_degree=True)
    assert np.abs(alone.images[0] - specimen("particles")).max() < 0.5
    assert np.abs(same.images[0] - alone.images[0]).max() > 1
    np.testing.assert_array_equal(done_again(series, same).images, same.images)
    mixed = subtract_background(series, [(3, 3), (0, 0), (3, 3)])
    assert np.abs(mixed.images[0] - specimen("particles")).max() < 0.5
    np.testing.assert_array_equal(done_again(series, mixed).images, mixed.images)
    with pytest.raises(UserError, match="do not belong"):
        subtract_background(series, [(3, 3), (0, 0)])


def test_a_painted_mask_follows_the_tilt_and_is_replayed():
    angles = np.array([20.0, -20.0, 0.0, 40.0])
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    places = {0: 70, 1: 30}  # painted at two tilts only
    painted = np.zeros((4, *SHAPE), bool)
    for tilt, column in places.items():
        painted[tilt] = np.hypot(y - 48, x - column) < 30
    filled = follow_tilts(painted, angles)
    np.testing.assert_array_equal(filled[:2], painted[:2])
    np.testing.assert_array_equal(filled[3], painted[0])
    middle = np.flatnonzero(filled[2].any(axis=0)).mean()
    assert middle == pytest.approx(50, abs=1)
    assert not follow_tilts(np.zeros((4, 5, 6)), angles).any()
    images = surface((1, 1), 2) + 50.0 * filled
    series = TiltSeries(images, angles)
    done = subtract_background(
        series, (1, 1), painted, automatic=False, follow_mask=True
    )
    np.testing.assert_allclose(done.images, 50.0 * filled, atol=1e-2)
    np.testing.assert_array_equal(done_again(series, done).images, done.images)
