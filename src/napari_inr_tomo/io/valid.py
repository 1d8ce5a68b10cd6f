"""The mask beside a stack: which of its pixels count, (tilt, y, x), one ``valid``."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path

import numpy as np

from napari_inr_tomo.io.border import damaged, need_file, reading
from napari_inr_tomo.types import BoolArray

VALID_SUFFIX = ".valid.npz"
_LONGEST_HEADER = 1000


def put_valid(path: Path, valid: BoolArray) -> None:
    """Write a mask, compressed, into a file that nobody reads yet."""
    with open(path, "wb") as handle:
        np.savez_compressed(handle, valid=valid)


def read_valid(path: Path, shape: tuple[int, ...]) -> BoolArray:
    """Return a mask of this shape (tilt, y, x); False where a pixel does not count.

    Raises `UserError` if it is damaged or of another shape, before it is unpacked.
    """
    with reading(path):
        need_file(path)
        with zipfile.ZipFile(path) as archive:
            bytes_there = archive.getinfo("valid.npy").file_size
        if bytes_there <= math.prod(shape) + _LONGEST_HEADER:
            with np.load(path, allow_pickle=False) as arrays:
                valid = arrays["valid"]
            if valid.dtype == bool and valid.shape == shape:
                return np.asarray(valid)
    raise damaged(path, "it is no mask of the images beside it")
