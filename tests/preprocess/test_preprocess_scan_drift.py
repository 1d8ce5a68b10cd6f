"""Drift within images: known offsets are found, drift-free scans are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import correct_scan_drift, correct_series_drift
from napari_inr_tomo.simulate import simulate_scans
from napari_inr_tomo.types import TiltSeries

SHAPE = (80, 96)


def errors_px(found: tuple[np.ndarray, ...], truth: tuple[np.ndarray, ...]) -> float:
    """Return the rms error of all offsets but for the one shift no scans can tell."""
    apart = np.concatenate(found) - np.concatenate(truth)
    apart -= np.median(apart, axis=0)
    return float(np.sqrt((apart**2).sum(axis=1).mean()))


@pytest.mark.parametrize("directions", [(0.0, 90.0), (90.0, 180.0)])
def test_known_drift_of_every_line_is_found(directions: tuple[float, float]) -> None:
    made = simulate_scans(SHAPE, directions, drift_px=4.0, jitter_px=0.3, seed=1)
    found = correct_scan_drift(made.images, directions)
    assert errors_px(found.offsets_yx, made.offsets_yx) < 0.2
    still = tuple(np.zeros_like(offsets) for offsets in made.offsets_yx)
    assert errors_px(still, made.offsets_yx) > 1
    assert found.correlation_after > 0.99 > found.correlation_before
    inner = (slice(8, -8), slice(8, -8))
    left = (found.corrected - made.truth)[inner]
    assert left.std() < 0.1 * made.truth.std()
    assert np.abs(found.residual).std() < 0.1 * made.truth.std()


def test_noise_is_not_taken_for_drift_and_drift_is_found_in_noise() -> None:
    made = simulate_scans(SHAPE, drift_px=3.0, jitter_px=0.1, dose=300, seed=2)
    found = correct_scan_drift(made.images)
    assert errors_px(found.offsets_yx, made.offsets_yx) < 0.2


@pytest.mark.parametrize("upright", [False, True])
def test_what_is_masked_says_nothing_of_the_drift(upright: bool) -> None:
    """Neither a bar nor single pixels, whatever lies there, nor a missing number."""
    made = simulate_scans(SHAPE, drift_px=3.0, jitter_px=0.0, seed=4)
    images = [np.array(image, np.float64) for image in made.images]
    if upright:
        images[1] = np.rot90(images[1], -1)
    masks = []
    for number, image in enumerate(images):
        mask = np.random.default_rng(number).random(image.shape) > 0.03
        mask[30:36, 20:60] = False
        image[~mask] = 20 * image.max()
        image[50, 20 + number] = np.nan
        masks.append(mask)
    found = correct_scan_drift(images, upright=upright, valid=masks)
    assert errors_px(found.offsets_yx, made.offsets_yx) < 0.3
    inner = (slice(8, -8), slice(8, -8))
    off = np.abs(found.corrected - made.truth)[inner]
    assert np.quantile(off, 0.95) < 0.2 * made.truth.std()
    assert off.max() < made.truth.max()


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-20, 2.0**20])  # amperes, counts ...
def test_the_unit_of_the_intensities_changes_nothing(unit: float) -> None:
    made = simulate_scans((48, 56), drift_px=3.0, jitter_px=0.1, dose=300, seed=2)
    images = [image * np.float32(unit) for image in made.images]
    one, other = correct_scan_drift(made.images), correct_scan_drift(images)
    np.testing.assert_allclose(
        np.concatenate(other.offsets_yx), np.concatenate(one.offsets_yx), atol=1e-3
    )
    np.testing.assert_allclose(
        other.corrected / unit, one.corrected, atol=1e-3 * one.corrected.max()
    )


def test_scans_without_drift_are_left_alone() -> None:
    made = simulate_scans(SHAPE, drift_px=0.0, jitter_px=0.0, seed=3)
    found = correct_scan_drift(made.images)
    assert found.largest_px < 0.05
    inner = (slice(4, -4), slice(4, -4))
    assert np.abs(found.corrected - made.truth)[inner].max() < 0.02


def test_drift_beyond_the_search_is_said() -> None:
    made = simulate_scans((48, 56), drift_px=5.0, jitter_px=0.0, seed=6)
    assert correct_scan_drift(made.images, largest_drift=0.04).limited
    wide = correct_scan_drift(made.images, largest_drift=0.15)
    assert not wide.limited
    assert wide.unseen > 0
    series = [TiltSeries(image[None], [0.0]) for image in made.images]
    done = correct_series_drift(series[0], [series[1]], largest_drift=0.04)
    assert "tilts 0 drift by as much as was looked for" in done.notices[-1]


def test_images_turned_back_by_the_microscope() -> None:
    made = simulate_scans(SHAPE, drift_px=3.0, jitter_px=0.0, seed=4)
    turned = [made.images[0], np.rot90(made.images[1], -1)]
    one = correct_scan_drift(made.images)
    other = correct_scan_drift(turned, upright=True)
    np.testing.assert_allclose(other.corrected, one.corrected)


def test_what_no_scan_pair_is_is_refused() -> None:
    made = simulate_scans(SHAPE, seed=5)
    with pytest.raises(UserError, match="right angles"):
        correct_scan_drift(made.images, (0.0, 180.0))
    with pytest.raises(UserError, match="one scan direction for each"):
        correct_scan_drift(made.images[:1])
    with pytest.raises(UserError, match="one value"):
        correct_scan_drift([made.images[0], np.ones_like(made.images[1])])
    nothing = np.full_like(made.images[1], np.nan)
    with pytest.raises(UserError, match="one value"):
        correct_scan_drift([made.images[0], nothing])


def a_pair_of_series() -> tuple[TiltSeries, TiltSeries, list[np.ndarray]]:
    """Three tilts; the 90 degree series in another order, and one image short."""
    made = [
        simulate_scans((48, 56), drift_px=d, jitter_px=0.0, seed=k)
        for k, d in enumerate((2.0, 1.0, 1.5))
    ]
    first = TiltSeries(np.stack([m.images[0] for m in made]), [-10.0, 0.0, 10.0])
    second = TiltSeries(np.stack([m.images[1] for m in made[:0:-1]]), [10.0, 0.0])
    return first, second, [m.truth for m in made]


def test_a_series_of_pairs_is_paired_by_angle() -> None:
    first, second, truth = a_pair_of_series()
    seen: list[int] = []
    done = correct_series_drift(
        first, [second], progress=lambda tilt, _: seen.append(tilt)
    )
    inner = (slice(6, -6), slice(6, -6))
    for tilt in (1, 2):
        before = (first.images[tilt] - truth[tilt])[inner].std()
        after = (done.images[tilt] - truth[tilt])[inner].std()
        assert after < 0.6 * before
    np.testing.assert_array_equal(done.images[0], first.images[0])
    assert "tilts 0 have no second scan" in done.notices[-1]
    assert seen == [0, 1, 2]
    parameters = done.history[-1].parameters
    assert parameters["largest_px"][0] is None
    assert parameters["correlation_after"][1] > parameters["correlation_before"][1]


def test_a_tilt_left_out_of_the_second_series_is_no_partner() -> None:
    """Noise left out by hand, and an image without a number left out by the reader."""
    first, second, _ = a_pair_of_series()
    noise = np.random.default_rng(7).normal(500, 200, second.images.shape[1:])
    for bad in (noise, np.zeros(second.images.shape[1:])):
        images = np.array([second.images[0], bad], np.float32)
        valid = np.ones(images.shape, bool)
        valid[1] = bad.any()
        other = TiltSeries(images, second.angles_deg, used=[True, False], valid=valid)
        done = correct_series_drift(first, [other])
        np.testing.assert_array_equal(done.images[1], first.images[1])
        assert np.abs(done.images[2] - first.images[2]).max() > 0.1
        assert "tilts 0, 1 have no second scan" in done.notices[-1]


def test_a_series_of_other_tilts_is_refused_and_progress_may_end_it() -> None:
    first, second, _ = a_pair_of_series()
    apart = TiltSeries(second.images, [40.0, 50.0])
    with pytest.raises(UserError, match="no image of one has a partner"):
        correct_series_drift(first, [apart])

    def stop(tilt: int, _: int) -> None:
        raise InterruptedError(tilt)

    with pytest.raises(InterruptedError):
        correct_series_drift(first, [second], progress=stop)
