"""Starting the process that watches, from a window that must not do it itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from napari_inr_tomo.acquire.folder import AcquisitionFolder
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs.launching import environment, own_session


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
    command = [sys.executable, "-m", "napari_inr_tomo.cli", "acquire", *options]
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.stop_request.unlink(missing_ok=True)
        with open(folder.log, "ab") as log:
            return subprocess.Popen(
                [*command, "-o", str(folder.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(1),
                **own_session(),
            )
    except OSError as error:
        raise UserError(
            f"The folder {folder.path} cannot be written",
            error.strerror or str(error),
            "Choose another folder for the results",
        ) from None
