"""The JSON record that this program writes beside a stack or a volume."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo.atomic import read_json
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import read_text
from napari_inr_tomo.io.xf import xf_text
from napari_inr_tomo.types import Poses

_LARGEST = 50_000_000
_SERIES = "tilt series"
_ROUNDING = 1e-5


def record_in(file: Path, kind: str) -> dict[str, Any] | None:
    """Return the record in a JSON file if it is one of this kind."""
    try:
        value = read_json(file, _LARGEST)
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.get("kind") != kind:
        return None
    return value


def read_record(path: Path, kind: str) -> dict[str, Any] | None:
    """Return the record beside ``path`` if it is of this kind and file."""
    record = record_in(path.with_suffix(".json"), kind)
    return record if record is not None and record.get("file") == path.name else None


def stack_record(path: Path, images: Any) -> dict[str, Any] | None:
    """Return the record beside a stack, also where both have been renamed.

    images: (tilt, y, x), what the file holds.  A record that names another file is
    taken if it has the digest of these pixels; one of an earlier version, which has
    none, if that file is not there and the shape fits.
    """
    record = record_in(path.with_suffix(".json"), _SERIES)
    if record is None or record.get("file") == path.name:
        return record
    if record.get("shape") != list(images.shape):
        return None
    if "pixels_sha256" in record:
        return record if record["pixels_sha256"] == pixels_sha256(images) else None
    named = path.parent / Path(str(record.get("file"))).name
    return None if named.exists() else record


def pixels_sha256(images: Any) -> str:
    """Return the digest of the pixels as float32, whatever file holds them."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(np.ascontiguousarray(image, "<f4").data)
    return digest.hexdigest()


def is_own_xf(file: Path) -> bool:
    """Return whether `write_series` has written this .xf, with its tilt axis along x.

    Only numbers may stand in it.  So a record in the same folder, whatever its name,
    tells it from IMOD's: its poses give the same numbers.
    """
    try:
        numbers = np.array(read_text(file).split(), np.float64)
    except (UserError, ValueError):
        return False
    for record in _series_records(file.parent):
        try:
            original = record["original"]
            used = np.asarray(original["used"], bool)
            poses = Poses.from_array(original["poses"]).take(used)
            own = np.array(xf_text(poses, "x").split(), np.float64)
        except (KeyError, TypeError, ValueError, IndexError):
            continue
        if own.shape == numbers.shape and np.allclose(own, numbers, atol=_ROUNDING):
            return True
    return False


def _series_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of stacks in a folder; other JSON files are hardly read."""
    for file in sorted(folder.glob("*.json")):
        try:
            with open(file, "rb") as handle:
                is_one = _SERIES.encode() in handle.read(200)
        except OSError:
            continue
        record = record_in(file, _SERIES) if is_one else None
        if record is not None:
            yield record
