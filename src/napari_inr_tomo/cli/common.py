"""What the commands do alike: opening files, saying things, checking names."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import TiltSeries


def say(text: str) -> None:
    """Print a line of the answer."""
    print(text)


def say_now(text: str) -> None:
    """Print a line of an answer that comes bit by bit."""
    print(text, flush=True)


def note(text: str) -> None:
    """Print a line that is not the answer: progress, notices."""
    print(text, file=sys.stderr, flush=True)


def answer(values: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    """Print the one JSON object, or the lines."""
    if as_json:
        say(json.dumps(_plain(values), allow_nan=False))
    else:
        for line in lines:
            say(line)


def _plain(value: Any) -> Any:
    """Return numbers that JSON has: infinities and NaN become null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def open_series(stack: Path, angles: str | None) -> TiltSeries:
    """Read a tilt series and print what the user should know about it."""
    from napari_inr_tomo.io import read_series

    series = read_series(stack, angles)
    for notice in series.notices:
        note(f"Note: {notice}")
    return series


def new_notices(before: TiltSeries, after: TiltSeries) -> None:
    """Print the notices that steps have added."""
    for notice in after.notices:
        if notice not in before.notices:
            note(f"Note: {notice}")


def check_out(path: Path | None, suffixes: tuple[str, ...]) -> None:
    """Raise `UserError` before the work where ``path`` cannot be written."""
    if path is None:
        return
    if not path.name.lower().endswith(suffixes):
        raise UserError(
            f"The output {path} cannot be written",
            f"its name ends in {path.suffix or 'nothing'}",
            f"Use one of {' '.join(suffixes)}",
        )
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"The output {path} cannot be written",
            f"there is no folder {path.absolute().parent}",
            "Make the folder first or choose another one",
        )


def check_apart(
    written: Sequence[Path | None],
    stacks: Sequence[Path] = (),
    more: Sequence[Path | None] = (),
    angles: Sequence[str | None] = (),
) -> None:
    """Raise `UserError` before the work where an output is an input, or two are one.

    more: what is read beyond the stacks; angles: as given with ``--angles``.
    """
    from napari_inr_tomo import io

    lists = [io.AngleSpec.parse(words).file() for words in angles if words]
    read = [*stacks, *filter(None, [*more, *lists])]
    beside = [file for stack in stacks for file in io.read_beside(stack)]
    io.check_apart(list(filter(None, written)), [*read, *beside])


def check_series_out(path: Path, overwrite: bool) -> None:
    """Check the name of a stack to be written, and what is there already."""
    from napari_inr_tomo.io import SERIES_OUT_SUFFIXES, check_replaced

    check_out(path, (*SERIES_OUT_SUFFIXES, ".tiff", ".hdf5", ".emd"))
    if not overwrite:
        check_replaced(path)


def check_volume_out(path: Path | None) -> None:
    """Check the name of a volume to be written."""
    from napari_inr_tomo.io import VOLUME_SUFFIXES

    check_out(path, (*VOLUME_SUFFIXES, ".tiff", ".rec"))


def check_poses_out(path: Path | None) -> None:
    """Check the name of a table of poses to be written."""
    check_out(path, (".csv",))


def numbers(text: str, what: str) -> list[int]:
    """Return the whole numbers in e.g. ``3,17,20-22``; raises `UserError`."""
    found: list[int] = []
    try:
        for part in filter(None, (p.strip() for p in text.split(","))):
            first, _, last = part.partition("-")
            found.extend(range(int(first), int(last or first) + 1))
    except ValueError:
        raise UserError(
            f"{what} {text!r} is not understood",
            "it must be whole numbers and ranges with commas between them",
            "Write e.g. 3,17,20-22",
        ) from None
    return found
