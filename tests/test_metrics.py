"""Figures of merit against closed forms and planted errors."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_inr_tomo import metrics
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import translation_shifts
from napari_inr_tomo.simulate import Phantom, phantom
from napari_inr_tomo.types import Poses, Volume

RNG = np.random.default_rng(11)
TRUTH = phantom("ellipsoids", (33, 36, 39)).voxelise()
NOISE = RNG.normal(size=TRUTH.shape)


def low_pass(volume: np.ndarray, cut: float) -> np.ndarray:
    grids = np.meshgrid(*[np.fft.fftfreq(n) for n in volume.shape], indexing="ij")
    keep = np.sqrt(sum(g**2 for g in grids)) < cut
    return np.fft.ifftn(np.fft.fftn(volume) * keep).real


SIMILARITIES = [
    metrics.ssim,
    metrics.ssim_in_support,
    metrics.ssim_slices,
    metrics.ssim_central,
]


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_similarity_is_one_for_equals_and_falls_with_noise(similarity) -> None:
    assert similarity(TRUTH, TRUTH) == pytest.approx(1.0)
    values = [similarity(TRUTH + s * NOISE, TRUTH) for s in (0.02, 0.1, 0.5)]
    assert 1 > values[0] > values[1] > values[2] > 0


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_similarity_of_an_offset_is_the_luminance_term(similarity) -> None:
    """Truth with constant local mean m and no contrast but one far-away voxel."""
    truth = np.zeros((40, 40, 40))
    truth[4:36, 4:36, 4:36] = 1.0
    offset = truth + 0.1
    value = similarity(offset, truth)
    c1 = 0.01**2
    inside = (2 * 1.0 * 1.1 + c1) / (1.0**2 + 1.1**2 + c1)
    outside = c1 / (0.1**2 + c1)
    assert outside < value < inside
    if similarity is metrics.ssim_in_support:
        assert value > 0.9


def test_similarity_takes_its_range_from_the_truth() -> None:
    """A bright artefact must cost, not stretch the yardstick."""
    spoilt = TRUTH + 0.05 * NOISE
    bright = spoilt.copy()
    bright[2, 2, 2] += 50
    assert metrics.ssim(bright, TRUTH) < metrics.ssim(spoilt, TRUTH)


def test_vacuum_does_not_flatter_the_support() -> None:
    spoilt = TRUTH + 0.2 * NOISE * (TRUTH > 0)
    support = metrics.ssim_in_support(spoilt, TRUTH)
    assert support < metrics.ssim(spoilt, TRUTH) - 0.05


def test_central_slices_are_the_middle_of_the_axis() -> None:
    outside = TRUTH.copy()
    outside[:, :, :16] = 0  # the five middle slices of 39 are 17 to 21
    outside[:, :, 22:] = 0
    assert metrics.ssim_central(outside, TRUTH) == pytest.approx(1.0)
    assert metrics.ssim_central(outside, TRUTH, axis=0) < 0.99


def test_psnr_of_a_known_error() -> None:
    span = float(np.ptp(TRUTH))
    signs = np.where(NOISE > 0, 1.0, -1.0)
    assert metrics.psnr(TRUTH + 0.01 * span * signs, TRUTH) == pytest.approx(
        40, abs=1e-3
    )
    assert metrics.psnr(TRUTH + 0.1 * span * signs, TRUTH) == pytest.approx(
        20, abs=1e-3
    )
    assert metrics.psnr(TRUTH, TRUTH) == math.inf


def test_scale() -> None:
    assert metrics.fit_scale(TRUTH / 2.5, TRUTH) == pytest.approx(2.5)
    assert metrics.fit_scale(0 * TRUTH, TRUTH) == 0.0


def test_fsc_of_equals_is_one_and_blind_to_scale() -> None:
    volume = TRUTH + 0.1 * NOISE
    frequency, curve = metrics.fsc(volume, 3 * volume)
    assert curve == pytest.approx(1.0)
    assert frequency[0] == 0
    assert frequency[-1] == pytest.approx(0.5, abs=1 / 33)
    assert np.diff(frequency) == pytest.approx(1 / 33)
    assert metrics.fsc(volume, -volume)[1] == pytest.approx(-1.0)


def test_fsc_of_independent_noise_is_zero_within_its_spread() -> None:
    other = np.random.default_rng(12).normal(size=TRUTH.shape)
    frequency, curve = metrics.fsc(NOISE, other)
    # the voxels of a shell of radius r (in 1/px) and width 1/33, one of each pair
    pairs = 2 * np.pi * frequency**2 / 33 * NOISE.size
    assert (np.abs(curve[3:]) < 4.5 / np.sqrt(pairs[3:])).all()
    assert abs(curve[5:].mean()) < 0.05


def test_fsc_counts_every_fourier_voxel_as_the_full_transform_does() -> None:
    for shape in ((10, 12, 9), (9, 11, 12)):
        rng = np.random.default_rng(2)
        a, b = rng.normal(size=shape), rng.normal(size=shape)
        fa, fb = np.fft.fftn(a), np.fft.fftn(b)
        grids = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
        shell = np.rint(np.sqrt(sum(g**2 for g in grids)) * min(shape)).astype(int)
        _, curve = metrics.fsc(a, b)
        for k, value in enumerate(curve):
            here = shell == k
            cross = (fa * fb.conj())[here].sum().real
            power = (abs(fa[here]) ** 2).sum() * (abs(fb[here]) ** 2).sum()
            assert value == pytest.approx(cross / np.sqrt(power))


@pytest.mark.parametrize("criterion", [0.5, 0.143, "half-bit"])
def test_resolution_is_where_the_signal_ends(criterion) -> None:
    """Equal below a cut-off, independent above."""
    other = np.random.default_rng(13).normal(size=TRUTH.shape)
    shared = low_pass(NOISE, 0.25)
    a = shared + NOISE - low_pass(NOISE, 0.25)
    b = shared + other - low_pass(other, 0.25)
    assert metrics.fsc_resolution(a, b, criterion) == pytest.approx(4.0, rel=0.1)


def test_resolution_at_its_ends() -> None:
    assert metrics.fsc_resolution(TRUTH, TRUTH) == 2.0
    assert metrics.fsc_resolution(-TRUTH, TRUTH) == math.inf


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_register_finds_a_planted_shift(noise: float) -> None:
    """The phantom itself is moved, not its voxels: no interpolation helps."""
    thing = phantom("sea-mine", (40, 43, 38))
    offset_xyz = np.array([1.37, -2.61, 0.84])
    bodies = tuple(
        body.transformed(np.eye(3), 1.0, offset_xyz / thing.unit_px)
        for body in thing.bodies
    )
    away = Phantom("moved", bodies, thing.size_zyx).voxelise()
    truth = thing.voxelise()
    away = away + noise * np.random.default_rng(3).normal(size=away.shape)
    moved, shift_zyx = metrics.register(away, truth)
    assert shift_zyx == pytest.approx(-offset_xyz[::-1], abs=0.05)
    assert moved.dtype == np.float32
    assert metrics.psnr(moved, truth) > metrics.psnr(away, truth) + 2


def test_register_of_a_blank_volume_moves_nothing() -> None:
    assert metrics.register(0 * TRUTH, TRUTH)[1] == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("low", [0.0, 0.5])
def test_register_makes_no_values_that_the_volume_does_not_hold(low: float) -> None:
    """A box with sharp edges, moved by parts of a pixel; 0 comes from outside."""
    truth = np.full((31, 35, 33), low)
    truth[9:21, 8:25, 10:22] = 1.0
    away = np.array(truth)  # 0.3 of a pixel towards lower z, as its voxels see it
    away[8, 8:25, 10:22] = low + 0.3 * (1 - low)
    away[20, 8:25, 10:22] = low + 0.7 * (1 - low)
    moved, shift_zyx = metrics.register(away, truth)
    assert shift_zyx == pytest.approx((0.3, 0, 0), abs=0.1)
    assert (low, 1.0) == (moved[1:].min(), moved[1:].max())
    assert metrics.psnr(moved[1:], truth[1:]) > 20
    assert moved[0].tolist() == np.zeros((35, 33)).tolist()


def test_pose_errors_of_the_truth_but_for_the_gauge_are_zero() -> None:
    angles = np.arange(-60.0, 61.0, 5)
    rng = np.random.default_rng(4)
    truth = Poses.from_array(
        Poses.from_axis(25, 5.0).as_array() + rng.normal(size=(25, 4))
    )
    shift = translation_shifts(angles, truth, (2.0, -1.0, 4.0))
    values = truth.as_array()
    values[:, 2:] += shift
    errors = metrics.pose_errors(angles, Poses.from_array(values), truth)
    assert max(abs(value) for value in errors.values()) < 1e-9


def test_pose_errors_of_planted_errors() -> None:
    angles = np.arange(-60.0, 61.0, 1.0)
    count = len(angles)
    truth = Poses.from_axis(count, 175.0)
    signs = np.where(np.random.default_rng(6).random(count) > 0.5, 1.0, -1.0)
    found = Poses(
        truth.z1_deg - 2.0,
        truth.z3_deg + 3.0 - 360.0,
        truth.dx_px + 0.3 * signs,
        truth.dy_px - 0.4 * signs,
    )
    errors = metrics.pose_errors(angles, found, truth)
    assert errors["axis_deg"] == pytest.approx(2.5)
    assert errors["z1_deg"] == pytest.approx(2.0)
    assert errors["z3_deg"] == pytest.approx(3.0)
    assert errors["z1_z3_deg"] == pytest.approx(1.0)
    assert errors["dx_px"] == pytest.approx(0.3, rel=0.05)
    assert errors["dy_px"] == pytest.approx(0.4, rel=0.05)
    assert errors["shift_px"] == pytest.approx(0.5, rel=0.05)


def test_pose_errors_need_equal_numbers() -> None:
    with pytest.raises(UserError, match="3 and 4"):
        metrics.pose_errors(np.zeros(3), Poses.zeros(3), Poses.zeros(4))


def test_compare_is_json_and_agrees_with_the_parts() -> None:
    volume = Volume((TRUTH + 0.05 * NOISE).astype(np.float32))
    figures = metrics.compare(volume, Volume(TRUTH))
    json.dumps(figures, allow_nan=False)
    assert figures["ssim"] == pytest.approx(metrics.ssim(volume, TRUTH))
    assert figures["psnr_db"] == pytest.approx(metrics.psnr(volume, TRUTH))
    assert figures["fsc_0.5_px"] == metrics.fsc_resolution(volume, TRUTH)
    assert figures["shift_zyx_px"] == [0.0, 0.0, 0.0]


def test_compare_of_equals_has_no_infinity() -> None:
    figures = metrics.compare(TRUTH, TRUTH)
    json.dumps(figures, allow_nan=False)
    assert figures["psnr_db"] is None
    assert figures["ssim"] == pytest.approx(1.0)


def test_compare_registers_only_if_asked() -> None:
    away = np.roll(TRUTH, (2, -1, 3), axis=(0, 1, 2))
    plain = metrics.compare(away, TRUTH)
    aligned = metrics.compare(away, TRUTH, register=True)
    assert aligned["shift_zyx_px"] == pytest.approx([-2.0, 1.0, -3.0], abs=0.02)
    assert plain["ssim"] < 0.9 < 0.99 < aligned["ssim"]


@pytest.mark.parametrize(
    ("volume", "truth", "words"),
    [
        (TRUTH[1:], TRUTH, r"\(32, 36, 39\)"),
        (np.where(NOISE > 3, np.nan, TRUTH), TRUTH, "NaN"),
        (TRUTH, 0 * TRUTH + 1, "same value"),
        (NOISE[:2], NOISE[:2], "3 voxels"),
    ],
)
def test_what_cannot_be_compared(volume, truth, words) -> None:
    with pytest.raises(UserError, match=words):
        metrics.compare(volume, truth)


@pytest.mark.parametrize("axis_deg", [0.0, 30.0])
def test_directions_nobody_measured_do_not_agree(axis_deg: float) -> None:
    """Tilts on one side only, so that a wrong sign would show."""
    rng = np.random.default_rng(5)
    truth = rng.normal(size=(36, 40, 44))
    kz, ky, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in truth.shape), indexing="ij")
    turn = np.deg2rad(axis_deg)
    across = ky * np.cos(turn) - kx * np.sin(turn)
    theta = np.rad2deg(np.arctan2(-kz, across))
    theta = (theta + 90) % 180 - 90
    seen = (theta > -70) & (theta < 20)
    other = np.fft.fftn(rng.normal(size=truth.shape))
    volume = np.fft.ifftn(np.where(seen, np.fft.fftn(truth), other)).real
    found = metrics.fsc_by_direction(volume, truth, axis_deg)
    angles, reached, mean = found
    inside = (angles > -65) & (angles < 15)
    outside = (angles < -75) | (angles > 25)
    assert angles.tolist() == sorted(angles)
    assert len(angles) == 18
    assert reached[inside].min() > 0.45
    assert reached[outside].max() < 0.2
    assert mean[inside].min() > 0.9
    assert np.abs(mean[outside]).max() < 0.3


def test_the_half_bit_limit_is_that_of_its_signal_to_noise_ratio() -> None:
    """Half a bit in each voxel of a shell: log2(1 + snr) = 1/2, in halves of data."""
    a = np.random.default_rng(0).normal(size=(12, 13, 16))
    _, _, limit = metrics.fsc_half_bit(a, a)
    axes = np.meshgrid(*(np.fft.fftfreq(n) for n in a.shape), indexing="ij")
    shell = np.rint(np.sqrt(sum(f**2 for f in axes)) * 12).astype(int)
    count = np.bincount(shell.ravel())[: len(limit)]
    snr, root = (2**0.5 - 1) / 2, 1 / np.sqrt(count)
    wanted = snr + 2 * snr**0.5 * root + root
    wanted /= 1 + snr + 2 * snr**0.5 * root
    np.testing.assert_allclose(limit, wanted, rtol=1e-3)
    assert limit[0] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("tilt_deg", [-65.0, 35.0])
@pytest.mark.parametrize("axis_deg", [0.0, 30.0])
def test_a_direction_is_named_by_the_tilt_that_measures_it(tilt_deg, axis_deg) -> None:
    """What all images but one do not hold agrees in the sector of that one alone."""
    rng = np.random.default_rng(0)
    z, y, x = np.mgrid[:40, :40, :40] - 19.5
    turn, tilt = np.deg2rad(axis_deg), np.deg2rad(tilt_deg)
    across = y * np.cos(turn) - x * np.sin(turn)
    seen = across * np.cos(tilt) - z * np.sin(tilt)
    waves = np.arange(0.05, 0.45, 0.05)
    part = sum(
        np.cos(2 * np.pi * k * seen + p) for k, p in zip(waves, range(8), strict=True)
    )
    truth = part * np.exp(-(x**2 + y**2 + z**2) / 200) + rng.normal(0, 0.3, part.shape)
    volume = part * np.exp(-(x**2 + y**2 + z**2) / 200)
    angles, _, mean = metrics.fsc_by_direction(volume, truth, axis_deg)
    assert angles[np.argmax(mean)] == tilt_deg


def test_the_figures_do_not_know_the_unit_of_the_intensities() -> None:
    spoilt = TRUTH + np.random.default_rng(3).normal(
        0, 0.1 * np.ptp(TRUTH), TRUTH.shape
    )
    one, many = (
        metrics.compare(spoilt, TRUTH),
        metrics.compare(512 * spoilt, 512 * TRUTH),
    )
    for name, value in one.items():
        assert many[name] == pytest.approx(value, rel=1e-9), name
