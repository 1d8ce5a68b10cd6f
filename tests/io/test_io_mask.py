"""Masks from files."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import read_mask


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png", ".mrc"])
def test_a_mask_comes_back_from_every_format(tmp_path, suffix):
    mask = np.zeros((13, 17), np.uint8)
    mask[3:9, 2:11] = 7
    path = tmp_path / f"mask{suffix}"
    if suffix == ".npy":
        np.save(path, mask)
    elif suffix == ".tif":
        tifffile.imwrite(path, mask)
    elif suffix == ".png":
        imsave(path, mask, check_contrast=False)
    else:
        mrcfile.write(path, mask.astype(np.float32))
    np.testing.assert_array_equal(read_mask(path), mask > 0)


def test_a_stack_of_masks_and_what_is_none(tmp_path):
    stack = np.zeros((4, 6, 5), np.int32)
    stack[2, 1:3] = 1
    np.save(tmp_path / "stack.npy", stack)
    np.testing.assert_array_equal(read_mask(tmp_path / "stack.npy"), stack > 0)
    np.save(tmp_path / "line.npy", np.ones(5))
    (tmp_path / "broken.tif").write_bytes(b"II*\0 nonsense")
    (tmp_path / "words.doc").write_text("mask")
    for name in ("line.npy", "broken.tif", "words.doc", "absent.tif"):
        with pytest.raises(UserError, match=name):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_colour_picture_is_no_stack_of_masks(tmp_path, suffix, channels):
    """Its last axis is no row of pixels; a narrow .npy stack is not taken for one."""
    colours = np.full((6, 5, channels), 255, np.uint8)
    path = tmp_path / f"painted{suffix}"
    imsave(path, colours, check_contrast=False)
    with pytest.raises(UserError, match="colour"):
        read_mask(path)
    np.save(tmp_path / "narrow.npy", colours)
    assert read_mask(tmp_path / "narrow.npy").shape == (6, 5, channels)
