"""Starting the process that watches, from a window that must not do it itself."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from napari_inr_tomo.acquire.folder import AcquisitionFolder
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs.launching import start_command


def start_process(
    folder: AcquisitionFolder, options: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start ``inr-tomo acquire`` in a session of its own, its output in a file.

    options: the words after ``acquire``, without ``-o``.  Raises `UserError` where
    another process watches into this folder already or it cannot be written to.
    """
    if folder.alive:
        raise UserError(
            f"The folder {folder.path} is in use",
            "another acquisition writes to it",
            "Stop that one, or choose another folder",
        )
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.stop_request.unlink(missing_ok=True)
        words = ["acquire", *options, "-o", str(folder.path)]
        return start_command(words, folder.log)
    except OSError as error:
        raise UserError(
            f"The folder {folder.path} cannot be written",
            error.strerror or str(error),
            "Choose another folder for the results",
        ) from None
