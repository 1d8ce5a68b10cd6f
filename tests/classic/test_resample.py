"""Turning and shifting planes."""

import numpy as np
import pytest

from napari_inr_tomo.classic.resample import rotation_matrix, shift_matrices
from napari_inr_tomo.geometry import centred, rz


def spot(shape_yx, x, y, sigma=2.0):
    rows, columns = (centred(n) for n in shape_yx)
    return np.exp(-((rows[:, None] - y) ** 2 + (columns - x) ** 2) / 2 / sigma**2)


@pytest.mark.parametrize("angle", [0.0, 10.0, -77.0, 90.0, 180.0])
def test_the_content_turns_as_rz_says(angle):
    source, target = (31, 40), (45, 46)
    matrix = rotation_matrix(angle, source, target, np.float64)
    x, y, _ = rz(angle) @ [7.0, -4.0, 0.0]
    found = (matrix @ spot(source, 7.0, -4.0).ravel()).reshape(target)
    assert np.abs(found - spot(target, x, y)).max() < 0.01


def test_a_quarter_turn_is_exact():
    plane = np.random.default_rng(0).random((9, 12))
    matrix = rotation_matrix(90.0, (9, 12), (12, 9), np.float64)
    # x goes to y and y to -x
    assert np.allclose((matrix @ plane.ravel()).reshape(12, 9), plane.T[:, ::-1])
    assert matrix.nnz == plane.size


def test_a_constant_stays_constant_inside():
    matrix = rotation_matrix(23.0, (40, 40), (20, 20), np.float64)
    assert np.allclose(matrix @ np.ones(1600), 1)


@pytest.mark.parametrize("shift", [0.0, 1.0, -3.0, 0.5, -2.3, 60.0])
def test_rows_move_by_the_shift(shift):
    (matrix,) = shift_matrices([shift], 41)
    x = centred(41)
    moved = matrix @ np.exp(-(x**2) / 8)
    assert np.abs(moved - np.exp(-((x - shift) ** 2) / 8)).max() < 0.01
    if shift == round(shift):
        assert set(np.unique(matrix)) <= {0.0, 1.0}
