"""The Runs dock: list, open, resume, use again, delete; wrong use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker

from napari_inr_tomo import runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
from napari_inr_tomo.ui.docks.runs import RunsDock
from napari_inr_tomo.ui.docks.workflow import WorkflowDock
from napari_inr_tomo.ui.run_control import RunState


def listing(open_dock: Any, qtbot: Any, folder: Path) -> Any:
    panel = open_dock(RunsDock).panel
    panel.folder.setText(str(folder))
    panel.read()
    qtbot.waitUntil(lambda: panel._work.idle and bool(panel.entries), timeout=LONG_MS)
    return panel


@pytest.fixture
def ended(worker: Worker) -> Path:
    """A folder with one run that has a result."""
    worker.epoch(3)
    worker.preview(1.0, worker.shape)
    worker.finish()
    return worker.run.path.parent


def test_a_run_is_listed_with_its_picture_and_opened(
    open_dock: Any, qtbot: Any, ended: Path
) -> None:
    panel = listing(open_dock, qtbot, ended)
    assert "Select a run" in panel.row.reason_text
    assert panel.table.item(0, 0).text().startswith("run\nINR, preview")
    assert not panel.table.item(0, 0).icon().isNull()
    assert panel.table.item(0, 1).text() == "finished"
    panel.table.selectRow(0)
    assert "25 images of 28 x 24 px" in panel.details.text()
    assert "planned end" in panel.row.reason_text
    panel.open_button.click()
    run = open_dock.session.run
    qtbot.waitUntil(lambda: run.state is RunState.DONE, timeout=LONG_MS)
    assert run.layers.volume is not None
    qtbot.waitUntil(lambda: panel._work.idle, timeout=LONG_MS)


def test_settings_and_series_are_used_again(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    config = ReconstructionConfig.from_preset("preview").merged(
        {"seed": 7, "inr": {"schedule": {"epochs": 3}, "loss": {"beta": 0.5}}}
    )
    runs.create_run(tmp_path / "old", small_series, config)
    workflow = open_dock(WorkflowDock)
    panel = listing(open_dock, qtbot, tmp_path)
    panel.table.selectRow(0)
    panel.clone_button.click()
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)
    series = open_dock.session.series
    assert np.array_equal(series.images, small_series.images)
    chosen = workflow.parts[workflow.step]
    assert isinstance(chosen, ReconstructionPanel)
    assert chosen.config() == config
    chosen.count.setValue(9)
    assert chosen.config().inr.loss.beta == 0.5
    assert chosen.config().inr.schedule.epochs == 9
    chosen.preset.setCurrentText("fast")
    assert chosen.config().inr.loss.beta != 0.5


def test_a_run_that_goes_on_is_neither_deleted_nor_resumed(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    panel = listing(open_dock, qtbot, worker.run.path.parent)
    panel.table.selectRow(0)
    assert "going on" in panel.row.reason_text
    assert "going on" in panel.more_row.reason_text
    assert not panel.delete_button.isEnabled()


def test_deleting_asks_first(
    open_dock: Any, qtbot: Any, ended: Path, monkeypatch: Any
) -> None:
    from qtpy.QtWidgets import QMessageBox

    panel = listing(open_dock, qtbot, ended)
    panel.table.selectRow(0)
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]
    monkeypatch.setattr(QMessageBox, "question", lambda *_: answers.pop(0))
    panel.delete_button.click()
    assert (ended / "run").exists()
    panel.delete_button.click()
    qtbot.waitUntil(lambda: not panel.entries, timeout=LONG_MS)
    assert not (ended / "run").exists()
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)


def test_a_damaged_run_and_a_folder_that_is_gone_are_said(
    open_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text("{")
    panel = listing(open_dock, qtbot, tmp_path)
    panel.table.selectRow(0)
    assert "cannot be read" in panel.details.text()
    for row in (panel.row, panel.more_row):
        assert "damaged" in row.reason_text
    panel.folder.setText(str(tmp_path / "gone"))
    panel.read()
    qtbot.waitUntil(lambda: not panel.entries, timeout=LONG_MS)
    assert "Select a run" in panel.row.reason_text
