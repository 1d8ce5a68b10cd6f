"""What is done to run folders in a worker thread: written, opened, started, read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_inr_tomo.runs import RunFolder


def create_and_launch(folder: Path, series: Any, config: Any) -> RunFolder:
    """Write the run folder and start its processes (worker thread)."""
    from napari_inr_tomo import runs

    run = runs.create_run(folder, series, config)
    runs.launch(run)
    return run


def relaunch(run: RunFolder) -> RunFolder:
    """Start the processes of a run folder again (worker thread)."""
    from napari_inr_tomo import runs

    runs.launch(run)
    return run


def reopen(folder: Path) -> RunFolder:
    """Open a run folder and start its processes (worker thread)."""
    return relaunch(open_folder(folder))


def open_folder(folder: Path) -> RunFolder:
    """Open and check a run folder (worker thread)."""
    from napari_inr_tomo import runs

    run = runs.RunFolder(folder)
    run.status()
    return run


def read_result(run: RunFolder) -> Any:
    """Read the finished volume of a run (worker thread)."""
    from napari_inr_tomo import io

    return io.read_volume(run.result())
