"""The parallel-beam matrices of one slice, the tilt weights and the filters."""

import numpy as np
import pytest

from napari_inr_tomo.geometry import centred
from napari_inr_tomo.parallel2d import (
    FILTERS,
    backprojection_matrix,
    joseph_matrix,
    ramp_response,
    tilt_weights,
)

DEPTH, HEIGHT, COUNT = 21, 26, 35


def gaussian(places, where, sigma):
    return np.exp(-((places - where) ** 2) / 2 / sigma**2)


@pytest.mark.parametrize("angle", [0.0, 30.0, -45.0, 60.0, 90.0, -120.0, 179.0])
@pytest.mark.parametrize("shift", [0.0, 2.3])
def test_a_gaussian_lands_where_the_conventions_say(angle, shift):
    sigma, y, z = 2.0, 3.0, -2.0
    slice_zy = gaussian(centred(DEPTH), z, sigma)[:, None] * gaussian(
        centred(HEIGHT), y, sigma
    )
    matrix = joseph_matrix([angle], (DEPTH, HEIGHT), COUNT, shift, np.float64)
    radians = np.deg2rad(angle)
    landed = y * np.cos(radians) - z * np.sin(radians) + shift
    exact = np.sqrt(2 * np.pi) * sigma * gaussian(centred(COUNT), landed, sigma)
    # between grid points a line is off by up to 1 / (8 sigma^2) of a Gaussian
    assert np.abs(matrix @ slice_zy.ravel() - exact).max() < 0.033 * exact.max()


def test_the_matrix_is_small_and_sorted():
    matrix = joseph_matrix(np.linspace(-80, 80, 7), (DEPTH, HEIGHT), COUNT)
    assert matrix.shape == (7 * COUNT, DEPTH * HEIGHT)
    assert matrix.indices.dtype == np.int32
    assert matrix.indptr.dtype == np.int32
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert matrix.data.min() > 0


def test_mass_is_kept_at_every_angle():
    """Every slice's mass reaches the detector, where it is wide enough."""
    slice_zy = gaussian(centred(DEPTH), 0, 2)[:, None] * gaussian(centred(HEIGHT), 0, 2)
    angles = np.arange(-90.0, 90.0, 7.0)
    matrix = joseph_matrix(angles, (DEPTH, HEIGHT), COUNT, dtype=np.float64)
    sums = (matrix @ slice_zy.ravel()).reshape(len(angles), COUNT).sum(1)
    assert sums == pytest.approx(slice_zy.sum(), rel=1e-3)


def test_angles_and_shifts_go_together():
    angles, shifts = [10.0, -35.0], [1.5, -0.25]
    both = joseph_matrix(angles, (DEPTH, HEIGHT), COUNT, shifts)
    for index, (angle, shift) in enumerate(zip(angles, shifts, strict=True)):
        one = joseph_matrix([angle], (DEPTH, HEIGHT), COUNT, shift)
        rows = both[index * COUNT : (index + 1) * COUNT]
        assert abs(rows - one).max() == 0


def test_the_backprojector_reads_the_lines_it_should():
    angles, weights = np.array([20.0, -50.0]), np.array([0.5, 2.0])
    matrix = backprojection_matrix(
        angles, (DEPTH, HEIGHT), COUNT, 0.7, weights, np.float64
    )
    ramp = np.tile(centred(COUNT), (2, 1))
    found = (matrix @ ramp.ravel()).reshape(DEPTH, HEIGHT)
    z, y = centred(DEPTH)[:, None], centred(HEIGHT)
    exact = sum(
        w * (y * np.cos(a) - z * np.sin(a) + 0.7)
        for a, w in zip(np.deg2rad(angles), weights, strict=True)
    )
    assert np.allclose(found[6:-6, 7:-7], exact[6:-6, 7:-7])


def test_weights_of_even_tilts_are_the_step():
    assert np.allclose(tilt_weights(np.arange(-60, 61, 2.0)), np.deg2rad(2))
    assert np.allclose(tilt_weights(np.arange(-90, 90, 5.0)), np.deg2rad(5))


def test_weights_add_up_to_the_half_circle():
    rng = np.random.default_rng(0)
    for angles in (rng.uniform(-90, 90, 300), np.arange(-90, 91, 3.0), [0, 1, 60, 120]):
        assert tilt_weights(angles).sum() == pytest.approx(np.pi)


def test_weights_follow_the_tilts_in_any_order_and_are_shared():
    angles = np.array([0.0, 1, 2, 5, 8, 11, 14])
    order = np.random.default_rng(0).permutation(len(angles))
    assert np.allclose(tilt_weights(angles[order]), tilt_weights(angles)[order])
    assert tilt_weights(angles)[3] == pytest.approx(np.deg2rad(3))
    twice = tilt_weights(np.append(angles, 5.0))
    assert twice[3] + twice[7] == pytest.approx(np.deg2rad(3))
    assert tilt_weights([30.0]) == pytest.approx([np.pi])
    assert np.isfinite(tilt_weights([30.0, 30.0])).all()


@pytest.mark.parametrize(
    ("many", "one"),
    [
        (np.zeros(3), [0.0]),
        (np.tile(np.arange(-60.0, 61, 20), 3), np.arange(-60.0, 61, 20)),
        (np.r_[np.arange(-90.0, 91, 3), 90, 90, -90], np.arange(-90.0, 90, 3)),
        ([-1e-7, 0, 1e-7, 60, 120], [0.0, 60, 120]),
    ],
)
def test_any_number_of_equal_tilts_share_evenly(many, one):
    order = np.random.default_rng(0).permutation(len(many))
    many = np.asarray(many)[order]
    weights = tilt_weights(many)
    assert np.allclose(
        weights[np.argsort(order)], tilt_weights(many[np.argsort(order)])
    )
    for angle, wanted in zip(one, tilt_weights(one), strict=True):
        shared = weights[np.abs((many - angle + 90) % 180 - 90) < 1e-4]
        assert shared == pytest.approx(wanted / len(shared))


def test_the_ramp_is_a_ramp_without_an_offset():
    response = ramp_response(50)
    padded = 2 * (len(response) - 1)
    assert padded >= 100
    frequency = np.fft.rfftfreq(padded)
    assert np.allclose(response, frequency, atol=0.01)
    assert 0 < response[0] < 0.01
    for name in FILTERS[1:]:
        other = ramp_response(50, name)
        assert other[0] == pytest.approx(response[0])
        assert (other <= response + 1e-12).all()
