"""Binning and Fourier down-sampling keep intensities and geometry."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import bin_images, fourier_downsample
from napari_inr_tomo.types import Poses, TiltSeries


def centred(count):
    return np.arange(count) - (count - 1) / 2


def blob_series(shape_yx, at_xy, poses=None, sigma=3.0):
    """One Gaussian whose centre is at ``at_xy`` px about the image centre."""
    y, x = (centred(n) for n in shape_yx)
    row = np.exp(-((y - at_xy[1]) ** 2) / (2 * sigma**2))
    column = np.exp(-((x - at_xy[0]) ** 2) / (2 * sigma**2))
    images = np.outer(row, column)[None].astype(np.float32)
    return TiltSeries(images, [0.0], poses=poses, pixel_size_nm=2.0)


def centre_of_mass_xy(image):
    y, x = (centred(n) for n in image.shape)
    total = image.sum()
    return np.array([image.sum(0) @ x / total, image.sum(1) @ y / total])


def test_bins_are_means_and_the_remainder_is_reported():
    images = np.arange(2 * 13 * 15, dtype=np.float32).reshape(2, 13, 15)
    binned = bin_images(TiltSeries(images, [0, 1], pixel_size_nm=1.5), 3)
    assert binned.images.shape == (2, 4, 5)
    np.testing.assert_allclose(binned.images[1, 0, 1], images[1, 0:3, 3:6].mean())
    assert binned.pixel_size_nm == 4.5
    assert "1 rows and 0 columns" in binned.notices[0]
    assert binned.history[-1].to_json() == {
        "name": "bin_images",
        "parameters": {"factor": 3},
    }


@pytest.mark.parametrize(
    ("shape", "factor"),
    [((46, 53), 3), ((46, 53), 2), ((44, 55), 4), ((55, 44), 4)],
)
def test_binning_moves_poses_with_the_content(shape, factor):
    """The content minus the pose shift stays where it was, in the new pixels.

    Also where one side is cropped and the other is not.
    """
    shift = np.array([4.3, -2.6])
    poses = Poses([0], [0], [shift[0]], [shift[1]])
    series = blob_series(shape, shift, poses)
    small = bin_images(series, factor)
    found = centre_of_mass_xy(small.images[0])
    wanted = [small.start_poses.dx_px[0], small.start_poses.dy_px[0]]
    np.testing.assert_allclose(found, wanted, atol=0.01)


def test_invalid_pixels_do_not_count_in_a_bin():
    images = np.ones((1, 8, 8), np.float32)
    images[0, 0, 0] = 1e6
    valid = np.ones_like(images, bool)
    valid[0, 0, 0] = False
    valid[0, 2:4, 2:4] = False
    binned = bin_images(TiltSeries(images, [0], valid=valid), 2)
    assert binned.images[0, 0, 0] == 1
    assert binned.valid[0, 0, 0]
    assert not binned.valid[0, 1, 1]
    assert np.count_nonzero(~binned.valid) == 1


@pytest.mark.parametrize(
    ("shape", "size"), [((48, 64), 32), ((63, 42), 21), ((35, 50), 20)]
)
def test_fourier_sampling_is_exact_for_band_limited_images(shape, size):
    """Cosines below the new limit are met exactly at the new pixel centres."""
    factor = max(shape) / size
    small_shape = tuple(round(n / factor) for n in shape)
    rng = np.random.default_rng(0)
    terms = [
        (rng.normal(), ky, kx)
        for ky in (0, 1, small_shape[0] - 1)
        for kx in (0, 2, small_shape[1] - 1)
    ]

    def image(y, x):
        """Sum of cosines over the unit square, which mirrors at its edges."""
        return sum(
            a * np.outer(np.cos(np.pi * ky * y), np.cos(np.pi * kx * x))
            for a, ky, kx in terms
        )

    large = image(*((np.arange(n) + 0.5) / n for n in shape))
    wanted = image(*((np.arange(n) + 0.5) / n for n in small_shape))
    small = fourier_downsample(TiltSeries(large[None], [0.0], pixel_size_nm=1.0), size)
    assert small.images.shape[1:] == small_shape
    np.testing.assert_allclose(small.images[0], wanted, atol=1e-5)
    assert small.pixel_size_nm == pytest.approx(factor)
    assert small.notices == ()


@pytest.mark.parametrize("size", [32, 31, 17, 64])
def test_fourier_keeps_the_mean_and_the_place(size):
    shift = np.array([3.2, 5.7])
    series = blob_series((64, 64), shift, Poses([0], [0], [shift[0]], [shift[1]]), 4.0)
    small = fourier_downsample(series, size)
    assert small.images.mean() == pytest.approx(series.images.mean(), rel=1e-5)
    wanted = [small.start_poses.dx_px[0], small.start_poses.dy_px[0]]
    np.testing.assert_allclose(centre_of_mass_xy(small.images[0]), wanted, atol=0.02)


def test_a_ramp_does_not_ring_at_the_edges():
    """A periodic transform would wrap the bright edge onto the dark one."""
    ramp = np.broadcast_to(np.linspace(0, 1, 60, dtype=np.float32), (1, 60, 60))
    small = fourier_downsample(TiltSeries(ramp, [0.0]), 20).images[0, 0]
    assert np.abs(small - (np.arange(20) + 0.5) / 20).max() < 0.02


def test_pixels_stay_square_where_the_short_side_does_not_divide():
    small = fourier_downsample(blob_series((45, 64), (0, 0), sigma=5.0), 32)
    assert small.images.shape[1:] == (22, 32)
    assert "cropped 1.00 rows and 0.00 columns" in small.notices[0]
    image = small.images[0]
    y, x = (centred(n) for n in image.shape)
    spread = [image.sum(1) @ y**2 / image.sum(), image.sum(0) @ x**2 / image.sum()]
    np.testing.assert_allclose(spread, (5 / 2) ** 2, rtol=1e-3)


def test_fourier_marks_what_an_invalid_pixel_touched():
    images = np.full((1, 32, 32), 2.0, np.float32)
    valid = np.ones_like(images, bool)
    images[0, 10, 20], valid[0, 10, 20] = 1e9, False
    small = fourier_downsample(TiltSeries(images, [0], valid=valid), 16)
    np.testing.assert_allclose(small.images, 2.0, rtol=1e-5)
    assert not small.valid[0, 5, 10]
    assert 1 <= np.count_nonzero(~small.valid) <= 4


@pytest.mark.parametrize(
    "reduce",
    [
        lambda s: bin_images(s, 0),
        lambda s: bin_images(s, 9),
        lambda s: fourier_downsample(s, 3),
        lambda s: fourier_downsample(s, 100),
        lambda s: fourier_downsample(s, 0),
    ],
)
def test_sizes_that_make_no_sense_are_refused(reduce):
    with pytest.raises(UserError, match="Choose"):
        reduce(TiltSeries(np.zeros((1, 20, 30)), [0]))
