"""The JSON record that this program writes beside a stack or a volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_inr_tomo.atomic import read_json

_LARGEST = 50_000_000


def record_in(file: Path, kind: str) -> dict[str, Any] | None:
    """Return the record in a JSON file if it is one of this kind."""
    try:
        value = read_json(file, _LARGEST)
    except (OSError, ValueError):
        return None
    if not isinstance(value, dict) or value.get("kind") != kind:
        return None
    return value


def read_record(path: Path, kind: str) -> dict[str, Any] | None:
    """Return the record beside ``path`` if it is of this kind and file."""
    record = record_in(path.with_suffix(".json"), kind)
    return record if record is not None and record.get("file") == path.name else None
