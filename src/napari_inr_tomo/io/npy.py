"""NumPy files: an array without pickles, and a small JSON record beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.atomic import write_json, write_npy
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import (
    check_memory,
    damaged,
    need_file,
    not_a_stack,
    reading,
    to_nm,
    writing,
)
from napari_inr_tomo.io.record import read_record, record_in
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.types import ImageArray


def read_npy(path: Path) -> ImageStack:
    """Read a stack (tilt, y, x); raises `UserError` if it is damaged or no stack."""
    with reading(path):
        data = load_npy(path)
    record = read_record(path, "tilt series") or {}
    size = _size(record.get("pixel_size_nm"))
    return ImageStack(data, name=path.stem, pixel_size_nm=size)


def read_npy_volume(path: Path) -> tuple[NDArray[Any], float | None]:
    """Return a volume (z, y, x) and its voxel size in nm."""
    with reading(path):
        data = load_npy(path)
        record = volume_record(path) or {}
        shape = list(data.shape)
        fits = record.get("shape_zyx", shape) == shape
        return data, _size(record.get("voxel_nm")) if fits else None


def write_npy_volume(path: Path, data: ImageArray, voxel_nm: float | None) -> None:
    """Write a volume, and ``<name>.json`` with its voxel size beside it."""
    with writing(path):
        write_json(
            _record_of(path),
            {
                "kind": "volume",
                "file": path.name,
                "shape_zyx": list(data.shape),
                "voxel_nm": voxel_nm,
            },
        )
        write_npy(path, np.asarray(data, np.float32))


def volume_record(path: Path) -> dict[str, Any] | None:
    """Return the record beside a volume, also under the name it had in the past."""
    return record_in(_record_of(path), "volume") or read_record(path, "volume")


def _record_of(path: Path) -> Path:
    """Return where a volume has its record: ``<stem>.json`` is that of a stack."""
    return path.with_name(f"{path.name}.json")


def load_npy(path: Path) -> NDArray[Any]:
    """Return the 3-D array of a .npy file of exactly the promised length."""
    need_file(path)
    data = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(data, np.memmap):
        raise damaged(path, "it is not a single array (.npy)")
    if data.ndim != 3 or 0 in data.shape:
        raise not_a_stack(path, data.shape)
    if data.dtype.kind not in "uif":
        raise UserError(
            f"The pixels of {path.name} cannot be used",
            f"they are of the type {data.dtype}",
            "Save the stack as integers or floating-point numbers",
        )
    extra = path.stat().st_size - int(data.offset) - data.nbytes
    if extra:
        raise damaged(path, f"it is {extra} bytes longer than its header promises")
    check_memory(path, data.size * 4)
    return np.array(data)


def _size(value: Any) -> float | None:
    return to_nm(value, "nm") if isinstance(value, int | float) else None
