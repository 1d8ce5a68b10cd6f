"""Copying files from one run folder into another."""

from __future__ import annotations

import shutil
from pathlib import Path

from napari_inr_tomo import atomic
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import RunPaths


def copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with atomic.replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def copy_start(source: RunPaths, target: RunPaths) -> None:
    """Copy the folder ``start`` of a run, where it has one."""
    for path in sorted(source.start.glob("step-*")):
        target.start.mkdir(exist_ok=True)
        copy(path, target.start / path.name)


def copy_checkpoint(source: RunPaths, target: RunPaths) -> None:
    """Copy the newest whole checkpoint of a run into the folder ``start`` of another.

    Raises `UserError` where there is none; a run that goes on may just replace one.
    """
    target.start.mkdir(exist_ok=True)
    for path in sorted(source.checkpoints.glob("step-*.npz"), reverse=True):
        digest = path.with_suffix(".sha256")
        here = target.start / path.name
        try:
            wanted = digest.read_text(encoding="ascii").strip()
            copy(path, here)
            copy(digest, target.start / digest.name)
        except OSError:
            continue
        if atomic.sha256(here) == wanted:
            return
        here.unlink(missing_ok=True)
        (target.start / digest.name).unlink(missing_ok=True)
    raise UserError(
        f"No run can go on from {source.folder}",
        "it has no checkpoint",
        "Give an INR run that was finished, stopped or is well under way",
    )
