"""The alignments tomviz saves: shifts of all images as .json, .npz or in a .tvsm.

A shift (x, y) of tomviz is what has to be done to an image, in whole or fractional
pixels: content at p goes to p + (x, y).  A pose says where the content is, so
(dx, dy) = -(x, y).

Both count along the axes of the array.  tomviz draws y upwards; where it has read a
TIFF, it has turned the rows over, and its y runs against the rows of the file
(``flip_y``).  MRC and EMD files keep their rows.

tomviz knows no rotation of single images.  Its automatic cross-correlation writes
shifts modulo the size of the image.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo.atomic import write_bytes, write_json
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import read_text, reading, to_nm, writing
from napari_inr_tomo.types import Alignment, FloatArray, Poses


def read_tomviz(path: str | Path, flip_y: bool = False) -> Alignment:
    """Return the shifts in a .json, .npz or .tvsm file of tomviz.

    flip_y: the rows of the stack run against tomviz's y, see above.
    The spacing in an .npz is taken for nm, and for unknown where it is 1.
    Raises `UserError` if the file holds no shifts, or several sets of them.
    """
    path = Path(path)
    size = None
    if path.suffix.lower() == ".npz":
        offsets, size = _from_npz(path)
    else:
        offsets = _from_json(path)
    if len(offsets) == 0 or not np.isfinite(offsets).all():
        raise _none(path, "its shifts are empty or no numbers")
    sign = 1.0 if flip_y else -1.0
    zeros = np.zeros(len(offsets))
    return Alignment(
        Poses(zeros, zeros, -offsets[:, 0] + 0.0, sign * offsets[:, 1] + 0.0),
        pixel_size_nm=size,
        turns=False,
        cyclic=True,
        name=path.name,
        notices=(_rows_in_words(path, flip_y),),
    )


def write_tomviz(path: str | Path, alignment: Alignment, flip_y: bool = False) -> None:
    """Write the shifts that undo the poses: .json in whole pixels, .npz exactly.

    The rotations have no place in them.  An unknown pixel size is written as 1.
    """
    path, poses = Path(path), alignment.poses
    sign = 1.0 if flip_y else -1.0
    offsets = np.column_stack([-poses.dx_px, sign * poses.dy_px]) + 0.0
    with writing(path):
        if path.suffix.lower() == ".npz":
            size = alignment.pixel_size_nm or 1.0
            _write_npz(path, offsets, np.array([size, size, 1.0]))
        else:
            write_json(path, np.rint(offsets).astype(int).tolist())


def _write_npz(path: Path, offsets: FloatArray, spacing: FloatArray) -> None:
    from io import BytesIO

    data = BytesIO()
    np.savez(data, offsets=offsets, spacing=spacing)
    write_bytes(path, data.getvalue())


def _rows_in_words(path: Path, flip_y: bool) -> str:
    how = (
        "from the bottom row, as tomviz reads a TIFF"
        if flip_y
        else "along the rows of the file, as tomviz reads MRC and EMD"
    )
    return (
        f"The y shifts in {path.name} were counted {how}. Look at the tilts: if they "
        "jump up and down more than before, it was the other way round."
    )


def _from_npz(path: Path) -> tuple[FloatArray, float | None]:
    with (
        reading(path),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as held,
    ):
        if "offsets" not in held:
            raise _none(path, f"it holds {', '.join(sorted(held)) or 'nothing'}")
        offsets = np.asarray(held["offsets"], np.float64)
        spacing = np.atleast_1d(held["spacing"]) if "spacing" in held else np.ones(3)
        spacing = np.asarray(spacing, np.float64)
    if offsets.ndim != 2 or offsets.shape[1] != 2:
        raise _none(path, f"its offsets have the shape {offsets.shape}")
    if spacing.size < 2 or not np.isclose(spacing[0], spacing[1], rtol=1e-3):
        raise UserError(
            f"The pixels of {path.name} are not square",
            f"its spacing is {spacing.tolist()}",
            "Save the alignment again from a stack with square pixels",
        )
    known = None if spacing[0] == 1 else to_nm(float(spacing[0]), "nm")
    return offsets, known


def _from_json(path: Path) -> FloatArray:
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise _none(path, "it is no JSON text") from error
    sets = [value] if isinstance(value, list) else _offset_lists(value)
    if len(sets) != 1:
        raise _none(path, f"it holds {len(sets)} alignments")
    try:
        flat = np.asarray(sets[0], np.float64)
        return flat.reshape(-1, 2) if flat.ndim == 1 else _pairs(flat)
    except (TypeError, ValueError) as error:
        raise _none(path, "its entries are not pairs of numbers") from error


def _pairs(table: FloatArray) -> FloatArray:
    if table.ndim != 2 or table.shape[1] != 2:
        raise ValueError("not pairs")
    return table


def _offset_lists(value: Any, depth: int = 0) -> list[Any]:
    """Return all lists named "offsets" in a state file."""
    if depth > 50:
        return []
    if isinstance(value, list):
        return [found for item in value for found in _offset_lists(item, depth + 1)]
    if not isinstance(value, dict):
        return []
    own = value.get("offsets")
    mine = [own] if isinstance(own, list) and own else []
    others = [item for key, item in value.items() if key != "offsets"]
    return mine + _offset_lists(others, depth + 1)


def _none(path: Path, why: str) -> UserError:
    return UserError(
        f"{path.name} is not one alignment of tomviz",
        why,
        "Choose the .json or .npz file in which tomviz saved the shifts of the images",
    )
