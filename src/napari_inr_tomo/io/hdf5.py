"""HDF5 files: EMD (Berkeley and tomviz), Velox, DataExchange, or one plain stack.

Berkeley and tomviz store (tilt, y, x) with the angles in the axis dim1 ("[deg]" or
"[rad]"); Velox stores (y, x, frame) with one JSON text per frame whose
``Stage.AlphaTilt`` is in radians.  Chunks that were never written are found and
refused: HDF5 itself would return zeros.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import (
    check_memory,
    damaged,
    is_degrees,
    is_radians,
    need_file,
    not_a_stack,
    reading,
    square_pixel,
    to_nm,
)
from napari_inr_tomo.io.stack import ImageStack, shortest
from napari_inr_tomo.types import FloatArray, ImageArray

_LONGEST_AXIS = 1_000_000

PROBE_S = 30.0
"""So long a first look may take."""

_PROBE = """
import sys
import h5py
def look(name, item):
    keys = ["units", "name", "emd_group_type"]
    try:
        keys += list(item.attrs)
    except Exception:
        pass
    for key in keys:
        try:
            item.attrs[key]
        except Exception:
            pass
    if isinstance(item, h5py.Dataset) and item.size and item.size < 100000:
        try:
            item[()]
        except Exception:
            pass
with h5py.File(sys.argv[1], "r") as file:
    look("", file)
    file.visititems(look)
try:
    # not getrusage: on Linux it also counts the process that started this one
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    peak = 1024 * int(line.split()[1])
except (OSError, ValueError):
    try:
        import resource
    except ImportError:
        sys.exit(0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
sys.exit(3 if peak > 1000000000 else 0)
"""

_ANGLE_NAMES = (
    *("angles", "angle", "tilt_angles", "tilts", "tilt_angle", "theta"),
    "rotation_angle",  # NXtomo
)


def read_hdf5(path: Path) -> ImageStack:
    """Read a tilt series; raises `UserError` if there is not exactly one in the file.

    HyperSpy files (group "Experiments") are left to `formats.read_microscope`.
    """
    with reading(path):
        need_file(path)
        probe(path)
        with h5py.File(path, "r") as file:
            if "Experiments" in file:
                from napari_inr_tomo.io.formats import read_microscope

                return read_microscope(path, "hspy")
            groups = list(_emd_groups(file))
            if "Data/Image" in file:
                from napari_inr_tomo.io.velox import read_velox

                return read_velox(path, file)
            if groups:
                return _berkeley(path, groups)
            if isinstance(file.get("exchange/data"), h5py.Dataset):
                return _data_exchange(path, file)
            return _plain(path, file)


def probe(path: Path) -> None:
    """Have a process of its own look at a file first.

    The HDF5 library can loop for ever in, crash on, or take any memory for a damaged
    file, and nothing within the same process could stop it.  Raises `UserError` then.
    """
    if not sys.executable:
        return
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE, str(path.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_S,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        why = "the HDF5 library does not come to an end with it"
        raise damaged(path, why) from None
    if done.returncode == 3:
        raise damaged(path, "the HDF5 library takes gigabytes for its smallest parts")
    if done.returncode not in (0, 1):  # a crash: negative, on Windows a large number
        raise damaged(path, "the HDF5 library crashes on it")


def put_emd(
    path: Path, images: ImageArray, angles_deg: FloatArray, size_nm: float | None
) -> None:
    """Write a tilt series (tilt, y, x) as Berkeley EMD that tomviz reads.

    Into a file that nobody reads yet.  tomviz asks for float32 angles in "[deg]" as the
    first axis.
    """
    count, height, width = images.shape
    with h5py.File(path, "w") as file:
        file.attrs["version_major"] = np.uint32(0)
        file.attrs["version_minor"] = np.uint32(2)
        group = file.create_group("data/tomography")
        group.attrs["emd_group_type"] = np.uint32(1)
        group.create_dataset("data", data=np.ascontiguousarray(images, np.float32))
        group["data"].attrs["name"] = "tilt series"
        step = size_nm if size_nm is not None else 1.0
        unit = "[n_m]" if size_nm is not None else "[px]"
        _write_axis(group, 1, np.asarray(angles_deg), "angles", "[deg]")
        _write_axis(group, 2, np.arange(height) * step, "y", unit)
        _write_axis(group, 3, np.arange(width) * step, "x", unit)
        assert group["dim1"].shape == (count,)  # noqa: S101 - a writer's own check


def load(path: Path, dataset: Any, order: tuple[int, ...] | None = None) -> Any:
    """Return a 3-D dataset as an array, refusing what is incomplete or too large."""
    if dataset.ndim != 3 or 0 in dataset.shape:
        raise not_a_stack(path, dataset.shape)
    if dataset.dtype.kind not in "uif":
        raise UserError(
            f"The pixels of {path.name} cannot be used",
            f"they are of the type {dataset.dtype}",
            "Export the stack as integers or floating-point numbers",
        )
    count = int(np.prod(dataset.shape, dtype=np.int64))
    check_memory(path, count * max(dataset.dtype.itemsize, 4), path.stat().st_size)
    if dataset.chunks is not None:
        grid = [
            -(-length // chunk)
            for length, chunk in zip(dataset.shape, dataset.chunks, strict=True)
        ]
        wanted, there = int(np.prod(grid)), int(dataset.id.get_num_chunks())
        if there < wanted:
            raise damaged(
                path, f"{wanted - there} of {wanted} parts of the images are missing"
            )
    elif dataset.id.get_storage_size() < count * dataset.dtype.itemsize:
        raise damaged(path, "the images were never written to it")
    data = dataset[()]
    return data if order is None else np.ascontiguousarray(data.transpose(order))


def text(value: Any) -> str:
    """Return an HDF5 attribute or string as text."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _write_axis(
    group: Any, number: int, values: NDArray[Any], name: str, unit: str
) -> None:
    axis = group.create_dataset(f"dim{number}", data=values.astype(np.float32))
    axis.attrs["name"] = name
    axis.attrs["units"] = unit


def _emd_groups(file: Any) -> Iterator[Any]:
    """Yield the groups that carry EMD data of the Berkeley dialect."""
    found: list[Any] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and "emd_group_type" in item.attrs:
            if isinstance(item.get("data"), h5py.Dataset):
                found.append(item)

    file.visititems(visit)
    yield from found


def _berkeley(path: Path, groups: list[Any]) -> ImageStack:
    stacks = [group for group in groups if group["data"].ndim == 3]
    if not stacks:
        raise not_a_stack(path, groups[0]["data"].shape)
    tilted = [group for group in stacks if _angle_axis(group) is not None]
    chosen = tilted or stacks
    if len(chosen) > 1:
        raise _several(path, [group.name for group in chosen])
    group = chosen[0]
    tilt = _angle_axis(group)
    axes = [0 if tilt is None else tilt]
    plane = [axis for axis in range(3) if axis != axes[0]]
    names = [text(_dim(group, axis).attrs.get("name", "")).lower() for axis in plane]
    if names == ["x", "y"]:
        plane.reverse()
    order = (axes[0], plane[0], plane[1])
    images = load(path, group["data"], None if order == (0, 1, 2) else order)
    angles, source = None, ""
    if tilt is not None:
        angles, source = _axis_angles(path, _dim(group, tilt), len(images))
    y_nm, x_nm = (_spacing(_dim(group, axis)) for axis in order[1:])
    size, doubt = square_pixel(x_nm, y_nm)
    return ImageStack(
        images,
        name=path.stem,
        angles_deg=angles,
        angle_source=source,
        pixel_size_nm=size,
        doubts=(doubt,) if doubt else (),
    )


def _dim(group: Any, axis: int) -> Any:
    return group[f"dim{axis + 1}"]


def _angle_axis(group: Any) -> int | None:
    for axis in range(3):
        dim = group.get(f"dim{axis + 1}")
        if dim is None:
            continue
        unit = text(dim.attrs.get("units", ""))
        if is_degrees(unit) or is_radians(unit):
            return axis
        if text(dim.attrs.get("name", "")).lower() in _ANGLE_NAMES:
            return axis
    return None


def _axis_angles(path: Path, dim: Any, count: int) -> tuple[FloatArray, str]:
    values = shortest(_line(dim)).ravel()
    if values.size == 2 and count > 2:  # a linear axis may be given by its first two
        values = values[0] + (values[1] - values[0]) * np.arange(count)
    source = f"{dim.name} in {path.name}"
    if is_radians(text(dim.attrs.get("units", ""))):
        return np.rad2deg(values), f"{source}, given there in radians"
    return values, source


def _line(dim: Any) -> Any:
    """Return the numbers of an axis, not allocated before their count is credible."""
    if dim.size is None or dim.size > _LONGEST_AXIS:
        raise damaged(
            Path(dim.file.filename), f"its axis {dim.name} has {dim.size} entries"
        )
    return dim[()]


def _spacing(dim: Any) -> float | None:
    values = np.asarray(_line(dim), np.float64).ravel()
    if values.size < 2 or not np.isfinite(values).all():
        return None
    step = float(abs(values[-1] - values[0]) / (values.size - 1))
    size = to_nm(step, text(dim.attrs.get("units", "")))
    return float(f"{size:.7g}") if size else None  # axes are float32


def _data_exchange(path: Path, file: Any) -> ImageStack:
    images = load(path, file["exchange/data"])
    angles, source = None, ""
    theta = file.get("exchange/theta")
    if isinstance(theta, h5py.Dataset):
        angles, source = _axis_angles(path, theta, 0)
    doubts = [
        f"{path.name} holds {name} images (exchange/data_{name}); they are not used."
        for name in ("dark", "white")
        if f"exchange/data_{name}" in file
    ]
    return ImageStack(
        images,
        name=path.stem,
        angles_deg=angles,
        angle_source=source,
        doubts=tuple(doubts),
    )


def _plain(path: Path, file: Any) -> ImageStack:
    stacks: list[Any] = []
    lines: list[Any] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "uif":
            if item.ndim == 3:
                stacks.append(item)
            elif item.ndim == 1:
                lines.append(item)

    file.visititems(visit)
    if not stacks:
        raise UserError(
            f"There is no tilt series in {path.name}",
            "none of its datasets is three-dimensional",
            "Choose another file, or export the stack as MRC or TIFF",
        )
    if len(stacks) > 1:
        raise _several(path, [stack.name for stack in stacks])
    images = load(path, stacks[0])
    named = [
        line
        for line in lines
        if line.name.rsplit("/", 1)[-1].lower() in _ANGLE_NAMES
        and line.size == len(images)
    ]
    angles, source = None, ""
    if len(named) == 1:
        angles, source = _axis_angles(path, named[0], 0)
    return ImageStack(images, name=path.stem, angles_deg=angles, angle_source=source)


def _several(path: Path, names: list[str]) -> UserError:
    return UserError(
        f"{path.name} holds more than one stack of images",
        f"they are {', '.join(names[:5])}",
        "Export the tilt series alone to a file of its own",
    )
