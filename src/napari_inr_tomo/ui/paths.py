"""Paths as the window shows them: short, for its docks are narrow."""

from __future__ import annotations

import os
from pathlib import Path


def shown(path: str | Path) -> str:
    """Return a path with ``~`` for the home folder; whole on Windows, which has no ~.

    `pathlib.Path.expanduser` takes it back.
    """
    path = Path(path)
    home = Path.home()
    if os.name == "nt" or not path.is_absolute() or not path.is_relative_to(home):
        return str(path)
    return str("~" / path.relative_to(home))
