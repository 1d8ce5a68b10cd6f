"""Which files writing would replace: those that are read, and those of others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import reading
from napari_inr_tomo.io.folder import image_names
from napari_inr_tomo.io.poses import is_poses
from napari_inr_tomo.io.record import read_record
from napari_inr_tomo.io.sidecar import angle_files
from napari_inr_tomo.io.valid import VALID_SUFFIX

_BESIDE = (".tlt", ".xf", ".json", VALID_SUFFIX)


def series_files(path: str | Path) -> list[Path]:
    """Return the files that `write_series` may write for a stack, the stack first."""
    path = Path(path)
    return [path, *(path.with_suffix(end) for end in _BESIDE)]


def other_files(path: Path) -> list[str]:
    """Return the names of files that writing a stack would replace and not its own.

    They are its own where the record (.json) beside it is one of this program and names
    it.
    """
    if read_record(path, "tilt series") is not None:
        return []
    return [file.name for file in series_files(path) if os.path.exists(file)]


def check_replaced(path: Path, asked: bool = False) -> None:
    """Raise `UserError` where writing a stack would replace `other_files`.

    asked: the stack itself may be replaced, for somebody has said so.
    """
    others = [name for name in other_files(path) if not asked or name != path.name]
    if others:
        raise UserError(
            f"{path.name} cannot be written",
            f"it would replace {', '.join(others)}, and no record (.json) of this "
            f"program beside it says that they are of an earlier {path.name}",
            "Choose another name, or move them away; on the command line, --overwrite "
            "replaces them",
        )


def read_beside(stack: Path) -> list[Path]:
    """Return the files beside a stack that reading it reads: angles, our record.

    A poses.csv is left out, for it is an output as well.
    """
    with reading(stack):
        found = [*angle_files(stack), stack.with_suffix(".json")]
        return [file for file in found if file.is_file() and not is_poses(file)]


def check_apart(written: Sequence[Path], read: Sequence[Path]) -> None:
    """Raise `UserError` where a file to be written is read as well, or written twice.

    Files are the same where they are so on the disk, whatever links lead there.
    read: files, folders of images and run folders.
    """
    for number, path in enumerate(written):
        if any(_same(path, other) for other in written[:number]):
            raise UserError(
                f"{path.name} cannot be written",
                "two outputs have this name, and one would replace the other",
                "Choose another name for one of them",
            )
    for source in read:
        files = list(_files_of(source))
        for path in written:
            if any(_same(path, file) for file in files):
                raise UserError(
                    f"{path.name} cannot be written",
                    f"it is read as well, and would replace what is in {source}",
                    "Choose another name for the output",
                )


def _files_of(source: Path) -> Iterator[Path]:
    """Yield the files that are read where ``source`` is."""
    yield source
    if not os.path.isdir(source):
        return
    if os.path.isfile(source / "run.json"):
        yield from (source / name for name in ("input.npy", "valid.npy"))
        yield from source.glob("*/**/*")
        return
    try:
        yield from (source / name for name in image_names(source))
    except UserError:  # whoever reads it says what is wrong with it
        return


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them is not there
        return one.absolute().resolve() == other.absolute().resolve()
