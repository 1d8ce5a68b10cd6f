"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data beside the checkout; skips where it is absent."""
    folder = Path(os.environ.get("INR_TOMO_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "needle").is_dir():
        pytest.skip(f"the real tilt series are not at {folder}")
    return folder
