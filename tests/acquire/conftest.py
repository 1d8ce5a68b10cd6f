"""Fixtures of the tests of an acquisition."""

from __future__ import annotations

from pathlib import Path

import pytest
from put_tilts import ANGLES

from napari_inr_tomo.simulate import Simulation, simulate_series


@pytest.fixture(scope="module")
def made() -> Simulation:
    return simulate_series("chiral", (32, 36), ANGLES, shift_sigma_px=1, seed=6)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder
