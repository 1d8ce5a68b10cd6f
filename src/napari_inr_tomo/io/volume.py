"""Volumes in and out: .mrc .tif .ome.zarr .npy, always with their voxel size."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import reading
from napari_inr_tomo.io.mrc import read_mrc_volume, write_mrc
from napari_inr_tomo.io.npy import read_npy_volume, write_npy_volume
from napari_inr_tomo.io.tiff import read_tiff_volume, write_tiff
from napari_inr_tomo.types import Volume

_HOLDS_MAPPED = sys.platform == "win32"
"""Whether a mapped file can be neither replaced nor removed: the result of a run that
goes on, or that is to be deleted, while it is shown."""

VOLUME_SUFFIXES = (".mrc", ".tif", ".ome.zarr", ".npy")

_KINDS = {
    ".mrc": "mrc",
    ".rec": "mrc",
    ".tif": "tif",
    ".tiff": "tif",
    ".zarr": "zarr",
    ".npy": "npy",
}


def read_volume(path: str | Path) -> Volume:
    """Read a volume (z, y, x) and its voxel size.

    Raises `UserError` if the file is damaged, not three-dimensional or of another kind.
    """
    path = Path(path)
    with reading(path):
        kind = _kind(path)
        if not path.exists():
            raise FileNotFoundError(path)
        data, voxel_nm = _read(path, kind)
        if data.dtype.kind not in "uif":
            raise UserError(
                f"The voxels of {path.name} cannot be used",
                f"they are of the type {data.dtype}",
                "Export the volume as integers or floating-point numbers",
            )
        if _HOLDS_MAPPED and data.nbytes < psutil.virtual_memory().available / 2:
            data = np.array(data, np.float32)
        return Volume(np.asarray(data, np.float32), voxel_nm, volume_name(path))


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write a volume (z, y, x) as float32 with its voxel size; whole or not at all.

    The suffix decides: .mrc (voxel size in Angstrom), .tif (ImageJ), .ome.zarr
    (OME-NGFF 0.4, several resolutions), .npy (voxel size in <name>.json beside it).
    Raises `UserError` if the suffix is unknown or the place cannot be written to.
    """
    path = Path(path)
    kind = _kind(path)
    if kind == "mrc":
        write_mrc(path, volume.data, volume.voxel_nm, volume=True)
    elif kind == "tif":
        write_tiff(path, volume.data, volume.voxel_nm, "ZYX")
    elif kind == "zarr":
        from napari_inr_tomo.io.ome_zarr import write_ome_zarr  # zarr takes long

        write_ome_zarr(path, volume.data, volume.voxel_nm, volume.name)
    else:
        write_npy_volume(path, volume.data, volume.voxel_nm)


def volume_name(path: Path) -> str:
    """Return the file's name without its suffix, .ome.zarr counting as one."""
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def _read(path: Path, kind: str) -> tuple[NDArray[Any], float | None]:
    if kind == "mrc":
        return read_mrc_volume(path)
    if kind == "tif":
        return read_tiff_volume(path)
    if kind == "zarr":
        from napari_inr_tomo.io.ome_zarr import read_ome_zarr

        return read_ome_zarr(path)
    return read_npy_volume(path)


def _kind(path: Path) -> str:
    try:
        return _KINDS[path.suffix.lower()]
    except KeyError:
        raise UserError(
            f"{path.name} is not a known format for volumes",
            f"its name ends in {path.suffix or 'nothing'}",
            f"Use one of {' '.join(VOLUME_SUFFIXES)}",
        ) from None
