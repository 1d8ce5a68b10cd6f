"""What the commands do alike: opening files, saying things, checking names."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from napari_inr_tomo.cli import streams
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import TiltSeries

_RANGE = re.compile(r"(\d{1,18})(?:\s*-\s*(\d{1,18}))?", re.ASCII)
_LONGEST_RANGE = 100_000


def say(text: str) -> None:
    """Print a line of the answer."""
    streams.write(text)


def say_now(text: str) -> None:
    """Print a line of an answer that comes bit by bit."""
    streams.write(text, flush=True)


def note(text: str) -> None:
    """Print a line that is not the answer: progress, notices."""
    streams.write_error(text)


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
    # unlike that of a Path, this is False for names that no disk takes
    if os.path.isdir(path) and not path.name.lower().endswith(".zarr"):
        raise UserError(
            f"The output {path} cannot be written",
            "there is a folder of that name",
            "Choose another name, or remove the folder",
        )
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"The output {path} cannot be written",
            f"there is no folder {path.absolute().parent}",
            "Make the folder first or choose another one",
        )
    try:
        with TemporaryFile(dir=path.absolute().parent):
            pass
    except OSError as error:  # better now than after hours
        raise UserError(
            f"The output {path} cannot be written",
            f"nothing can be put into its folder: {error.strerror or error}",
            "Change the permissions of the folder, or choose another one",
        ) from None


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


def check_series_out(path: Path, overwrite: bool, quick: bool = False) -> None:
    """Check the name of a stack to be written, and what is there already.

    quick: what is beside a new name is left to `write_series`, which knows the content.
    """
    from napari_inr_tomo.io import SERIES_OUT_SUFFIXES, check_replaced

    check_out(path, (*SERIES_OUT_SUFFIXES, ".tiff", ".hdf5", ".emd"))
    if not overwrite and not (quick and not os.path.exists(path)):
        check_replaced(path)


def check_volume_out(path: Path | None) -> None:
    """Check the name of a volume to be written."""
    from napari_inr_tomo.io import VOLUME_SUFFIXES

    check_out(path, (*VOLUME_SUFFIXES, ".tiff", ".rec"))


def check_poses_out(path: Path | None) -> None:
    """Check the name of a table of poses to be written."""
    check_out(path, (".csv",))


def check_device(device: str | None) -> None:
    """Raise `UserError` where a graphics card is asked for and none can be used."""
    if device == "cuda" and not _card_works():
        raise UserError(
            "--device cuda cannot be used",
            "there is no graphics card here that PyTorch can use",
            "Write --device auto or cpu, or install the build of torch for your card",
        )


def note_without_card(device: str) -> None:
    """Say so where settings ask for a graphics card and the processor takes it on."""
    if device == "cuda" and not _card_works():
        note(
            "Warning: the settings ask for cuda, and there is no graphics card here "
            "that PyTorch can use; the processor does the work"
        )


def _card_works() -> bool:
    from napari_inr_tomo.preprocess.arrays import card_works

    return card_works()


def numbers(text: str, what: str) -> list[int]:
    """Return the whole numbers in e.g. ``3,17,20-22``; raises `UserError`."""
    found: list[int] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise _no_numbers(text, what, f"{part!r} is neither")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise _no_numbers(text, what, f"the range {part} runs backwards")
        if last - first >= _LONGEST_RANGE:
            raise _no_numbers(text, what, f"the range {part} is too long")
        found.extend(range(first, last + 1))
    if text and not found:
        raise _no_numbers(text, what, "there is none")
    return found


def _no_numbers(text: str, what: str, why: str) -> UserError:
    return UserError(
        f"{what} {text!r} is not understood",
        f"it must be whole numbers and ranges with commas between them, and {why}",
        "Write e.g. 3,17,20-22",
    )
