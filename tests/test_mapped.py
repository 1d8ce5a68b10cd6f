"""A mapped stack behaves as the float32 array it stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.mapped import MappedImages, map_volume, release

SHAPE = (5, 6, 7)


@pytest.fixture
def stored(tmp_path: Path) -> np.memmap:
    values = np.random.default_rng(0).integers(-3000, 3000, SHAPE, np.int16)
    np.save(tmp_path / "stack.npy", values)
    return np.load(tmp_path / "stack.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        np.int64(2),
        slice(1, 4),
        slice(None, None, -2),
        slice(5, 9),
        ...,
        None,
        (2, slice(1, 4)),
        (2, slice(1, 4), slice(None, None, 3)),
        (2, 3, 4),
        (slice(1, 4), 2),
        (slice(1, 4), slice(2, 5), 3),
        (..., 3),
        ([0, 3], slice(1, 3)),
        (np.array([4, 0]), 2, 1),
        (np.array([True, False, True, False, False]), 2),
    ],
)
def test_what_is_looked_at_is_what_numpy_would_give(stored, key) -> None:
    wanted = np.asarray(stored, np.float32)[key]
    found = MappedImages(stored)[key]
    assert not isinstance(found, MappedImages)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "tilts",
    [[3, 1], np.array([4, 4, 0]), np.array([False, True, True, False, True])],
)
def test_chosen_tilts_stay_on_the_disk_and_keep_their_order(stored, tilts) -> None:
    wanted = np.asarray(stored, np.float32)[tilts]
    chosen = MappedImages(stored)[tilts]
    assert isinstance(chosen, MappedImages)
    assert chosen.stored is stored
    assert (chosen.shape, chosen.ndim, chosen.size) == (wanted.shape, 3, wanted.size)
    assert len(chosen) == len(wanted)
    np.testing.assert_array_equal(chosen, wanted)
    np.testing.assert_array_equal(chosen[[1, 0]], wanted[[1, 0]])
    np.testing.assert_array_equal(list(chosen), wanted)


def test_it_calculates_as_the_array_does(stored) -> None:
    images, array = MappedImages(stored), np.asarray(stored, np.float32)
    np.testing.assert_array_equal(3 - images, 3 - array)
    np.testing.assert_array_equal(images * images, array * array)
    np.testing.assert_array_equal(np.add.reduce(images), np.add.reduce(array))
    np.testing.assert_array_equal(images.max(axis=(1, 2)), array.max(axis=(1, 2)))
    assert np.asarray(images, np.float64).dtype == np.float64
    assert (images.dtype, images.nbytes) == (np.float32, 0)
    with pytest.raises(AttributeError):
        images.nothing_of_the_kind  # noqa: B018


def test_holes_take_the_value_of_their_own_tilt() -> None:
    values = np.arange(24.0).reshape(3, 2, 4)
    values[0, 1, 2], values[2, 0, 3], values[2, 1, 0] = np.nan, np.inf, 1e300
    fill = np.array([100, 200, 300], np.float32)
    with np.errstate(over="ignore"):
        wanted = values.astype(np.float32)
    wanted[0, 1, 2], wanted[2, 0, 3], wanted[2, 1, 0] = 100, 300, 300
    images = MappedImages(values, fill)
    np.testing.assert_array_equal(images, wanted)
    np.testing.assert_array_equal(images[[2, 0]], wanted[[2, 0]])
    np.testing.assert_array_equal(images[[2, 0]][0, 0], wanted[2, 0])


def test_a_file_that_is_read_on_is_not_lost_when_it_is_released(stored) -> None:
    before = np.array(stored)
    for images in (stored, stored[1:3], MappedImages(stored), before):
        release(images)
    np.testing.assert_array_equal(stored, before)


def test_only_a_volume_is_mapped_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    np.save(path, values)
    np.testing.assert_array_equal(map_volume(path), values)
    for wrong in (values[0], values[:0], values > 0, values + 1j):
        np.save(path, wrong)
        with pytest.raises(ValueError):
            map_volume(path)
    np.save(path, np.array([{}], object))
    with pytest.raises(ValueError):
        map_volume(path)
    with pytest.raises(OSError):
        map_volume(tmp_path / "absent.npy")
