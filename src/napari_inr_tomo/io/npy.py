"""NumPy files: an array without pickles, and a small JSON record beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.atomic import read_json, write_json, write_npy
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
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.types import ImageArray

_RECORD_LIMIT = 50_000_000


def read_npy(path: Path) -> ImageStack:
    """Read a stack (tilt, y, x); raises `UserError` if it is damaged or no stack."""
    with reading(path):
        data = load_npy(path)
    return ImageStack(data, name=path.stem, pixel_size_nm=_size(path, "pixel_size_nm"))


def read_npy_volume(path: Path) -> tuple[NDArray[Any], float | None]:
    """Return a volume (z, y, x) and its voxel size in nm."""
    with reading(path):
        return load_npy(path), _size(path, "voxel_nm")


def write_npy_volume(path: Path, data: ImageArray, voxel_nm: float | None) -> None:
    """Write a volume, and ``<stem>.json`` with its voxel size beside it."""
    with writing(path):
        write_json(
            path.with_suffix(".json"),
            {
                "kind": "volume",
                "file": path.name,
                "shape_zyx": list(data.shape),
                "voxel_nm": voxel_nm,
            },
        )
        write_npy(path, np.asarray(data, np.float32))


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


def read_record(path: Path, kind: str) -> dict[str, Any] | None:
    """Return the JSON record beside ``path`` if it is of this kind and file."""
    beside = path.with_suffix(".json")
    if not beside.is_file() or beside.stat().st_size > _RECORD_LIMIT:
        return None
    try:
        value = read_json(beside, _RECORD_LIMIT)
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.get("kind") != kind:
        return None
    return value if value.get("file") == path.name else None


def _size(path: Path, key: str) -> float | None:
    kind = "volume" if key == "voxel_nm" else "tilt series"
    record = read_record(path, kind)
    value = record.get(key) if record else None
    return to_nm(value, "nm") if isinstance(value, int | float) else None
