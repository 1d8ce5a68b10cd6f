"""The runs of the INR during an acquisition, without anybody who reconstructs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo import runs
from napari_inr_tomo.acquire.network import Network
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.events import Finished
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.types import TiltSeries

CONFIG = ReconstructionConfig.from_preset("preview")


@pytest.fixture
def series() -> TiltSeries:
    rng = np.random.default_rng(5)
    return TiltSeries(rng.random((7, 9, 13), np.float32), np.linspace(-60, 60, 7))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that were launched; nothing works on them."""
    names: list[str] = []
    monkeypatch.setattr(runs, "launch", lambda run: names.append(run.path.name))
    return names


def finish(run: runs.RunFolder) -> None:
    writer = EventWriter(run.paths.events)
    writer.write(Finished(step=1, elapsed_s=1))
    writer.close()


def test_from_a_run_that_is_no_start_it_begins_anew(
    tmp_path: Path, series: TiltSeries, started: list[str]
) -> None:
    finish(runs.create_run(tmp_path / "inr-001", series, CONFIG))
    network = Network(tmp_path, CONFIG)
    said = network.advance(series, ("a",))
    assert "begins anew (inr-001 is no start: it has no checkpoint)" in said
    assert started == ["inr-002"]


def test_a_run_that_still_goes_on_is_taken_up(
    tmp_path: Path, series: TiltSeries, started: list[str]
) -> None:
    going = runs.create_run(tmp_path / "inr-001", series, CONFIG)
    with FolderLock(going.paths.lock):
        network = Network(tmp_path, CONFIG)
        assert network.busy
        name = f"{tmp_path.name}/inr-001"
        assert network.words() == f"The run {name} goes on by itself."
        assert not network.advance(series, ("a",))
    finish(going)
    assert network.advance(series, ("a",))
    assert started == ["inr-002"]


def test_a_run_that_is_deleted_ends_nothing(
    tmp_path: Path, series: TiltSeries, started: list[str]
) -> None:
    network = Network(tmp_path, CONFIG)
    assert "begins with 7 tilts in inr-001" in network.advance(series, ("a",))
    shutil.rmtree(tmp_path / "inr-001")
    assert "without a result" in network.words()
    said = network.advance(series, ("b",))
    assert said.startswith("The run inr-001 ended without a result. The INR begins")
    assert started == ["inr-001", "inr-002"]
