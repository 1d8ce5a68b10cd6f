"""What the background fit is made of, for arrays and tensors, beside scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_inr_tomo.preprocess import bernstein
from napari_inr_tomo.preprocess.arrays import (
    Batch,
    extremes,
    histogram,
    on_device,
    put,
    taken,
    to_numpy,
)
from napari_inr_tomo.preprocess.bernstein import SurfaceFit, bernstein_basis
from napari_inr_tomo.preprocess.filters import (
    block_sums,
    dilated,
    gaussian,
    opened,
)
from napari_inr_tomo.preprocess.ranks import centre_and_spread, median, quantile

KINDS = ("cpu", "cpu:0")
"""Arrays, and tensors in main memory."""
SHAPES = ((1, 5), (7, 3), (33, 40), (130, 181))


def noise(shape: tuple[int, int], count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, *shape))


def marked(shape: tuple[int, int]) -> np.ndarray:
    """Dense, sparse and touching every border."""
    rng = np.random.default_rng(1)
    found = rng.random((3, *shape)) < np.array([0.7, 0.02, 0.1])[:, None, None]
    found[:, 0, 0] = found[:, -1, -1] = True
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_those_of_scipy_bit_for_bit(shape: Any, kind: str) -> None:
    marks = marked(shape)
    batch = on_device(marks, kind)
    block = np.ones((2, 2), bool)
    wanted = [ndimage.binary_opening(image, block) for image in marks]
    np.testing.assert_array_equal(to_numpy(opened(batch)), wanted)
    distance = np.stack([ndimage.distance_transform_edt(~image) for image in marks])
    for radius in (0, 1, 2, 3, 5, 17, 50, 200):
        found = to_numpy(dilated(batch, radius))
        np.testing.assert_array_equal(found, distance <= radius)
    np.testing.assert_array_equal(to_numpy(batch), marks)  # the argument is as it was
    nothing = on_device(np.zeros_like(marks), kind)
    assert not to_numpy(dilated(nothing, 3)).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gaussian_is_that_of_scipy(shape: Any, kind: str) -> None:
    images = noise(shape)
    for sigma in (1.5, 2.0):
        found = to_numpy(gaussian(on_device(images, kind), sigma))
        wanted = ndimage.gaussian_filter(images, (0, sigma, sigma), mode="nearest")
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_summed_with_smaller_ones_at_the_end(kind: str) -> None:
    images = noise((10, 13))
    found = to_numpy(block_sums(on_device(images, kind), 4))
    assert found.shape == (3, 3, 4)
    for y, x in np.ndindex(3, 4):
        part = images[:, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        np.testing.assert_allclose(found[:, y, x], part.sum(axis=(1, 2)))


def many_values() -> list[tuple[str, np.ndarray]]:
    """Images whose order statistics are easy to get wrong; the last ones are large."""
    images = noise((130, 181))
    rows = np.broadcast_to(np.arange(181.0), images.shape)
    return [
        ("noise", images),
        ("ties", np.round(images)),
        ("one value", np.full_like(images, -3.0)),
        ("both zeros", np.where(images > 0, 0.0, -0.0)),
        ("tiny and huge", images * 10.0 ** (40 * images)),
        ("in step with the rows", rows + 1e-3 * images),
        ("few", images[:, :2, :1]),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "images"), many_values())
def test_medians_and_quantiles_are_those_of_numpy(
    name: str, images: np.ndarray, kind: str
) -> None:
    among = np.random.default_rng(2).random(images.shape) < 0.6
    among[1], among[:, 0, 0] = False, True
    batch, chosen = on_device(images, kind), on_device(among, kind)
    picked = [image[these] for image, these in zip(images, among, strict=True)]
    np.testing.assert_array_equal(median(batch, chosen), [np.median(v) for v in picked])
    for share in (0, 0.01, 0.1, 0.5, 0.9, 1):
        wanted = [np.quantile(values, share) for values in picked]
        np.testing.assert_array_equal(quantile(batch, chosen, share), wanted)
        whole = [np.quantile(image, share) for image in images]
        np.testing.assert_array_equal(quantile(batch, None, share), whole)
    centre, spread = centre_and_spread(batch, chosen)
    for values, middle, wide in zip(picked, centre, spread, strict=True):
        below = middle - values[values < middle]
        assert wide == (1.4826 * np.median(below) if below.size else 0)
    low, high = extremes(batch, chosen)
    np.testing.assert_array_equal(low, [values.min() for values in picked])
    np.testing.assert_array_equal(high, [values.max() for values in picked])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_chosen_has_a_median_of_zero(kind: str) -> None:
    batch = on_device(noise((5, 6)), kind)
    assert (median(batch, batch != batch) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_histograms_are_those_of_numpy(kind: str) -> None:
    images = np.round(noise((130, 181)), 1)  # many values on the edges of bins
    among = images < 1.5
    found = histogram(on_device(images, kind), on_device(among, kind), 256)
    for image, these, (counts, edges) in zip(images, among, found, strict=True):
        wanted, wanted_edges = np.histogram(image[these], 256)
        np.testing.assert_array_equal(counts, wanted)
        np.testing.assert_array_equal(edges, wanted_edges)


@pytest.mark.parametrize("kind", KINDS)
def test_some_images_are_taken_and_put_back(kind: str) -> None:
    images = noise((4, 5))
    batch = on_device(images.copy(), kind)
    tilts = np.array([0, 2])
    part = taken(batch, tilts)
    np.testing.assert_array_equal(to_numpy(part), images[tilts])
    put(batch, tilts, part + 1)
    np.testing.assert_array_equal(to_numpy(batch)[tilts], images[tilts] + 1)
    np.testing.assert_array_equal(to_numpy(batch)[1], images[1])


def surface_of(batch: Batch, weight: Batch, degree: tuple[int, int]) -> np.ndarray:
    return to_numpy(SurfaceFit(batch, degree)(batch, weight))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("degree", [(0, 0), (1, 2), (3, 3), (0, 5)])
def test_surfaces_are_the_weighted_least_squares_of_the_whole_basis(
    monkeypatch: pytest.MonkeyPatch, degree: tuple[int, int], kind: str
) -> None:
    monkeypatch.setattr(bernstein, "_SMOOTHING", 0.0)
    images, weight = noise((31, 24)), np.random.default_rng(3).random((3, 31, 24))
    rows, columns = (
        bernstein_basis(n, d) for n, d in zip((31, 24), degree, strict=True)
    )
    basis = np.einsum("yi,xk->yxik", rows, columns).reshape(31 * 24, -1)
    found = surface_of(on_device(images, kind), on_device(weight, kind), degree)
    for image, heavy, surface in zip(images, weight, found, strict=True):
        root = np.sqrt(heavy).reshape(-1, 1)
        best = np.linalg.lstsq(root * basis, root[:, 0] * image.ravel(), rcond=None)[0]
        np.testing.assert_allclose(surface.ravel(), basis @ best, atol=1e-10)


def test_each_image_of_a_batch_is_fitted_as_if_alone() -> None:
    images, weight = noise((97, 120)), marked((97, 120))
    weight[:, 40:] = False
    together = surface_of(images, weight, (6, 6))
    for tilt in range(3):
        one = slice(tilt, tilt + 1)
        alone = surface_of(images[one], weight[one], (6, 6))
        np.testing.assert_array_equal(alone[0], together[tilt])


def test_large_images_are_fitted_in_blocks_of_rows() -> None:
    y, x = np.mgrid[:600, :401] / 600
    image = (3 + 2 * y - x * y + x**2)[None]
    found = surface_of(image, np.ones_like(image), (2, 2))
    np.testing.assert_allclose(found, image, atol=1e-4)
