"""An acquisition that meets a full disk, or is ended and taken up again."""

from __future__ import annotations

from pathlib import Path

import pytest
from put_tilts import PATTERN, looked, put

from napari_inr_tomo.acquire import Acquisition, AcquisitionFolder, Settings, run
from napari_inr_tomo.simulate import Simulation


def test_one_that_is_taken_up_again_leaves_nothing_of_before(
    raw: Path, tmp_path: Path, made: Simulation
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    settings = Settings(raw, pattern=PATTERN, quick="fbp")
    folder.path.mkdir()
    first = Acquisition(settings, folder)
    for tilt in range(5):
        put(raw, made.series, tilt)
        looked(first)
    assert folder.state().refresh > 2
    looked(Acquisition(settings, folder))
    assert folder.state().refresh == 1
    left = sorted(path.name for path in folder.path.glob("*.npz"))
    assert left == ["series-00001.npz", "volume-00001.npz"]


def test_a_full_disk_is_said_once_and_costs_no_tilt(
    raw: Path, tmp_path: Path, made: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = AcquisitionFolder(tmp_path / "out")
    looks = 0

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def enough() -> bool:
        nonlocal looks
        looks += 1
        if looks == 40:
            monkeypatch.undo()
        return looks > 80

    put(raw, made.series, 0)
    monkeypatch.setattr(AcquisitionFolder, "write_series", full)
    settings = Settings(raw, pattern=PATTERN, quick=None)
    lines = list(run(settings, folder, enough, 0.05))
    assert len(lines) == 3
    assert "cannot be written: No space left" in lines[0]
    assert lines[1].startswith("tilt 1: -50 degrees")
    assert len(folder.state().tilts) == 1
