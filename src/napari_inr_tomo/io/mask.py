"""Painted masks from files: .tif (as napari saves Labels), .npy, .png, .mrc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import damaged, reading
from napari_inr_tomo.types import BoolArray


def read_mask(path: str | Path) -> BoolArray:
    """Return a mask (y, x), or (tilt, y, x) from a stack; what is not 0 is True.

    Raises `UserError` if the file is damaged or of another shape.
    """
    path = Path(path)
    with reading(path):
        if not path.exists():
            raise FileNotFoundError(path)
        values = _pixels(path)
    if values.dtype.kind not in "buif":
        raise damaged(path, f"its pixels are of the type {values.dtype}")
    if values.ndim == 3 and values.shape[-1] in (3, 4) and _is_picture(path):
        raise UserError(
            f"{path.name} is a colour image",
            "a mask is not 0 where the specimen is, in one channel of grey values",
            "Export it in grey values",
        )
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise UserError(
            f"{path.name} is not a mask",
            f"its shape is {values.shape}",
            "Give one image, or a stack with one image per tilt",
        )
    return np.asarray(values != 0)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in (".png", ".tif", ".tiff")


def _pixels(path: Path) -> NDArray[Any]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if suffix in (".tif", ".tiff"):
        import tifffile

        return np.asarray(tifffile.imread(path))
    if suffix in (".mrc", ".st"):
        import mrcfile

        with mrcfile.open(path) as file:
            return np.array(file.data)
    if suffix == ".png":
        from skimage.io import imread

        return np.asarray(imread(path))
    raise UserError(
        f"{path.name} cannot be read as a mask",
        f"its name ends in {suffix or 'nothing'}",
        "Save the mask as .tif, .npy, .png or .mrc",
    )
