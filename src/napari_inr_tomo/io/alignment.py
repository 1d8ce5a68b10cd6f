"""Alignments as files of this and other programs, told apart by their suffix."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.aln import read_aln, write_aln
from napari_inr_tomo.io.angles import write_tlt
from napari_inr_tomo.io.border import need_file, reading, to_nm
from napari_inr_tomo.io.poses import read_poses, write_poses
from napari_inr_tomo.io.read import read_images
from napari_inr_tomo.io.record import is_own_xf, read_record, record_in, stack_record
from napari_inr_tomo.io.tomviz import read_tomviz, write_tomviz
from napari_inr_tomo.io.xf import mean_angle, read_xf, wrapped, write_xf
from napari_inr_tomo.types import Alignment, Poses, Step

ALIGNMENT_SUFFIXES = (".csv", ".xf", ".aln", ".json", ".npz", ".tvsm")
"""Alignments that can be read."""
ALIGNMENT_OUT_SUFFIXES = (".csv", ".xf", ".tlt", ".aln", ".json", ".npz")
"""Alignments that can be written; .tlt holds the angles only."""

_ROWS_TURNED = (".tif", ".tiff", ".png")


def read_alignment(path: str | Path, flip_y: bool = False) -> Alignment:
    """Read an alignment: poses.csv, .xf of IMOD, .aln of AreTomo, or one of tomviz.

    flip_y: for tomviz only, see `napari_inr_tomo.io.tomviz`.
    An .xf that `write_series` has written has its tilt axis along x, every other one
    along y; a record in its folder tells.
    Raises `UserError` if the file is of no such kind.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ALIGNMENT_SUFFIXES:
        raise _unknown(path, ALIGNMENT_SUFFIXES)
    with reading(path):
        need_file(path)
    if suffix == ".csv":
        angles, poses, used = read_poses(path)
        return Alignment(poses, angles, used, name=path.name)
    if suffix == ".xf":
        poses = read_xf(path, "x" if is_own_xf(path) else "y")
        return Alignment(poses, name=path.name)
    if suffix == ".aln":
        return read_aln(path)
    return read_tomviz(path, flip_y)


def write_alignment(
    path: str | Path, alignment: Alignment, flip_y: bool = False
) -> tuple[str, ...]:
    """Write an alignment in the format of the suffix.

    .csv holds everything, .xf and .aln image transforms (tilt axis along y), .json and
    .npz the shifts for tomviz, .tlt the angles for IMOD.
    Returns sentences about what the format could not take.
    Raises `UserError` if the suffix is unknown or the alignment has no angles.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in ALIGNMENT_OUT_SUFFIXES:
        raise _unknown(path, ALIGNMENT_OUT_SUFFIXES)
    own = record_in(path.with_suffix(".json"), "tilt series") is not None
    if own and suffix in (".json", ".xf", ".tlt"):
        raise UserError(
            f"{path.name} cannot be written",
            "the file of this name says how the stack beside it was aligned",
            "Choose another name",
        )
    if alignment.angles_deg is None:
        raise UserError(
            f"{path.name} cannot be written",
            "the alignment says nothing about the tilt angles",
            "Use it on a tilt series first",
        )
    if suffix == ".csv":
        used = alignment.used
        used = np.ones(len(alignment), bool) if used is None else used
        write_poses(path, alignment.angles_deg, alignment.poses, used)
    elif suffix == ".xf":
        write_xf(path, alignment.poses)
    elif suffix == ".tlt":
        write_tlt(path, alignment.angles_deg)
    elif suffix == ".aln":
        write_aln(path, alignment)
    else:
        write_tomviz(path, alignment, flip_y)
    return tuple(_lost(path, alignment))


def recorded_alignment(stack: str | Path) -> Alignment:
    """Return the alignment that was applied to a stack when it was written.

    It comes from the record beside the stack and holds every tilt of the original
    series.  Raises `UserError` if there is no such record.
    """
    stack = Path(stack)
    record = read_record(stack, "tilt series")
    elsewhere = record_in(stack.with_suffix(".json"), "tilt series")
    if record is None and elsewhere is not None and stack.is_file():
        record = stack_record(stack, read_images(stack).images)
    if record is None:
        raise UserError(
            f"{stack.name} does not say how it was aligned",
            "there is no record (.json) of this program beside it",
            "Give a stack that 'inr-tomo preprocess' has written, a run folder, or an "
            "alignment file (.csv .xf .aln ...) with --poses",
        )
    try:
        original = record["original"]
        _, rows, columns = (int(n) for n in record["shape"])
        size = record.get("pixel_size_nm")
        return Alignment(
            Poses.from_array(original["poses"]),
            np.asarray(original["angles_deg"], np.float64),
            np.asarray(original["used"], bool),
            None if size is None else to_nm(float(size), "nm"),
            (rows, columns),
            history=tuple(Step.from_json(step) for step in record["history"])[:-1],
            name=stack.name,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"The record beside {stack.name} is damaged",
            f"its poses are not understood ({error})",
            "Write the stack again",
        ) from error


def tomviz_turns_rows(stack: str | Path | None) -> bool:
    """Return whether tomviz would turn over the rows of a stack: TIFF and PNG."""
    if stack is None:
        return False
    path = Path(stack)
    return path.suffix.lower() in _ROWS_TURNED or path.is_dir()


def _lost(path: Path, alignment: Alignment) -> list[str]:
    suffix, poses = path.suffix.lower(), alignment.poses
    lost = []
    if suffix in (".xf", ".aln"):
        if suffix == ".aln" and alignment.used is not None:
            poses = poses.take(alignment.used)
        rest = wrapped(poses.z1_deg + mean_angle(poses.z3_deg))
        if rest.size and np.abs(rest).max() > 0.01:
            lost.append(
                f"{path.name} cannot hold z1, the rotation before the tilt; it differs "
                f"by up to {np.abs(rest).max():.2f} degrees from what the file implies."
            )
    if suffix in (".json", ".npz"):
        if poses.z1_deg.any() or poses.z3_deg.any():
            lost.append(f"{path.name} holds the shifts only, not the tilt axis.")
        apart = poses.as_array()[:, 2:]
        apart = np.abs(apart - np.rint(apart))
        if suffix == ".json" and apart.size and apart.max() > 0:
            lost.append(
                f"{path.name} holds whole pixels: up to {apart.max():.2f} px were "
                "rounded away. An .npz keeps them."
            )
    return lost


def _unknown(path: Path, suffixes: tuple[str, ...]) -> UserError:
    angles = path.suffix.lower() in (".tlt", ".rawtlt")
    return UserError(
        f"{path.name} is not a format for alignments",
        "it holds tilt angles, which go with --angles"
        if angles
        else f"its name ends in {path.suffix or 'nothing'}",
        f"Use one of {' '.join(suffixes)}",
    )
