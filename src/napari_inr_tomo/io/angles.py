"""Tilt angles from text: a file, a range start:stop:step, a list.

One angle per line in the order of the images in the stack, as in the .rawtlt and .tlt
files of IMOD; also two columns "index angle", comma-separated tables with a header,
comments, and SerialEM's .mdoc.  Nothing is ever converted, sorted or cut to length.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import describe, read_text, writing
from napari_inr_tomo.types import FloatArray

ANGLE_SUFFIXES = (".rawtlt", ".tlt", ".mdoc", ".csv", ".txt")

Angles = str | Path | Sequence[float] | FloatArray

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*:\s*({_NUMBER})\s*:\s*({_NUMBER})\s*")
_MOST_ANGLES = 100_000
_HOW = (
    "Give a text file with one angle in degrees per line, or a range such as -60:60:2"
)
_NAMES = (
    "angle_deg",
    "angle",
    "angles",
    "tilt_angle",
    "tiltangle",
    "tilt_angle_deg",
    "alpha",
    "stage_alpha",
    "theta",
    "rlntomonominalstagetiltangle",
)


def resolve_angles(angles: Angles) -> tuple[FloatArray, str]:
    """Return angles given by hand and words that say where they came from.

    angles: a file, "start:stop:step", a list as text ("-60, -58 ...") or numbers.
    Returns (tilt,) float64 degrees.  Raises `UserError` if it is none of these.
    """
    if isinstance(angles, str) and _looks_like_numbers(angles):
        if not os.path.isfile(angles):  # a long list is no name for a file
            return parse_angles(angles), f"given as {_short(angles)}"
    if isinstance(angles, str | Path):
        path = Path(angles)
        if not path.exists() and isinstance(angles, str):
            raise UserError(
                f"The tilt angles {_short(angles)!r} are not understood",
                "this is neither a file that exists nor a range start:stop:step",
                _HOW,
            )
        return read_angles(path), f"given file {path.name}"
    values = np.atleast_1d(np.asarray(angles, np.float64))
    return values, "given"


def parse_angles(
    text: str, column: int | None = None, comma: bool = False
) -> FloatArray:
    """Return the angles in a range "start:stop:step" or in the text of an angle file.

    column: which column of a table holds them, counted from 1; comma: its decimal sign
    is a comma.
    The stop is included when it fits.  Returns (tilt,) float64 degrees, in the order
    of the text.  Raises `UserError` if the text holds no angles or is ambiguous.
    """
    match = _RANGE.fullmatch(text)
    if match:
        return _expand(*(float(value) for value in match.groups()))
    plain = re.sub(r"(?<=\d),(?=\d)", ".", text) if comma else text
    return _parse_text(plain, "the text", column)


def read_angles(path: str | Path) -> FloatArray:
    """Return the angles in a .rawtlt, .tlt, .mdoc, .csv or .txt file.

    Returns (tilt,) float64 degrees in the order of the images.
    Raises `UserError` if the file holds no angles.
    """
    path = Path(path)
    if path.suffix.lower() == ".mdoc":
        from napari_inr_tomo.io.mdoc import read_mdoc

        return read_mdoc(path).angles()
    return _parse_text(read_text(path), path.name)


def write_tlt(path: str | Path, angles_deg: FloatArray) -> None:
    """Write angles, (tilt,) degrees, one per line as in IMOD's .tlt."""
    from napari_inr_tomo.atomic import write_bytes

    path = Path(path)
    with writing(path):
        write_bytes(path, tlt_text(angles_deg).encode())


def tlt_text(angles_deg: FloatArray) -> str:
    """Return the content of a .tlt file."""
    lines = [f"{value:12.6f}\n" for value in np.asarray(angles_deg, np.float64)]
    return "".join(lines)


def check_count(count: int, angles_deg: FloatArray, source: str, detail: str) -> None:
    """Raise `UserError` unless there is one angle per image."""
    size = int(angles_deg.size)
    if angles_deg.ndim == 1 and size == count:
        return
    causes = ["check that the angle file belongs to this stack"]
    if size and count % size == 0:
        causes.insert(
            0,
            f"the stack may hold {count // size} frames per tilt: "
            "average the frames first",
        )
    elif abs(size - count) <= 3:
        causes.append("and that no view was removed from only one of the two")
    raise UserError(
        "The number of tilt angles is wrong",
        f"{size} angles ({source}{detail}) meet {count} images",
        ("; ".join(causes))[0].upper() + ("; ".join(causes))[1:],
    )


def _looks_like_numbers(text: str) -> bool:
    plain = text.replace("\u2212", "-")
    return bool(
        _RANGE.fullmatch(plain) or re.fullmatch(r"[\s\d.,;eE+-]*\d\.?\s*", plain)
    )


def _short(text: str | Path) -> str:
    plain = " ".join(str(text).split())
    return plain if len(plain) <= 40 else plain[:37] + "..."


def _expand(start: float, stop: float, step: float) -> FloatArray:
    spec = f"{start:g}:{stop:g}:{step:g}"
    if not all(math.isfinite(value) for value in (start, stop, step)) or step == 0:
        raise UserError(
            f"The range {spec} holds no angles",
            "its step is zero or a number is not finite",
            "Give start:stop:step in degrees, such as -60:60:2",
        )
    steps = (stop - start) / step
    if steps < -1e-9:
        raise UserError(
            f"The range {spec} holds no angles",
            "its step leads away from its stop",
            f"Give {start:g}:{stop:g}:{-step:g}",
        )
    if steps > _MOST_ANGLES:
        raise UserError(
            f"The range {spec} is too long",
            f"it holds {steps:.3g} angles",
            "Give a larger step, in degrees",
        )
    count = math.floor(steps + 1e-6) + 1
    return np.asarray(start + step * np.arange(count), np.float64).round(9)


def _parse_text(text: str, name: str, column: int | None = None) -> FloatArray:
    rows, header = _rows(text, name)
    widths = {len(row) for row in rows}
    if column is not None:
        return _one_column(rows, name, column)
    if len(rows) == 1:  # a list in one line
        return np.asarray(rows[0], np.float64)
    if len(widths) != 1:
        raise UserError(
            f"The angles in {name} are not understood",
            f"its lines hold different numbers of values ({sorted(widths)})",
            _HOW,
        )
    table = np.asarray(rows, np.float64)
    if table.shape[1] == 1:
        return np.ascontiguousarray(table[:, 0])
    named = [i for i, word in enumerate(header) if word in _NAMES]
    if len(header) == table.shape[1] and len(named) == 1:
        return np.ascontiguousarray(table[:, named[0]])
    index = table[:, 0]
    numbered = any(np.array_equal(index, n + np.arange(len(index))) for n in (0, 1))
    if table.shape[1] == 2 and numbered:
        return np.ascontiguousarray(table[:, 1])
    raise UserError(
        f"The angles in {name} are not understood",
        f"every line holds {table.shape[1]} values, and the first is not a running "
        "number from 0 or 1 (or the decimal sign is a comma)",
        "Give one angle per line with a decimal point, or name the column angle_deg; "
        "or write +columnN or +comma after the file",
    )


def _one_column(rows: list[list[float]], name: str, column: int) -> FloatArray:
    shortest = min(len(row) for row in rows)
    if not 1 <= column <= shortest:
        raise UserError(
            f"There is no column {column} in {name}",
            f"its lines hold {shortest} numbers",
            "Count the columns from 1",
        )
    return np.asarray([row[column - 1] for row in rows], np.float64)


def _rows(text: str, name: str) -> tuple[list[list[float]], list[str]]:
    """Return the lines of numbers, and the words of the last header line."""
    rows: list[list[float]] = []
    header: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        plain = re.split(r"#|%|//", line.replace("\u2212", "-"), maxsplit=1)[0].strip()
        if not plain:
            continue
        words = [word.strip().strip('"') for word in re.split(r"[,;\s]+", plain)]
        values = [_number(word) for word in words if word]
        if all(value is not None for value in values):
            rows.append([value for value in values if value is not None])
        elif rows:
            raise UserError(
                f"The angles in {name} are not understood",
                f"line {number} is not a number ({_short(line)!r})",
                _HOW,
            )
        else:
            header = [_title(word) for word in re.split(r"[,;\t]", plain)]
    if not rows:
        raise UserError(
            f"There are no tilt angles in {name}",
            "none of its lines is a number",
            _HOW,
        )
    return rows, header


def _title(text: str) -> str:
    """Return the title of a column as it stands in `_NAMES`, else its first word."""
    words = re.sub(r"[(\[].*$", "", text.strip().strip('"')).lower().split()
    joined = "_".join(words)
    return joined if joined in _NAMES else (words or [""])[0]


def _number(word: str) -> float | None:
    match = re.fullmatch(rf"({_NUMBER}|[+-]?nan|[+-]?inf)(?:deg|°)?", word, re.I)
    try:
        return float(match.group(1)) if match else None
    except ValueError as error:  # pragma: no cover - the pattern admits numbers only
        raise UserError("A number is not understood", describe(error), _HOW) from error
