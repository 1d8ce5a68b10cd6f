"""Alignments in and out on the command line: files of other programs, other signals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_inr_tomo.cli import common
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import Alignment, TiltSeries

PosesIn = Annotated[
    Path | None,
    typer.Option(
        "--poses",
        metavar="FILE",
        help="Start from this alignment of the stack: poses.csv, .xf (IMOD), .aln "
        "(AreTomo), .json .npz .tvsm (tomviz).",
    ),
]
PosesFrom = Annotated[
    Path | None,
    typer.Option(
        "--poses-from",
        metavar="STACK|RUN",
        help="Use the alignment of another signal of the same field, scaled to these "
        "pixels: a stack this program aligned, or a run folder.",
    ),
]
ExportPoses = Annotated[
    Path | None,
    typer.Option(
        "--export-poses",
        metavar="FILE",
        help="Also write the alignment, in pixels of STACK: .csv .xf .tlt .aln .json "
        ".npz",
    ),
]
FlipY = Annotated[
    bool | None,
    typer.Option(
        "--flip-y/--no-flip-y",
        help="Whether tomviz counts y from the last row.  [default: for TIFF and PNG]",
    ),
]


def check_export(path: Path | None, output: Path) -> None:
    """Raise `UserError` before the work where an alignment cannot be written."""
    from napari_inr_tomo.io import ALIGNMENT_OUT_SUFFIXES, series_files

    common.check_out(path, ALIGNMENT_OUT_SUFFIXES)
    beside = series_files(output)[1:]
    if path is not None and path.absolute() in [file.absolute() for file in beside]:
        raise UserError(
            f"The alignment cannot be written to {path}",
            f"a file of this name belongs to {output.name}",
            "Choose another name",
        )


def aligned_before(
    series: TiltSeries,
    stack: Path,
    poses: Path | None,
    other: Path | None,
    flip_y: bool | None,
) -> TiltSeries:
    """Return the series with the poses of ``--poses`` or ``--poses-from``."""
    from napari_inr_tomo.align import use_alignment

    if poses is not None and other is not None:
        raise UserError(
            "--poses and --poses-from cannot be used together",
            "each of them gives the poses",
            "Give one of the two",
        )
    if poses is not None:
        found = file_alignment(poses, stack, flip_y)
        return use_alignment(series, found, same_pixels=True)
    if other is not None:
        same = _run_of(other, stack)
        return use_alignment(series, alignment_of(other), same_pixels=same)
    return series


def _run_of(source: Path, stack: Path) -> bool:
    """Return whether this is the folder of a run on the stack, by the stack's name."""
    if not (source / "run.json").is_file():
        return False
    from napari_inr_tomo.runs import RunFolder

    return RunFolder(source).spec.source_name == stack.name


def file_alignment(file: Path, stack: Path, flip_y: bool | None = None) -> Alignment:
    """Read an alignment file that belongs to a stack."""
    from napari_inr_tomo.io import read_alignment, tomviz_turns_rows

    turned = tomviz_turns_rows(stack) if flip_y is None else flip_y
    return read_alignment(file, turned)


def alignment_of(source: Path) -> Alignment:
    """Return the alignment of a run folder, or of a stack with its record."""
    from napari_inr_tomo.io import (
        ALIGNMENT_SUFFIXES,
        read_alignment,
        recorded_alignment,
    )

    if (source / "run.json").is_file():
        from napari_inr_tomo.runs import RunFolder
        from napari_inr_tomo.types import Alignment

        run = RunFolder(source)
        angles, poses, used = run.poses()
        spec = run.spec
        return Alignment(
            poses,
            angles,
            used,
            spec.pixel_size_nm,
            spec.shape[1:],
            history=spec.history,
            name=source.name,
        )
    if source.suffix.lower() in ALIGNMENT_SUFFIXES:
        return read_alignment(source)
    return recorded_alignment(source)


def export(
    path: Path,
    stack: Path,
    before: TiltSeries,
    reduced: TiltSeries,
    done: TiltSeries,
    factor: float,
    flip_y: bool | None = None,
) -> None:
    """Write the alignment that was found, in the pixels of the stack as it is.

    before, reduced: the series before and after it was made smaller by ``factor``;
    done: the aligned one.
    """
    from napari_inr_tomo.io import tomviz_turns_rows, write_alignment
    from napari_inr_tomo.types import Alignment, Poses

    moved = done.start_poses.as_array() - reduced.start_poses.as_array()
    table = done.start_poses.as_array()
    table[:, 2:] = before.start_poses.as_array()[:, 2:] + factor * moved[:, 2:]
    whole = replace(Alignment.of(before), poses=Poses.from_array(table), used=done.mask)
    turned = tomviz_turns_rows(stack) if flip_y is None else flip_y
    for sentence in write_alignment(path, whole, turned):
        common.note(f"Note: {sentence}")
