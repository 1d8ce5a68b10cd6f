"""Small stacks in every base format, for the tests of readers and writers."""

from __future__ import annotations

import warnings
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import tifffile

from napari_inr_tomo.io.hdf5 import put_emd

SHAPE = (7, 11, 13)
ANGLES = np.arange(-45.0, 46.0, 15.0)


def pixels(dtype: str = "float32", shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    values = np.random.default_rng(5).uniform(1, 120, shape)
    return values.astype(dtype)


def mrc(path: Path, data: np.ndarray, angstrom: float | None = 35.0) -> Path:
    with mrcfile.new(path, overwrite=True) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NaN is meant here
        file.set_data(data)
        file.set_image_stack()
        if angstrom is not None:
            file.voxel_size = angstrom
    return path


def mrc_extended(
    path: Path, data: np.ndarray, kind: bytes, extended: bytes, numbers: tuple[int, int]
) -> Path:
    """An MRC file with an extended header, its kind and the shorts nint and nreal."""
    mrc(path, data, None)
    raw = bytearray(path.read_bytes())
    raw[92:96] = np.int32(len(extended)).tobytes()
    raw[104:108] = kind.ljust(4, b"\0")
    raw[128:132] = np.array(numbers, "<i2").tobytes()
    path.write_bytes(bytes(raw[:1024]) + extended + bytes(raw[1024:]))
    return path


def tlt(path: Path, angles: np.ndarray = ANGLES) -> Path:
    path.write_text("".join(f"{a:8.2f}\n" for a in angles))
    return path


def make(kind: str, folder: Path, data: np.ndarray | None = None) -> Path:
    """A stack of one of the base formats, without angles unless the format has them."""
    data = pixels() if data is None else data
    path = folder / f"stack.{kind.split('-')[0]}"
    if kind == "mrc":
        return mrc(path, data)
    if kind == "npy":
        np.save(path, data)
    elif kind == "tif":
        tifffile.imwrite(path, data, photometric="minisblack")
    elif kind == "tif-plain":
        with tifffile.TiffWriter(path) as file:
            for image in data:
                file.write(image, metadata=None, contiguous=False)
    elif kind == "tif-zlib":
        tifffile.imwrite(path, data, compression="zlib", photometric="minisblack")
    elif kind == "tif-imagej":
        tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TYX"})
    elif kind == "emd":
        put_emd(path, data, ANGLES, 3.5)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("a/stack", data=data, compression="gzip")
    else:
        raise ValueError(kind)
    return path


KINDS = (
    "mrc",
    "npy",
    "tif",
    "tif-plain",
    "tif-zlib",
    "tif-imagej",
    "emd",
    "h5",
)
