"""Starting the process that watches, from a window that must not do it itself."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from napari_inr_tomo.acquire.folder import AcquisitionFolder
from napari_inr_tomo.runs.launching import start_command


def start_process(
    folder: AcquisitionFolder, options: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start ``inr-tomo acquire`` in a session of its own, its output in a file.

    options: the words after ``acquire``, without ``-o``.  Raises `UserError` where
    another process watches into this folder already or it cannot be written to.
    """
    with folder.prepared():
        words = ["acquire", *options, "-o", str(folder.path)]
        return start_command(words, folder.log)
