"""Files beside a stack: angles, pixel size, the nominal tilt axis, our own record."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angles import (
    ANGLE_SUFFIXES,
    check_count,
    read_angles,
)
from napari_inr_tomo.io.border import read_text, to_nm
from napari_inr_tomo.io.mdoc import Mdoc, read_mdoc
from napari_inr_tomo.io.record import is_own_xf, stack_record
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.io.valid import VALID_SUFFIX, read_valid
from napari_inr_tomo.io.xf import axis_on_screen, read_xf
from napari_inr_tomo.types import FloatArray, Poses, Step

# files that may be something else altogether: a log, a table of results
_MAYBE = (".csv", ".txt")
_SAME_ANGLE_DEG = 0.02


def angle_files(path: Path) -> list[Path]:
    """Return the angle files beside a stack or a folder, the one to use first."""
    suffixes = list(ANGLE_SUFFIXES)
    if path.suffix.lower() == ".ali":  # an aligned stack goes with the aligned angles
        suffixes = [".tlt", ".rawtlt", *suffixes[2:]]
    found: list[Path] = []
    for suffix in suffixes:
        names = [path.parent / (path.name + suffix)]
        if path.is_dir():
            names += sorted(path.glob(f"*{suffix}"))
        else:
            names.append(path.with_suffix(suffix))
        found += [name for name in names if name.is_file() and name not in found]
    return found


def add_sidecars(stack: ImageStack, path: Path) -> ImageStack:
    """Return the stack with what the files beside it say.

    An angle file of the wrong length, or one that cannot be read, leaves the angles
    unknown and a doubt that says why; it never falls through to another one.
    Beside a link without files of its own, those beside its target count.
    """
    if path.is_symlink() and not _has_sidecars(path):
        path = path.resolve()
    notes = _Notes()
    record = stack_record(path, stack.images)
    mdoc = _beside_mdoc(path)
    if mdoc is not None:
        if mdoc.axis_deg is not None:
            notes.axis.append(axis_fact(mdoc.name, mdoc.axis_deg, stack.rows_up))
        if stack.pixel_size_nm is None and mdoc.pixel_size_nm is not None:
            stack = stack.evolve(pixel_size_nm=mdoc.pixel_size_nm)
            notes.facts.append(f"The pixel size comes from {mdoc.name}.")
    if stack.angles_deg is None:
        stack = _add_angles(stack, path, record is not None, notes.angles)
    stack = _add_edf(stack, path, notes)
    _add_xf(path, stack, notes)
    if record is not None:
        stack = _add_record(stack, record, path, notes)
    elif path.suffix.lower() == ".ali":
        notes.facts.append(
            "An .ali file of IMOD is aligned already: its tilt axis runs along the "
            "columns, 90 degrees from the horizontal. That is not applied."
        )
    else:
        notes.facts += notes.axis
    return stack.noting(notes.doubts, notes.facts, notes.angles)


def _has_sidecars(path: Path) -> bool:
    others = (path.with_suffix(suffix) for suffix in (".json", ".edf", ".xf"))
    return bool(angle_files(path)) or any(other.is_file() for other in others)


@dataclass
class _Notes:
    """What there is to say about the files beside a stack."""

    doubts: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    angles: list[str] = field(default_factory=list)
    axis: list[str] = field(default_factory=list)


def axis_fact(name: str, imod_deg: float, rows_up: bool) -> str:
    """Return the sentence about a nominal tilt axis."""
    screen = axis_on_screen(imod_deg, rows_up)
    return (
        f"{name} says the tilt axis is at {imod_deg:g} degrees (IMOD's sense, from the "
        f"vertical): on screen {screen:.4g} degrees from the horizontal, clockwise "
        "positive. It is not applied."
    )


def _beside_mdoc(path: Path) -> Mdoc | None:
    """Return the .mdoc beside a stack; `_add_angles` says if it is garbled."""
    for beside in angle_files(path):
        if beside.suffix.lower() == ".mdoc":
            try:
                return read_mdoc(beside)
            except UserError:
                return None
    return None


def _add_angles(
    stack: ImageStack, path: Path, own: bool, doubts: list[str]
) -> ImageStack:
    files = angle_files(path)
    if own:  # the .tlt was written with this stack; others may be older
        files.sort(key=lambda file: file.suffix.lower() != ".tlt")
    for number, file in enumerate(files):
        try:
            angles = read_angles(file)
            check_count(len(stack), angles, f"side-car {file.name}", "")
        except UserError as error:
            if file.suffix.lower() in _MAYBE:
                doubts.append(f"{file.name} beside it was not used for angles: {error}")
                continue
            doubts.append(f"The angles beside it cannot be used: {error}")
            return stack
        if file.suffix.lower() == ".mdoc":
            doubts += read_mdoc(file).notices
        _compare(angles, files[number + 1 :], file, doubts)
        return stack.evolve(angles_deg=angles, angle_source=f"side-car {file.name}")
    return stack


def _compare(
    angles: FloatArray, others: list[Path], used: Path, doubts: list[str]
) -> None:
    """Say so where another angle file contradicts the one that is used."""
    for other in others:
        try:
            values = read_angles(other)
        except UserError:
            continue
        if values.shape != angles.shape:
            doubts.append(
                f"{other.name} also exists and holds {values.size} angles; "
                f"{used.name} is used."
            )
            continue
        apart = float(np.abs(values - angles).max())
        if apart > 0.02:
            doubts.append(
                f"{other.name} also exists and differs by up to {apart:.3g} degrees; "
                f"{used.name} is used."
            )


def _add_edf(stack: ImageStack, path: Path, notes: _Notes) -> ImageStack:
    """Take the pixel size and say the tilt axis and excluded views of IMOD's .edf."""
    beside = path.with_suffix(".edf")
    if not beside.is_file():
        return stack
    try:
        text = read_text(beside)
    except UserError:
        return stack
    number = r"([+-]?\d+(?:\.\d+)?)\s*$"
    size = re.search(rf"^Setup\.PixelSize={number}", text, re.M)
    axis = re.search(rf"^Setup\.ImageRotationA={number}", text, re.M)
    views = re.search(r"^Setup\.AxisA\.ExcludeProjections=(\S+)\s*$", text, re.M)
    if size and stack.pixel_size_nm is None:
        stack = stack.evolve(pixel_size_nm=to_nm(float(size.group(1)), "nm"))
        notes.facts.append(f"The pixel size comes from {beside.name}.")
    if axis:
        notes.axis.append(axis_fact(beside.name, float(axis.group(1)), stack.rows_up))
    if views:
        notes.facts.append(
            f"{beside.name} excludes the views {views.group(1)} (counted from 1). They "
            "are kept here."
        )
    return stack


def _add_xf(path: Path, stack: ImageStack, notes: _Notes) -> None:
    beside = path.with_suffix(".xf")
    if not beside.is_file():
        return
    try:
        poses = read_xf(beside, "x" if is_own_xf(beside) else "y")
    except UserError as error:
        notes.doubts.append(f"{beside.name} beside it cannot be used: {error}")
        return
    if len(poses) != len(stack):
        notes.doubts.append(
            f"{beside.name} beside it holds {len(poses)} transforms for {len(stack)} "
            "images."
        )
        return
    axis = (-float(poses.z1_deg[0]) + 90) % 360 - 180
    notes.axis.append(axis_fact(beside.name, round(axis, 2), stack.rows_up))


def _add_record(
    stack: ImageStack, record: dict[str, Any], path: Path, notes: _Notes
) -> ImageStack:
    """Take the history and the remaining poses from a record `write_series` left."""
    try:
        angles = np.asarray(record["angles_deg"], np.float64)
        if list(record["shape"]) != list(stack.images.shape):
            raise ValueError("its shape is another one")
        poses = Poses.from_array(record["remaining_poses"])
        if len(poses) != len(stack) or angles.shape != (len(stack),):
            raise ValueError("its length is another one")
        _check_renamed(record, path, angles, stack.angles_deg)
        history = tuple(Step.from_json(step) for step in record["history"])
        moved = _was_moved(record)
        group = np.asarray(record.get("group", np.zeros(len(stack))), np.int64)
        if group.shape != (len(stack),):
            raise ValueError("its list of passes has another length")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        notes.doubts.append(
            f"{path.with_suffix('.json').name} does not belong to this stack and was "
            f"not used ({error})."
        )
        return stack
    if stack.angles_deg is None:
        name = path.with_suffix(".json").name
        stack = stack.evolve(angles_deg=angles, angle_source=f"record {name}")
    size = record.get("pixel_size_nm")
    if stack.pixel_size_nm is None and isinstance(size, int | float):
        stack = stack.evolve(pixel_size_nm=to_nm(size, "nm"))
    if record["file"] != path.name:
        name = path.with_suffix(".json").name
        notes.facts.append(
            f"{name} was written for {record['file']}; it fits the images and is used."
        )
    if moved:
        notes.facts.append(
            "This stack was written aligned: its .xf has been applied already."
        )
    stack = stack.evolve(poses=poses, history=history, group=group)
    return _add_valid(stack, path, notes) if "valid" in record else stack


def _check_renamed(
    record: dict[str, Any], path: Path, angles: FloatArray, known: FloatArray | None
) -> None:
    """Raise ValueError where a record without a digest is of a stack of other tilts."""
    if record["file"] == path.name or "pixels_sha256" in record or known is None:
        return
    if np.abs(known - angles).max() > _SAME_ANGLE_DEG:
        raise ValueError(f"it is of {record['file']}, whose angles are others")


def _add_valid(stack: ImageStack, path: Path, notes: _Notes) -> ImageStack:
    """Take the mask that a record names; it has the name of the stack."""
    beside = path.with_suffix(VALID_SUFFIX)
    try:
        valid = read_valid(beside, stack.images.shape)
    except UserError as error:
        notes.doubts.append(f"Masked pixels count as all others do: {error}")
        return stack
    share = 1 - float(valid.mean())
    notes.facts.append(
        f"{beside.name} masks {share:.2%} of the pixels: they are ignored in the "
        "reconstruction."
    )
    return stack.evolve(valid=valid)


def _was_moved(record: dict[str, Any]) -> bool:
    """Return whether the images were moved by their poses when they were written."""
    original = record.get("original")
    poses = original.get("poses") if isinstance(original, dict) else None
    return poses is None or bool(np.any(np.asarray(poses, np.float64)))
