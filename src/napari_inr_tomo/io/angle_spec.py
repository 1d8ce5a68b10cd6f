"""Tilt angles as they are asked for: where from, and what to change about the list.

    -60:60:2                     a range, its stop included
    -60::2                       start and step; the stack says how many
    series.tlt, stack.mrc        a text file; the metadata or side-car of another stack
    names, names:REGEX           the names of the files in a folder
    a list, or lines pasted from a spreadsheet

each with any of these words after it, done from left to right:

    +radians      they are radians         +negated      turn all signs round
    +reversed     last first               +sorted       rising
    +symmetric    dose-symmetric: 0 3 -3 -6 6 ...   +alternating   0 3 -3 6 -6 ...
    +columnN      column N of a table      +comma        decimal commas

The words are about the list, never about the images: "+sorted" is for a stack that is
sorted by angle with a list that is in the order of acquisition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angles import (
    Angles,
    parse_angles,
    resolve_angles,
)
from napari_inr_tomo.io.border import read_text
from napari_inr_tomo.types import FloatArray

_WORD = r"\+(?:radians|negated|reversed|sorted|symmetric|alternating|comma|column\d+)"
_SPEC = re.compile(rf"(?P<source>.*?)(?P<words>(?:{_WORD})*)\s*", re.S)
_OPEN_RANGE = re.compile(r"\s*([+-]?[\d.]+)\s*:\s*:\s*([+-]?[\d.]+)\s*")
_TEXT_SUFFIXES = (".rawtlt", ".tlt", ".csv", ".txt", ".tsv", "")
_LONGEST_PATH = 1000


@dataclass(frozen=True)
class AngleSpec:
    """A source of angles and the words after it."""

    source: str
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AngleSpec:
        """Split the words off; a file of just this name goes first."""
        if _is_file(text):
            return cls(text)
        found = _SPEC.fullmatch(text)
        assert found is not None  # noqa: S101 - the pattern takes any text
        words = tuple(word for word in found["words"].split("+") if word)
        return cls(found["source"].strip(), words)

    def file(self) -> Path | None:
        """Return the file that holds the angles, None where none does."""
        return Path(self.source).expanduser() if _is_file(self.source) else None

    def text(self) -> str:
        """Return what `parse` understands."""
        return "+".join([self.source, *self.words])


def given_angles(
    angles: Angles, count: int | None = None, files: Sequence[str] = ()
) -> tuple[FloatArray, str]:
    """Return angles given by hand and words that say where they came from.

    angles: as above, or numbers in degrees; count: number of images, for "start::step";
    files: their names in the order of the images, for "names".
    Returns (tilt,) float64 degrees.  Raises `UserError` if there are none.
    """
    if not isinstance(angles, str | Path):
        return resolve_angles(angles)
    spec = AngleSpec.parse(str(angles))
    values, source = _from_source(spec, count, files)
    for word in spec.words:
        if word in _CHANGES:
            values = _CHANGES[word](values)
    if spec.words:
        source += f" ({', '.join(spec.words)})"
    return values, source


def angles_by_name(names: Sequence[str], pattern: str = "") -> FloatArray:
    """Return the angles in file names, (file,) degrees in the order given.

    pattern: a regular expression whose first group is the angle: a number, with n or m
    for minus and p for plus allowed before it; empty: the usual ways of writing it.
    Raises `UserError` if a name does not match, or the pattern is none.
    """
    if not pattern:
        from napari_inr_tomo.io.folder import angles_from_names

        found = angles_from_names([Path(name).stem for name in names])
        if found is None:
            raise UserError(
                "The file names do not plainly hold tilt angles",
                f"the first is {names[0]}" if names else "there are no files",
                "Give a regular expression with the angle in its first group, such as "
                r"names:_(-?\d+\.\d)deg",
            )
        return found
    try:
        search = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"The pattern {pattern!r} is not understood",
            f"it is no regular expression ({error})",
            r"Write e.g. _(-?\d+\.\d)deg",
        ) from error
    if search.groups < 1:
        raise UserError(
            f"The pattern {pattern!r} has no group",
            "the part that is the angle must stand in brackets",
            r"Write e.g. _(-?\d+\.\d)deg",
        )
    return np.array([_by_pattern(search, name) for name in names], np.float64)


def _by_pattern(search: re.Pattern[str], name: str) -> float:
    match = search.search(name)
    text = "" if match is None else (match.group(1) or "")
    plain = re.sub(r"^[nm]", "-", text.replace("\u2212", "-"), flags=re.I)
    plain = re.sub(r"^p", "+", plain, flags=re.I).replace(",", ".")
    try:
        return float(plain)
    except ValueError:
        raise UserError(
            f"There is no tilt angle in the name {name}",
            f"the pattern {search.pattern!r} finds "
            + ("nothing" if match is None else f"{text!r}, which is no number"),
            "Change the pattern, or take files that do not belong to the series out "
            "of the folder",
        ) from None


def _from_source(
    spec: AngleSpec, count: int | None, files: Sequence[str]
) -> tuple[FloatArray, str]:
    source = spec.source
    column, comma = _column(spec.words), "comma" in spec.words
    if not source:
        raise UserError(
            "No angles were given",
            "there is nothing to read them from",
            "Give start:stop:step, a list of angles, or an angle file",
        )
    if source == "names" or source.startswith("names:"):
        if not files:
            raise UserError(
                "There are no file names to take the angles from",
                "the images are not in a folder, one file per tilt",
                "Give the angles as start:stop:step, or as a file",
            )
        return angles_by_name(files, source[len("names:") :]), "file names"
    open_range = _OPEN_RANGE.fullmatch(source.replace("\u2212", "-"))
    if open_range:
        start, step = open_range.groups()
        return _start_step(start, step, count), f"given as {source}"
    if _is_file(source):
        path = Path(source).expanduser()
        if _is_stack(path):
            return _of_stack(path)
        if path.suffix.lower() in _TEXT_SUFFIXES and (column or comma):
            return parse_angles(read_text(path), column, comma), (
                f"given file {path.name}"
            )
        return resolve_angles(path)
    if "\n" in source or "\t" in source or comma or len(source) > _LONGEST_PATH:
        values = parse_angles(source, column, comma)
        return values, f"given as a list of {len(values)}"
    return resolve_angles(source)


def _start_step(start: str, step: str, count: int | None) -> FloatArray:
    if count is None:
        raise UserError(
            f"The range {start}::{step} has no end",
            "how many images there are is not known here",
            "Write start:stop:step",
        )
    try:
        values = float(start) + float(step) * np.arange(count)
    except ValueError:
        raise UserError(
            f"The range {start}::{step} is not understood",
            "start or step is no number",
            "Write e.g. -60::2",
        ) from None
    return np.asarray(values.round(9), np.float64)


def _of_stack(path: Path) -> tuple[FloatArray, str]:
    from napari_inr_tomo.io.read import read_images

    stack = read_images(path)
    if stack.angles_deg is None:
        raise UserError(
            f"{path.name} does not say its tilt angles",
            "neither its metadata nor a side-car beside it holds them",
            "Give the angles as start:stop:step, or as a file",
        )
    return stack.angles_deg, f"{path.name}, {stack.angle_source}"


def _column(words: tuple[str, ...]) -> int | None:
    numbers = [int(word[6:]) for word in words if word.startswith("column")]
    return numbers[-1] if numbers else None


def _is_stack(path: Path) -> bool:
    from napari_inr_tomo.io.read import SERIES_SUFFIXES

    return path.suffix.lower() in SERIES_SUFFIXES


def _is_file(text: str) -> bool:
    if "\n" in text or not 0 < len(text) <= _LONGEST_PATH:
        return False
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def _outwards(angles: FloatArray, swap: bool) -> FloatArray:
    """Return angles from the one nearest 0 outwards, to both sides in turn.

    swap: the side that comes first changes with every step (Hagen, Wan and Briggs
    2017); else the positive side is always first.
    """
    ordered = np.sort(angles)
    middle = int(np.argmin(np.abs(ordered)))
    up, down = ordered[middle + 1 :], ordered[:middle][::-1]
    result = [ordered[middle]]
    for k in range(max(len(up), len(down))):
        pair = [side[k] for side in (up, down) if k < len(side)]
        result += pair[::-1] if swap and k % 2 else pair
    return np.asarray(result, np.float64)


_CHANGES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "radians": lambda angles: np.asarray(np.rad2deg(angles).round(9)),
    "negated": lambda angles: -angles + 0.0,
    "reversed": lambda angles: angles[::-1].copy(),
    "sorted": lambda angles: np.asarray(np.sort(angles)),
    "symmetric": lambda angles: _outwards(angles, swap=True),
    "alternating": lambda angles: _outwards(angles, swap=False),
}
