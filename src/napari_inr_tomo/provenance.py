"""When a file was written, and by which versions of what."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from napari_inr_tomo import __version__


def now() -> str:
    """Return the time as ISO 8601 text, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions a result depends on; imports none of them."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "not installed"
    python = platform.python_version()
    return {"napari_inr_tomo": __version__, "python": python, "torch": torch}
