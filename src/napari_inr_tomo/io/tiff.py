"""TIFF stacks: ImageJ, OME and plain ones.

tifffile reads as much as it can of a damaged file; a tilt series must not lose a view
that way.  So the chain of images is followed here first: every image must lie inside
the file, and their number must be the one the file's own description promises.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_inr_tomo.atomic import replacing
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import (
    check_memory,
    damaged,
    need_file,
    not_a_stack,
    reading,
    square_pixel,
    to_nm,
    writing,
)
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.types import ImageArray

_IMAGEJ_LIMIT = 3_900_000_000
# A plain TIFF often says 72 or 300 dots per inch: that is a printer, not a microscope.
_PRINTER_NM = 10_000.0


def read_tiff(path: Path) -> ImageStack:
    """Read a stack (tilt, y, x); raises `UserError` if it is damaged or not a stack."""
    with reading(path):
        data, x_nm, y_nm, _ = _load(path)
        if data.ndim != 3:
            raise not_a_stack(path, data.shape)
        size, doubt = square_pixel(x_nm, y_nm)
        return ImageStack(
            data,
            name=path.stem,
            pixel_size_nm=size,
            doubts=(doubt,) if doubt else (),
        )


def read_tiff_image(path: Path) -> tuple[NDArray[Any], float | None]:
    """Return a file's only image (y, x) and its pixel size in nm."""
    with reading(path):
        data, x_nm, y_nm, _ = _load(path)
        if data.ndim != 2:
            raise UserError(
                f"{path.name} holds more than one image",
                f"its shape is {data.shape}, and every file of a folder is one tilt",
                "Open the file itself, or keep only single images in the folder",
            )
        return data, square_pixel(x_nm, y_nm)[0]


def read_tiff_volume(path: Path) -> tuple[NDArray[Any], float | None]:
    """Return a volume (z, y, x) and its voxel size in nm (None if not cubic)."""
    with reading(path):
        data, x_nm, y_nm, z_nm = _load(path)
        if data.ndim != 3:
            raise not_a_stack(path, data.shape)
        size, _ = square_pixel(x_nm, y_nm)
        if size is not None and z_nm is not None:
            size, _ = square_pixel(size, z_nm)
        return data, size


def write_tiff(path: Path, data: ImageArray, size_nm: float | None, axes: str) -> None:
    """Write float32 data with axes "ZYX" or "TYX" and its pixel size, atomically."""
    with writing(path), replacing(path) as temporary:
        put_tiff(temporary, data, size_nm, axes)


def put_tiff(path: Path, data: ImageArray, size_nm: float | None, axes: str) -> None:
    """Write the same into a file that nobody reads yet.

    ImageJ's dialect up to its limit of 4 GB, OME-TIFF beyond.
    """
    array = np.ascontiguousarray(data, np.float32)
    options: dict[str, Any] = {"photometric": "minisblack"}
    if array.nbytes < _IMAGEJ_LIMIT:
        metadata: dict[str, Any] = {"axes": axes}
        options["imagej"] = True
        if size_nm is not None:
            metadata["unit"] = "nm"
            if axes[0] == "Z":
                metadata["spacing"] = size_nm
            options["resolution"] = (1 / size_nm, 1 / size_nm)
    else:
        metadata = {"axes": axes}
        options["ome"] = True
        if size_nm is not None:
            for axis in axes.replace("T", ""):
                metadata[f"PhysicalSize{axis}"] = size_nm
                metadata[f"PhysicalSize{axis}Unit"] = "nm"
    tifffile.imwrite(path, array, metadata=metadata, **options)


def _load(
    path: Path,
) -> tuple[NDArray[Any], float | None, float | None, float | None]:
    """Return the data without axes of length one, and the pixel size x, y, z in nm."""
    need_file(path)
    pages = _count_pages(path)
    with tifffile.TiffFile(path) as file:
        series = _only_series(path, file)
        _check_pages(path, file, series, pages)
        kind = np.dtype(series.dtype)
        if kind.kind not in "uif":
            raise UserError(
                f"The pixels of {path.name} cannot be used",
                f"they are of the type {kind}",
                "Export the stack as integers or floating-point numbers",
            )
        total = int(np.prod(series.shape, dtype=np.int64))
        check_memory(path, total * max(kind.itemsize, 4), path.stat().st_size)
        data = series.asarray()
        if data.shape != tuple(series.shape):
            raise damaged(
                path, f"{data.shape} came out of a file that promises {series.shape}"
            )
        x_nm, y_nm, z_nm = _pixel_size(file)
    keep = [n for n in data.shape[:-2] if n != 1]
    return data.reshape(*keep, *data.shape[-2:]), x_nm, y_nm, z_nm


def _only_series(path: Path, file: tifffile.TiffFile) -> Any:
    if not file.series:
        raise damaged(path, "it holds no images")
    if len(file.series) > 1:
        shapes = sorted({str(tuple(series.shape)) for series in file.series})
        raise UserError(
            f"The images in {path.name} differ in size or kind",
            f"it holds {len(file.series)} groups of images ({', '.join(shapes[:5])})",
            "Export the tilt series alone, all images of one size",
        )
    page = file.pages[0]
    if page.photometric in (2, 3, 6) or getattr(page, "samplesperpixel", 1) > 1:
        raise UserError(
            f"{path.name} holds colour images",
            "a tilt series is made of grey values",
            "Export the original detector images in grey values",
        )
    return file.series[0]


def _check_pages(path: Path, file: tifffile.TiffFile, series: Any, pages: int) -> None:
    """Raise `UserError` unless all images are there and inside the file."""
    frames = int(np.prod(series.shape[:-2], dtype=np.int64))
    promised = _promised(file)
    size = path.stat().st_size
    if promised is not None and promised != frames:
        raise damaged(
            path, f"its description promises {promised} images, and {frames} are there"
        )
    contiguous = pages == 1 and frames > 1
    if pages != frames and not contiguous:
        raise damaged(path, f"it chains {pages} images, and {frames} can be read")
    first = file.pages[0]
    one = first.imagelength * first.imagewidth * np.dtype(series.dtype).itemsize
    if contiguous and first.dataoffsets[0] + one * frames > size:
        raise damaged(path, f"the file ends before the last of its {frames} images")
    for index in range(1 if contiguous else pages):
        page = file.pages[index]
        offsets, counts = page.dataoffsets, page.databytecounts
        if len(offsets) != len(counts) or not offsets:
            raise damaged(path, f"image {index} has no pixels")
        ends = (begin + count for begin, count in zip(offsets, counts, strict=True))
        if max(ends) > size or min(counts) < 1:
            raise damaged(path, f"the file ends before image {index} does")
        if first.compression == 1 and sum(counts) < one and not contiguous:
            raise damaged(path, f"image {index} has fewer bytes than pixels")


def _promised(file: tifffile.TiffFile) -> int | None:
    """Return the number of images the file's description promises, if any."""
    if file.is_imagej and file.imagej_metadata:
        return int(file.imagej_metadata.get("images", 1))
    if file.is_ome and file.ome_metadata:
        sizes = re.findall(r'\bSize[ZCT]="(\d+)"', file.ome_metadata)
        return int(np.prod([int(n) for n in sizes], dtype=np.int64)) if sizes else None
    if file.is_shaped:
        shape = file.shaped_metadata[0]["shape"] if file.shaped_metadata else None
        return int(np.prod(shape[:-2], dtype=np.int64)) if shape else None
    return None


def _count_pages(path: Path) -> int:
    """Return the number of chained images; raises `UserError` if the chain breaks."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        head = handle.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        if order is None or len(head) < 8:
            raise damaged(path, "it does not begin like a TIFF file")
        version = struct.unpack(order + "H", head[2:4])[0]
        big = version == 43
        if version not in (42, 43) or (big and len(head) < 16):
            raise damaged(path, "it does not begin like a TIFF file")
        entry, count_form, offset_form = (20, "Q", "Q") if big else (12, "H", "I")
        offset = struct.unpack(order + offset_form, head[8:16] if big else head[4:8])[0]
        seen: set[int] = set()
        while offset:
            if offset in seen or offset >= size:
                raise damaged(
                    path, f"after {len(seen)} images the chain of images breaks"
                )
            seen.add(offset)
            handle.seek(offset)
            width = struct.calcsize(count_form)
            head = handle.read(width)
            entries = struct.unpack(order + count_form, head.ljust(width, b"\0"))[0]
            tail = struct.calcsize(offset_form)
            end = offset + width + entries * entry
            if entries == 0 or end + tail > size:
                raise damaged(
                    path, f"the file ends inside the directory of image {len(seen) - 1}"
                )
            handle.seek(end)
            offset = struct.unpack(order + offset_form, handle.read(tail))[0]
    if not seen:
        raise damaged(path, "it holds no images")
    return len(seen)


def _pixel_size(
    file: tifffile.TiffFile,
) -> tuple[float | None, float | None, float | None]:
    """Return the pixel size along x, y, z in nm; None where the file does not say."""
    if file.is_ome and file.ome_metadata:
        return (
            _ome_size(file.ome_metadata, "X"),
            _ome_size(file.ome_metadata, "Y"),
            _ome_size(file.ome_metadata, "Z"),
        )
    tags = file.pages[0].tags
    x, y = _per_pixel(tags.get("XResolution")), _per_pixel(tags.get("YResolution"))
    metadata = file.imagej_metadata if file.is_imagej else None
    if metadata:
        unit = str(metadata.get("unit", ""))
        spacing = metadata.get("spacing")
        depth = to_nm(float(spacing), unit) if spacing is not None else None
        return _length(x, unit), _length(y, unit), depth
    unit_tag = tags.get("ResolutionUnit")
    unit = {2: "inch", 3: "cm"}.get(int(unit_tag.value) if unit_tag else 1, "")
    across, along = _length(x, unit), _length(y, unit)
    if across is None or across > _PRINTER_NM:
        return None, None, None
    return across, along, None


def _length(per_pixel: float | None, unit: str) -> float | None:
    return None if per_pixel is None else to_nm(per_pixel, unit)


def _per_pixel(tag: Any) -> float | None:
    """Return length per pixel from a resolution tag (pixels per length)."""
    if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2:
        return None
    pixels, length = tag.value
    return float(length) / float(pixels) if pixels and length else None


def _ome_size(xml: str, axis: str) -> float | None:
    size = re.search(rf'PhysicalSize{axis}="([^"]+)"', xml)
    unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', xml)
    if not size:
        return None
    return to_nm(float(size.group(1)), unit.group(1) if unit else "um")
