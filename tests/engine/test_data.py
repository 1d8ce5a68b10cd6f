"""A pixel number means one pixel: its tilt, its place, its value and its weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inr_tomo import geometry
from napari_inr_tomo.classic import Projector
from napari_inr_tomo.engine.data import EDGE, Stack, intensity_scale
from napari_inr_tomo.engine.residual import residual_rms
from napari_inr_tomo.types import Poses

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(3, 4, 7), (2, 9, 6)])
def test_every_number_is_the_pixel_numpy_puts_there(shape) -> None:
    rng = np.random.default_rng(0)
    images, valid = rng.random(shape, np.float32), rng.random(shape) > 0.3
    stack = Stack.load(images, valid, CPU, scale=4.0)
    assert (stack.tilts, stack.pixels) == (shape[0], images.size)
    rays, target, weight = stack.rays(torch.arange(images.size))
    tilt, y, x = np.unravel_index(np.arange(images.size), shape)
    np.testing.assert_array_equal(rays.tilt, tilt)
    place = geometry.centred(shape[2])[x], geometry.centred(shape[1])[y]
    np.testing.assert_allclose(rays.uv_px, np.stack(place, -1))
    np.testing.assert_allclose(target, images.ravel() / 4)
    np.testing.assert_array_equal(weight, valid.ravel())
    assert (Stack.load(images, None, CPU).rays(torch.arange(5))[2] == 1).all()


def test_pixels_near_an_edge_move_no_poses() -> None:
    height, width = 20, 50
    stack = Stack.load(np.ones((1, height, width), np.float32), None, CPU)
    inner = stack.rays(torch.arange(stack.pixels))[0].inner.reshape(height, width)
    rows, columns = round(EDGE * height), round(EDGE * width)
    wanted = torch.zeros(height, width, dtype=torch.bool)
    wanted[rows:-rows, columns:-columns] = True
    assert torch.equal(inner, wanted)


def test_the_scale_is_that_of_bright_pixels_however_few() -> None:
    images = np.zeros((10, 20, 20))
    assert intensity_scale(images) == 1.0
    images[:, :2] = 7.0  # a tenth of the pixels
    assert intensity_scale(images) == pytest.approx(7.0)
    images[:, 1:] = 0.0
    images[:, 0, 4:] = 0.0  # a hundredth
    assert intensity_scale(images) == pytest.approx(7.0)
    masked = np.ones(images.shape, bool)
    masked[images > 0] = False
    assert intensity_scale(images, masked) == 1.0
    assert intensity_scale(images, ~masked) == pytest.approx(7.0)
    assert intensity_scale(images, masked & False) == 1.0


def test_a_residual_is_the_rms_of_the_pixels_that_count() -> None:
    angles = np.array([-30.0, 0.0, 30.0])
    projector = Projector(angles, Poses.zeros(3), (10, 12), 10)
    volume = torch.rand((10, 10, 12), generator=torch.Generator().manual_seed(0))
    images = projector.forward(volume)
    valid = torch.ones(images.shape, dtype=torch.bool)
    valid[0, :4] = valid[2] = False
    images[0] += torch.where(valid[0], 3.0, 100.0)
    images[1, :5] += 2.0
    found = residual_rms(projector, volume, images, valid)
    np.testing.assert_allclose(found[:2], [3.0, np.sqrt(2.0)], rtol=1e-5)
    assert np.isnan(found[2])
