"""Where new runs are kept, and what an old one was made from."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

LONGEST_NAME = 80
"""Letters of a series' name in that of a run folder: Windows has 260 for a path."""


def new_folder(series: Any, method: str) -> Path:
    """Return a new name for a run folder, from series, method and time."""
    name = "".join(c if c.isalnum() else "-" for c in series.name).strip("-")[
        :LONGEST_NAME
    ]
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return runs_home() / f"{name or 'run'}-{method}-{stamp}"


def runs_home() -> Path:
    """Return where new runs are kept: the plugin's setting, or the home folder."""
    from napari.settings import get_plugin_settings

    try:
        chosen = str(get_plugin_settings("napari-inr-tomo").runs.folder)
    except (KeyError, AttributeError):  # not installed as a plugin (a script)
        chosen = ""
    return Path(chosen).expanduser() if chosen else Path.home() / "inr-tomo-runs"


def folder_of_runs(run: Any) -> Path:
    """Return the folder a run (or its queue) is in; of no run, where new ones go."""
    if run is None:
        return runs_home()
    from napari_inr_tomo.runs import is_queue

    parent = Path(run.path).parent
    return parent.parent if is_queue(parent) else parent


def next_folder(folder: Path) -> Path:
    """Return a folder beside this one that does not exist: name-2, name-3 ..."""
    stem, _, number = folder.name.rpartition("-")
    name = stem if stem and number.isdigit() and len(number) < 4 else folder.name
    count = 2
    while (folder.parent / f"{name}-{count}").exists():
        count += 1
    return folder.parent / f"{name}-{count}"


def read_input(path: Path) -> tuple[Any, Any, list[int]]:
    """Return series, settings and frozen tilts of a run (worker thread).

    The series holds the used tilts alone; the frozen ones are counted among them.
    """
    from napari_inr_tomo import runs

    run = runs.RunFolder(path)
    series = run.series()
    frozen = np.isin(run.spec.tilts, run.config.inr.poses.frozen)
    # copies: a folder whose files are mapped cannot be deleted on Windows
    valid = None if series.valid is None else np.array(series.valid)
    series = series.evolve(images=np.array(series.images), valid=valid)
    return series, run.config, np.flatnonzero(frozen).tolist()
