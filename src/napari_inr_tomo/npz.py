"""Archives of arrays that cannot swell: stored, never compressed, never pickled."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of what `numpy.savez` wrote, under their names.

    Takes no more memory than the file has bytes.  Raises ValueError where a part is
    compressed or is not what it promises, OSError, or what `zipfile` raises.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("a part of it is compressed, and none is written so")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its parts claim more bytes than the file has")
        return {m.filename.removesuffix(".npy"): _array(archive, m) for m in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Return one array, allocated only once its bytes are known to be there."""
    with archive.open(member) as handle:
        np.lib.format.read_magic(handle)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(handle)
        content = bytearray(handle.read())
    if dtype.kind not in "biuf" or len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.filename} does not hold the {shape} it promises")
    values = np.frombuffer(content, dtype)
    return values.reshape(shape, order="F" if fortran else "C")
