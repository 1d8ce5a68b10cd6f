"""A folder for a tour's files whose name in a picture says nothing of the machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workplace() -> Iterator[Path]:
    """Give a new folder that the window shows as ``~/tomography``, until the end."""
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        place = Path(home).resolve() / "tomography"
        place.mkdir()
        os.environ["HOME"] = str(place.parent)
        try:
            yield place
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before
