"""The Runs dock: list, open, resume, use again, delete; wrong use."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker

from napari_inr_tomo import preprocess, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.compare import CompareDock
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
from napari_inr_tomo.ui.docks.runs import SELECT, RunsDock
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
    assert "Select one run" in panel.row.reason_text
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


def test_frozen_tilts_stay_frozen_where_settings_are_used_again(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    config = ReconstructionConfig.from_preset("preview").merged(
        {"inr": {"poses": {"frozen": [3, 5]}}}
    )
    series = preprocess.exclude_views(small_series, [0, 5])
    runs.create_run(tmp_path / "old", series, config)
    workflow = open_dock(WorkflowDock)
    panel = listing(open_dock, qtbot, tmp_path)
    panel.table.selectRow(0)
    panel.clone_button.click()
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)
    session = open_dock.session
    again = workflow.parts[workflow.step].config().inr.poses.frozen
    assert again == (2,)
    assert session.series.angles_deg[2] == small_series.angles_deg[3]


def test_a_run_that_goes_on_is_neither_deleted_nor_resumed(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    panel = listing(open_dock, qtbot, worker.run.path.parent)
    panel.table.selectRow(0)
    assert "going on" in panel.row.reason_text
    assert "going on" in panel.more_row.reason_text
    assert not panel.delete_button.isEnabled()


def test_a_run_whose_folder_is_deleted_elsewhere_is_said_in_the_monitor(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    panel = listing(open_dock, qtbot, worker.run.path.parent)
    panel.table.selectRow(0)
    panel.open()
    run = open_dock.session.run
    qtbot.waitUntil(lambda: run.state is RunState.RUNNING, timeout=LONG_MS)
    shutil.rmtree(worker.run.path)
    qtbot.waitUntil(lambda: run.state is RunState.FAILED, timeout=LONG_MS)
    assert "is not there any more" in run.message


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
    assert "Select one run" in panel.row.reason_text
    assert panel.none.text() == "There is no such folder."
    (tmp_path / "gone").mkdir()
    panel.read_button.click()
    qtbot.waitUntil(
        lambda: panel.none.text() == "No runs in this folder.", timeout=LONG_MS
    )
    panel.folder.setText(str(tmp_path))
    panel.read_button.click()
    qtbot.waitUntil(lambda: bool(panel.entries), timeout=LONG_MS)
    assert panel.none.isHidden()


def test_the_folder_of_the_present_run_is_shown(
    open_dock: Any, qtbot: Any, ended: Path, tmp_path: Path
) -> None:
    panel = open_dock(RunsDock).panel
    ready(panel, qtbot)
    assert "no runs yet" in panel.none.text()
    run = open_dock.session.run
    run.open(ended / "run")
    qtbot.waitUntil(lambda: run.state is RunState.DONE, timeout=LONG_MS)
    assert panel.folder.text() == str(ended)
    qtbot.waitUntil(lambda: bool(panel.entries), timeout=LONG_MS)
    panel.folder.setText(str(tmp_path / "other"))
    panel.folder.line.editingFinished.emit()
    run.changed.emit()
    assert panel.folder.text() == str(tmp_path / "other")  # it was asked for
    ready(panel, qtbot)


def test_an_early_end_has_the_words_of_the_monitor(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    worker.epoch(3)
    worker.finish(stopped=True)
    panel = listing(open_dock, qtbot, worker.run.path.parent)
    assert panel.table.item(0, 1).text() == "finished early"
    panel.table.selectRow(0)
    panel.open_button.click()
    run = open_dock.session.run
    qtbot.waitUntil(lambda: run.state is RunState.DONE, timeout=LONG_MS)
    ready(panel, qtbot)
    assert run.message == "Finished early, as asked, after 12 s, epoch 10 of 10"
    assert run.message in panel.details.text()


def ready(panel: Any, qtbot: Any) -> None:
    idle = lambda: panel._work.idle and panel.session.busy is None  # noqa: E731
    qtbot.waitUntil(idle, timeout=LONG_MS)


def states(panel: Any) -> dict[str, str]:
    rows = range(panel.table.rowCount())
    return {panel.entries[r].path.name: panel.table.item(r, 1).text() for r in rows}


def select(panel: Any, *names: str) -> None:
    panel.table.clearSelection()
    for row, entry in enumerate(panel.entries):
        if entry.path.name in names:
            index = panel.table.model().index(row, 0)
            panel.table.selectionModel().select(index, SELECT)


def test_one_setting_is_varied_and_the_results_are_compared(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    config = ReconstructionConfig.from_preset("preview", method="sirt").merged(
        {"compute": {"device": "cpu"}, "seed": 7}
    )
    runs.create_run(tmp_path / "all" / "old", small_series, config)
    panel = listing(open_dock, qtbot, tmp_path / "all")
    box = panel.queue
    assert "Select one run" in box.row.reason_text
    select(panel, "old")
    assert "seed = 7" in panel.details.text()
    assert "Type the values" in box.row.reason_text
    assert box.key.currentText() == "classic.iterations"  # not an epoch of an INR
    box.key.setCurrentText("seed")
    box.refresh()
    assert box.key.currentText() == "seed"
    box.key.setEditText("classic.iterations")
    box.values.setText("2, many")
    box.queue_button.click()
    ready(panel, qtbot)
    assert "classic.iterations" in box.said.text()
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["old"]
    box.values.setText("2, 3")
    box.queue_button.click()
    ready(panel, qtbot)
    assert "2 runs" in box.said.text()
    done = {"01-iterations-2": "finished", "02-iterations-3": "finished"}
    wanted = done | {"old": "created"}
    qtbot.waitUntil(lambda: states(panel) == wanted, timeout=LONG_MS)
    assert panel.compare_button.isEnabled() is False
    select(panel, *done)
    assert panel.compare_button.isEnabled()
    panel.compare_button.click()
    ready(panel, qtbot)
    names = [layer.name for layer in open_dock.viewer.layers]
    assert names[-2:] == ["02-iterations-3", "01-iterations-2"]
    widgets = open_dock.viewer.window.dock_widgets.values()
    (dock,) = (w for w in widgets if isinstance(w, CompareDock))
    assert [dock.panel.a.layer.name, dock.panel.b.layer.name] == names[-2:]
    select(panel, "02-iterations-3")
    folder = panel.chosen().path.parent
    queue = runs.QueueFolder(folder)
    qtbot.waitUntil(lambda: not queue.alive, timeout=LONG_MS)


def test_a_queue_goes_on_without_its_dock_and_is_ended_from_another(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    config = ReconstructionConfig.from_preset("preview", method="sirt").merged(
        {"compute": {"device": "cpu"}}
    )
    variations = runs.vary(config, "iterations", ["100000", "2"])
    queue = runs.create_queue(tmp_path / "all" / "q", small_series, variations)
    panel = listing(open_dock, qtbot, tmp_path / "all")
    first, second = "01-iterations-100000", "02-iterations-2"
    assert states(panel) == {first: "not started", second: "not started"}
    select(panel, first)
    assert "In q" in panel.details.text()
    panel.queue.go_on_button.click()
    ready(panel, qtbot)
    panel.release()
    qtbot.waitUntil(lambda: queue.runs()[0].words == "running", timeout=LONG_MS)
    assert not panel.again.isActive()
    panel.attach()
    qtbot.waitUntil(
        lambda: states(panel) == {first: "running", second: "waiting"}, timeout=LONG_MS
    )
    assert panel.chosen().path.name == first
    assert "It is at work" in panel.queue.row.reason_text
    panel.queue.end_button.click()
    ready(panel, qtbot)
    wanted = {first: "cancelled", second: "not started"}
    qtbot.waitUntil(lambda: states(panel) == wanted, timeout=LONG_MS)
    qtbot.waitUntil(lambda: not queue.alive, timeout=LONG_MS)
