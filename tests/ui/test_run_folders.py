"""Names of run folders, and what is read from one to be used again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.runs import create_run
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import run_folders


def test_an_input_in_use_again_leaves_the_files_of_the_run_alone(
    tmp_path: Path,
) -> None:
    images = np.ones((3, 6, 5), np.float32)
    images[1, 2, 3] = np.nan
    config = ReconstructionConfig.from_preset("preview", method="sirt")
    run = create_run(tmp_path / "run", TiltSeries(images, [-10, 0, 10]), config)
    series, _, _ = run_folders.read_input(run.path)
    assert not series.valid[1, 2, 3]
    for array in (series.images, series.valid):
        while isinstance(array, np.ndarray):
            assert not isinstance(array, np.memmap)
            array = array.base


def test_a_long_name_leaves_room_for_the_files_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folders, "runs_home", lambda: tmp_path)
    series = TiltSeries(np.ones((1, 2, 2)), [0], name="gold on carbon " * 20)
    name = run_folders.new_folder(series, "inr").name
    assert name.startswith("gold-on-carbon-gold")
    assert len(name) < 110
