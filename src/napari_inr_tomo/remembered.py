"""What was found out about this computer, in small files that all runs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_inr_tomo import atomic

KEPT = 200
"""So many findings are kept in a file."""


def file(name: str) -> Path:
    """Return the path of a file in the user's folder for what can be made again."""
    import pooch

    return Path(pooch.os_cache("napari-inr-tomo")) / name


def recall(path: Path) -> dict[str, Any]:
    """Return the findings in a file by their names; none where it cannot be read."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def keep(path: Path, name: str, value: Any) -> None:
    """Add a finding, the oldest beyond `KEPT` go; a full disk costs the finding."""
    kept = recall(path)
    kept.pop(name, None)
    kept[name] = value
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(path, dict(list(kept.items())[-KEPT:]))
    except OSError:  # it is found out again next time
        return
