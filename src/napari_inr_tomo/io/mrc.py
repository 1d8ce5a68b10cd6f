"""MRC files: .mrc .st .ali .rec .mrcs, strictly after the standard.

The array is used in the order it is stored: the first row of a section is row 0.  Other
programs may show that row at the bottom (IMOD does); the pixels are the same.
Angles come from the extended header: FEI1/FEI2 (EPU, Tomo), the older FEI/Agard
header of 128 bytes per image, or SerialEM's.  Source of the layouts: the MRC2014
standard and IMOD's page "The MRC file format used by IMOD".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import mrcfile
import numpy as np
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
from napari_inr_tomo.io.stack import ImageStack, shortest
from napari_inr_tomo.types import FloatArray, ImageArray

_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_OTHER_MODES = {3: "complex integers", 4: "complex numbers", 16: "colours"}
_IMOD_STAMP = 1146047817
_KEEP_MAPPED = 1 << 30


def read_mrc(path: Path) -> ImageStack:
    """Read a stack; raises `UserError` if it is damaged, empty or not (tilt, y, x)."""
    with reading(path):
        images, header, extended, extra = _load(path)
        if images.ndim != 3 or int(header.ispg) == 401:
            raise not_a_stack(path, images.shape)
        if header.nz == 1:
            raise not_a_stack(path, images.shape[1:])
        pixel_nm, oblong = _pixel_size(header)
        doubts = [oblong] if oblong else []
        if extra:
            doubts.append(
                f"{extra} bytes follow the last image: the width or height in the "
                "header may be wrong. Look at the images before going on."
            )
        angles, source, extended_nm, notes = _extended(
            header, extended, _byte_order(header), len(images)
        )
        return ImageStack(
            images,
            name=path.stem,
            angles_deg=angles,
            angle_source=source,
            pixel_size_nm=pixel_nm or extended_nm,
            doubts=tuple(doubts),
            angle_doubts=tuple(notes),
            rows_up=True,
        )


def read_mrc_image(path: Path) -> tuple[NDArray[Any], float | None, float | None]:
    """Return a file's only image (y, x), its pixel size in nm and its tilt in degrees.

    The last two are None where the file does not say.
    """
    with reading(path):
        images, header, extended, _ = _load(path)
        if len(images) != 1:
            raise UserError(
                f"{path.name} holds more than one image",
                f"its header says {len(images)}; every file of a folder is one tilt",
                "Open the file itself, or keep only single images in the folder",
            )
        size, _ = _pixel_size(header)
        order = _byte_order(header)
        angles, _, extended_nm, _ = _extended(header, extended, order, 1)
        tilt = None if angles is None else float(angles[0])
        return np.array(images[0]), size or extended_nm, tilt


def read_mrc_volume(path: Path) -> tuple[NDArray[Any], float | None]:
    """Return a volume (z, y, x) as stored and its voxel size in nm."""
    with reading(path):
        data, header, _, _ = _load(path)
        if data.ndim != 3:
            raise not_a_stack(path, data.shape)
        size, _ = _pixel_size(header)
        depth = to_nm(float(header.cella.z) / max(int(header.mz), 1), "A")
        if size is not None and depth is not None:
            size, _ = square_pixel(size, depth)
        return data, size


def write_mrc(
    path: Path, data: ImageArray, size_nm: float | None, *, volume: bool
) -> None:
    """Write float32 data (z or tilt, y, x) and its voxel or pixel size, atomically."""
    with writing(path), replacing(path) as temporary:
        put_mrc(temporary, data, size_nm, volume=volume)


def put_mrc(
    path: Path, data: ImageArray, size_nm: float | None, *, volume: bool
) -> None:
    """Write the same into a file that nobody reads yet.

    The images are written one by one; no second copy of the data is made.
    """
    with mrcfile.new_mmap(path, data.shape, mrc_mode=2) as file:
        if volume:
            file.set_volume()
        else:
            file.set_image_stack()
        if size_nm is not None:
            file.voxel_size = size_nm * 10
        header, order = file.header, file.data.dtype
        lowest, highest, mean, spread = _statistics(data)
        header.dmin, header.dmax = lowest, highest
        header.dmean, header.rms = mean, spread
    with open(path, "r+b") as handle:
        handle.seek(1024)
        for image in data:
            handle.write(np.ascontiguousarray(image, order).data)


def _statistics(data: ImageArray) -> tuple[float, float, float, float]:
    """Return least, greatest, mean and standard deviation, image by image."""
    if not len(data):
        return 0.0, -1.0, -2.0, -1.0
    mean = float(np.mean([image.mean(dtype=np.float64) for image in data]))
    squares = [np.square(image - mean, dtype=np.float64).mean() for image in data]
    least = min(float(image.min()) for image in data)
    greatest = max(float(image.max()) for image in data)
    return least, greatest, mean, float(np.mean(squares)) ** 0.5


def _load(path: Path) -> tuple[NDArray[Any], Any, bytes, int]:
    """Return data as stored, header, extended header, and how many bytes are left."""
    need_file(path)
    _check_extended(path)
    with mrcfile.mrcfile.MrcFile(path, "r", permissive=False, header_only=True) as file:
        header = file.header.copy()
        extended = file.extended_header.tobytes()
    mode = int(header.mode)
    if mode not in _DTYPES:
        kind = _OTHER_MODES.get(mode, "an unknown kind of pixel")
        raise UserError(
            f"The pixels of {path.name} cannot be used",
            f"they are {kind} (MRC mode {mode})",
            "Export the stack as integers or floating-point numbers",
        )
    shape = (int(header.nz), int(header.ny), int(header.nx))
    if min(shape) < 1:
        raise damaged(path, f"its header says {shape[2]} x {shape[1]} x {shape[0]}")
    dtype = np.dtype(_DTYPES[mode]).newbyteorder(_byte_order(header))
    one = shape[1] * shape[2] * dtype.itemsize
    offset = 1024 + int(header.nsymbt)
    have = path.stat().st_size - offset
    if have < one * shape[0]:
        raise damaged(
            path,
            f"its header promises {shape[0]} images ({one * shape[0]} bytes), and the "
            f"file holds {max(have, 0) // one} whole ones ({max(have, 0)} bytes)",
        )
    if have >= one * (shape[0] + 1):
        raise damaged(
            path,
            f"its header promises {shape[0]} images, and the file holds the bytes of "
            f"{have // one}",
        )
    check_memory(path, shape[0] * shape[1] * shape[2] * 4)
    data: NDArray[Any] = np.memmap(path, dtype, "r", offset=offset, shape=shape)
    if data.size * 4 < _KEEP_MAPPED:  # bytes as float32
        data = np.array(data)
    if mode == 0 and _unsigned(header):
        data = data.view(np.uint8)
    order = (int(header.mapc), int(header.mapr), int(header.maps))
    if order not in ((1, 2, 3), (0, 0, 0)):
        raise UserError(
            f"The axes of {path.name} are permuted",
            f"its header says that columns, rows and sections are the axes {order}",
            "Export it with the usual order 1, 2, 3",
        )
    return data, header, extended, have - one * shape[0]


def _check_extended(path: Path) -> None:
    """Refuse an extended header longer than the file before it is allocated."""
    with open(path, "rb") as handle:
        head = handle.read(1024)
    order = ">" if head[212:213] == b"\x11" else "<"
    length = int(np.frombuffer(head[92:96], order + "i4")[0]) if len(head) > 95 else 0
    if not 0 <= length <= path.stat().st_size:
        raise damaged(path, f"its extended header is said to be {length} bytes long")


def _byte_order(header: Any) -> Literal["<", ">"]:
    return ">" if header.dtype["nx"].byteorder == ">" else "<"


def _unsigned(header: Any) -> bool:
    """Return whether bytes are unsigned, as IMOD marks and older programs imply."""
    extra = header.extra2.tobytes()
    stamp, flags = np.frombuffer(extra[40:48], np.dtype("i4"))
    if int(stamp) == _IMOD_STAMP:
        return not int(flags) & 1
    return bool(header.dmin >= 0 and header.dmax > 127)


def _pixel_size(header: Any) -> tuple[float | None, str | None]:
    """Return the pixel size in nm; 1 Angstrom without a cell is no calibration."""
    x, y = float(header.cella.x), float(header.cella.y)
    across = to_nm(x / int(header.mx), "A") if header.mx > 0 else None
    along = to_nm(y / int(header.my), "A") if header.my > 0 else None
    size, doubt = square_pixel(across, along)
    return (round(size, 9) if size else None), doubt


def _extended(
    header: Any, extended: bytes, order: str, count: int
) -> tuple[FloatArray | None, str, float | None, list[str]]:
    """Return angles, their source, the pixel size in nm and doubts."""
    kind = header.exttyp.tobytes().strip(b"\0 ")
    if kind in (b"FEI1", b"FEI2"):
        angles, size = _fei_records(header, extended, order, count)
        source = f"{kind.decode()} extended header"
    elif kind == b"SERI" or (kind in (b"", b"AGAR", b"FEI")):
        per_image, flags = np.frombuffer(header.extra2.tobytes()[16:20], order + "i2")
        angles, size, source = None, None, ""
        if kind != b"AGAR" and _is_serialem(int(per_image), int(flags), kind):
            angles = _serialem(extended, order, int(per_image), int(flags), count)
            source = "SerialEM extended header"
        elif kind != b"SERI":
            angles, size = _agard(extended, order, int(per_image), int(flags), count)
            source = "FEI extended header"
    else:
        return None, "", None, []
    if angles is None:
        return None, "", size, []
    if not np.isfinite(angles).all() or np.abs(angles).max() > 360:
        return (
            None,
            "",
            size,
            [f"The tilt angles in the {source} are not numbers and were not used."],
        )
    if count > 1 and not angles.any():
        return (
            None,
            "",
            size,
            [f"The tilt angles in the {source} are all zero and were not used."],
        )
    return angles, source, size, []


def _fei_records(
    header: Any, extended: bytes, order: str, count: int
) -> tuple[FloatArray | None, float | None]:
    from mrcfile import dtypes

    # each record starts with its own length, and may be longer than the known fields
    known = dtypes.get_ext_header_dtype(header.exttyp.tobytes(), order)
    if len(extended) < 4:
        return None, None
    step = int(np.frombuffer(extended[:4], order + "i4")[0])
    if step < known.itemsize or step * count > len(extended):
        return None, None
    records = [
        np.frombuffer(extended, known, 1, offset=step * i)[0] for i in range(count)
    ]
    angles = np.array([float(record["Alpha tilt"]) for record in records])
    return angles, to_nm(float(records[0]["Pixel size X"]), "m")


def _is_serialem(per_image: int, flags: int, kind: bytes) -> bool:
    """Return whether the two shorts describe SerialEM's records, as IMOD decides."""
    sizes = (2, 6, 4, 2, 2, 4, 0, 4, 2, 4, 2, 4, 2, 4, 2, 4)
    total = sum(size for bit, size in enumerate(sizes) if flags >> bit & 1)
    return per_image > 0 and flags > 0 and (kind == b"SERI" or per_image == total)


def _serialem(
    extended: bytes, order: str, per_image: int, flags: int, count: int
) -> FloatArray | None:
    """Return angles from the first short of every record: 100 times the degrees."""
    if not flags & 1 or per_image * count > len(extended) or per_image < 2:
        return None
    raw = np.frombuffer(extended, np.uint8, per_image * count).reshape(count, -1)
    shorts = np.ascontiguousarray(raw[:, :2]).view(order + "i2")[:, 0]
    return np.asarray(shorts, np.float64) / 100


def _agard(
    extended: bytes, order: str, integers: int, reals: int, count: int
) -> tuple[FloatArray | None, float | None]:
    """Return angles and pixel size from records of 4-byte integers, then floats."""
    words = integers + reals
    fei = len(extended) == 131072 and integers in (0, 32) and reals in (0, 32)
    if fei:  # FEI: 1024 records of 32 floats, whatever the two numbers say
        integers, words = 0, 32
    if integers < 0 or (not fei and reals < 1) or words * 4 * count > len(extended):
        return None, None
    raw = np.frombuffer(extended, order + "f4", words * count).reshape(count, words)
    angles = shortest(raw[:, integers].astype(np.float32))
    size = to_nm(float(raw[0, 11]), "m") if fei else None
    return angles, size
