"""poses.csv: one line per tilt of the original stack, excluded ones included."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.atomic import write_bytes
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import read_text, writing
from napari_inr_tomo.types import BoolArray, FloatArray, Poses

COLUMNS = ("tilt", "angle_deg", "z1_deg", "z3_deg", "dx_px", "dy_px")
_ALL = (*COLUMNS, "residual", "used")
_SAME_ANGLE_DEG = 0.05


def write_poses(
    path: str | Path,
    angles_deg: ArrayLike,
    poses: Poses,
    used: ArrayLike,
    residual: ArrayLike | None = None,
) -> None:
    """Write poses as CSV, in the order of the stack.

    angles_deg, used, residual: (tilt,); a residual that is not finite stays empty.
    """
    path = Path(path)
    angles = np.asarray(angles_deg, np.float64)
    flags = np.asarray(used, bool)
    rest = np.full(len(poses), np.nan) if residual is None else np.asarray(residual)
    if not len(angles) == len(flags) == len(rest) == len(poses):
        raise ValueError("angles, used and residual need one entry per pose")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_ALL)
    for tilt, row in enumerate(poses.as_array()):
        value = float(rest[tilt])
        writer.writerow(
            [
                tilt,
                *(repr(float(number)) for number in (angles[tilt], *row)),
                repr(value) if math.isfinite(value) else "",
                int(flags[tilt]),
            ]
        )
    with writing(path):
        write_bytes(path, text.getvalue().encode())


def is_poses(path: Path) -> bool:
    """Return whether a file is a poses.csv, by its first line."""
    if path.suffix.lower() != ".csv":
        return False
    with open(path, "rb") as handle:
        return handle.read(100).startswith(",".join(COLUMNS).encode())


def read_poses(
    path: str | Path, angles_deg: ArrayLike | None = None
) -> tuple[FloatArray, Poses, BoolArray]:
    """Read poses.csv: angles (tilt,) in degrees, poses, used (tilt,) bool.

    angles_deg: the angles of the stack the poses are for; the file must agree.
    Raises `UserError` if columns or tilts are missing, or it is for another stack.
    """
    path = Path(path)
    try:
        rows = _table(read_text(path))
    except csv.Error as error:
        raise UserError(
            f"{path.name} is damaged",
            f"it is no table ({error})",
            "Write it again, or correct it in a text editor",
        ) from error
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise UserError(
            f"{path.name} is not a table of poses",
            f"the columns {', '.join(missing)} are missing",
            f"Use a poses.csv with the columns {','.join(_ALL)}",
        )
    try:
        rows.sort(key=lambda row: int(row["tilt"]))
        if [int(row["tilt"]) for row in rows] != list(range(len(rows))):
            raise ValueError("the tilts are not numbered 0, 1, 2 ...")
        table = np.array([[float(row[name]) for name in COLUMNS[1:]] for row in rows])
        used = np.array([int(float(row.get("used") or 1)) != 0 for row in rows])
        if not np.isfinite(table).all():
            raise ValueError("not every number is finite")
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path.name} is damaged",
            f"a line is not understood ({error})",
            "Write it again, or correct it in a text editor",
        ) from error
    if angles_deg is not None:
        _check_angles(path, table[:, 0], np.asarray(angles_deg, np.float64))
    return table[:, 0].copy(), Poses.from_array(table[:, 1:]), used


def _table(text: str) -> list[dict[str, str]]:
    """Return the lines of a table; a spreadsheet may part them by ; or tabs instead.

    Where it does, its decimal sign may be a comma.
    """
    first = text.partition("\n")[0]
    mark = next((m for m in ";\t" if m in first and "," not in first), ",")
    plain = text if mark == "," else text.replace(",", ".")
    return list(csv.DictReader(io.StringIO(plain, newline=""), delimiter=mark))


def _check_angles(path: Path, own: FloatArray, wanted: FloatArray) -> None:
    if own.shape != wanted.shape:
        raise UserError(
            "The poses belong to another stack",
            f"{path.name} holds {own.size} tilts, and the stack has {wanted.size}",
            "Choose the poses.csv of this stack; it lists excluded views as well",
        )
    apart = float(np.abs(own - wanted).max())
    if apart > _SAME_ANGLE_DEG:
        raise UserError(
            "The poses belong to another stack",
            f"the tilt angles in {path.name} differ by up to {apart:.3g} degrees",
            "Choose the poses.csv of this stack, in the same order of tilts",
        )
