"""Where new runs are kept."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any


def new_folder(series: Any, method: str) -> Path:
    """Return a new name for a run folder, from series, method and time."""
    name = "".join(c if c.isalnum() else "-" for c in series.name).strip("-")
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
