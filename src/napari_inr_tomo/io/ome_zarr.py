"""OME-Zarr after OME-NGFF 0.4: axes z, y, x in nanometre, several resolutions.

Written into a folder of another name that is renamed at the end, so a reader meets all
of it or nothing.  Source: https://ngff.openmicroscopy.org/0.4/
"""

from __future__ import annotations

import os
import shutil
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from napari_inr_tomo.atomic import patiently
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import (
    check_memory,
    damaged,
    not_a_stack,
    reading,
    to_nm,
    writing,
)
from napari_inr_tomo.mapped import release
from napari_inr_tomo.types import ImageArray

_CHUNK = 64
_SMALL = 1 << 28
_COARSEST = 128
_OWN = "napari_inr_tomo"


def write_ome_zarr(
    path: Path, data: ImageArray, voxel_nm: float | None, name: str
) -> None:
    """Write a volume (z, y, x); an existing store of that name is replaced.

    It is written some sections at a time, so a mapped volume stays on the disk.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with writing(path):
        if not path.parent.is_dir():
            raise FileNotFoundError(path.parent)
        if path.exists() and not _is_store(path):
            raise UserError(
                f"{path.name} cannot be replaced",
                "it exists and is not an OME-Zarr store",
                "Choose another name",
            )
        try:
            group = zarr.open_group(str(temporary), mode="w", zarr_format=2)
            levels = _write_levels(group, data)
            group.attrs.update(_metadata(data.shape, levels, voxel_nm, name))
            _replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def read_ome_zarr(path: Path) -> tuple[NDArray[Any], float | None]:
    """Return the finest level (z, y, x) and its voxel size in nm, None if not cubic."""
    with reading(path):
        group = zarr.open_group(str(path), mode="r")
        attributes = group.attrs.asdict()
        found = attributes.get("ome", attributes).get("multiscales")
        if not found:
            raise UserError(
                f"{path.name} is not an OME-Zarr volume",
                "it has no multiscales metadata",
                "Choose the folder whose name ends in .ome.zarr",
            )
        image = found[0]
        level = image["datasets"][0]
        array = group[level["path"]]
        if not isinstance(array, zarr.Array):
            raise damaged(path, f"its level {level['path']} is not an array")
        shape, dtype = array.shape, np.dtype(array.dtype)
        if len(shape) < 3 or any(n != 1 for n in shape[:-3]) or 0 in shape:
            raise not_a_stack(path, shape)
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        # a small volume of nothing but zeros may well be next to nothing on the disk
        check_memory(path, count, array.nbytes_stored() if count > _SMALL else None)
        if _OWN in attributes and array.nchunks_initialized != array.nchunks:
            raise damaged(
                path,
                f"{array.nchunks - array.nchunks_initialized} of its {array.nchunks} "
                "chunks are missing",
            )
        data = np.asarray(array[...])
        return data.reshape(shape[-3:]), _voxel(image, level)


def _write_levels(group: zarr.Group, data: ImageArray) -> int:
    """Write the volume and its means over 2 x 2 x 2 voxels, down to a small one.

    Returns the number of levels.
    """
    levels = 1
    finer: Any = _level(group, 0, data.shape)
    for start in range(0, len(data), _CHUNK):
        part = slice(start, start + _CHUNK)
        finer[part] = np.asarray(data[part], np.float32)
        release(data)
    while max(finer.shape) > _COARSEST:
        coarser = _level(group, levels, tuple(-(-n // 2) for n in finer.shape))
        for start in range(0, coarser.shape[0], _CHUNK):
            sections = finer[2 * start : 2 * (start + _CHUNK)]
            coarser[start : start + _CHUNK] = _halved(np.asarray(sections))
        finer, levels = coarser, levels + 1
    return levels


def _halved(data: ImageArray) -> ImageArray:
    """Return means over pairs along every axis; an odd last voxel is doubled."""
    for axis in range(3):
        if data.shape[axis] == 1:
            continue
        if data.shape[axis] % 2:
            last = np.take(data, [-1], axis=axis)
            data = np.concatenate([data, last], axis=axis)
        pairs = np.moveaxis(data, axis, 0)
        data = np.moveaxis((pairs[0::2] + pairs[1::2]) * np.float32(0.5), 0, axis)
    return np.ascontiguousarray(data, np.float32)


def _level(group: zarr.Group, number: int, shape: tuple[int, ...]) -> Any:
    """Return a new array of the store, all of whose chunks will be there."""
    return group.create_array(
        str(number),
        shape=shape,
        chunks=tuple(min(_CHUNK, n) for n in shape),
        dtype=np.float32,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
        config={"write_empty_chunks": True},
    )


def _metadata(
    shape: tuple[int, ...],
    levels: int,
    voxel_nm: float | None,
    name: str,
) -> dict[str, Any]:
    unit = {"unit": "nanometer"} if voxel_nm is not None else {}
    size = voxel_nm if voxel_nm is not None else 1.0
    datasets = []
    for number in range(levels):
        factors = [_factor(n, number) for n in shape]
        datasets.append(
            {
                "path": str(number),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [size * f for f in factors]},
                    {
                        "type": "translation",
                        "translation": [size * (f - 1) / 2 for f in factors],
                    },
                ],
            }
        )
    return {
        "multiscales": [
            {
                "version": "0.4",
                "name": name,
                "axes": [{"name": n, "type": "space", **unit} for n in "zyx"],
                "datasets": datasets,
                "type": "mean",
            }
        ],
        _OWN: {"voxel_nm": voxel_nm},
    }


def _factor(length: int, level: int) -> int:
    """Return by how much an axis shrank: an axis of one voxel stays as it is."""
    factor = 1
    for _ in range(level):
        if length == 1:
            break
        factor, length = factor * 2, -(-length // 2)
    return factor


def _voxel(image: dict[str, Any], level: dict[str, Any]) -> float | None:
    scale = np.ones(3)
    for step in (
        *image.get("coordinateTransformations", []),
        *level.get("coordinateTransformations", []),
    ):
        if step.get("type") == "scale":
            scale = scale * np.asarray(step["scale"], np.float64)[-3:]
    units = [str(axis.get("unit", "")) for axis in image.get("axes", [])[-3:]]
    sizes = [to_nm(s, unit) for s, unit in zip(scale, units, strict=False)]
    known = [size for size in sizes if size is not None]
    if len(known) != 3 or max(known) > 1.01 * min(known):
        return None
    return known[-1]


def _is_store(path: Path) -> bool:
    return path.is_dir() and any(
        (path / name).is_file() for name in (".zgroup", "zarr.json", ".zattrs")
    )


def _replace(temporary: Path, path: Path) -> None:
    """Put the finished store in place; an old one is moved aside, then deleted."""
    old = path.with_name(f"{temporary.name}.old")
    if path.exists():
        patiently(partial(os.replace, path, old))
    try:
        patiently(partial(os.replace, temporary, path))
    except OSError:
        if old.exists():
            patiently(partial(os.replace, old, path))
        raise
    shutil.rmtree(old, ignore_errors=True)
