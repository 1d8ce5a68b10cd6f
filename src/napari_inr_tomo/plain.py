"""Folders that are not as they should be: from strangers, or gone.

A link in a run folder could lead the workers to write, and a viewer to read, anywhere
else; a pipe would keep them waiting for ever.  In a folder that was deleted nothing is
kept, and nobody can ask for an end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_inr_tomo.errors import UserError


def only_plain(folder: Path, files: Sequence[str], folders: Sequence[str]) -> None:
    """Raise `UserError` where an entry of these names, or in them, is something else.

    The folder itself may be reached through a link, and further entries beside ours are
    none of our business.
    """
    for path in _odd(folder, files, folders):
        raise UserError(
            f"The run folder {folder} is refused",
            f"{path} is a link, a pipe or not what it should be",
            "Use run folders only as this program wrote them",
        )


def still_there(folder: Path) -> None:
    """Raise `UserError` where a run folder has gone; cheap.

    A disk that cannot be asked just now may be back in a moment.
    """
    try:
        folder.stat()
    except FileNotFoundError:
        raise UserError(
            f"The run folder {folder} is not there any more",
            "it was deleted, renamed or moved",
            "Open it where it is now, or start the reconstruction again",
        ) from None
    except OSError:
        return


def _odd(folder: Path, files: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    for entry in _entries(folder):
        if entry.name in files and not entry.is_file(follow_symlinks=False):
            yield entry.name
        if entry.name not in folders:
            continue
        if not entry.is_dir(follow_symlinks=False):
            yield entry.name
            continue
        for inner in _entries(Path(entry.path)):
            kinds = (inner.is_file, inner.is_dir)
            if not any(kind(follow_symlinks=False) for kind in kinds):
                if os.path.lexists(inner.path):  # else just replaced by a writer
                    yield f"{entry.name}/{inner.name}"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
