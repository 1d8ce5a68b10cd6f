"""A reconstruction seen from the window: live, stopped, removed layers, re-attached."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker, follow

from napari_inr_tomo import events, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.restarts import requeued
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.monitor import MonitorDock
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.docks.tilts import TiltsDock
from napari_inr_tomo.ui.run_control import RunState
from napari_inr_tomo.ui.turns import idle, later


def test_everything_streams_into_layers_and_plots(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    session.add_series(small_series)
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    run, selected = session.run, []
    session.layer.events.visible.connect(
        lambda _: selected.append(viewer.layers.selection.active)
    )
    for step in (1, 2, 3):
        worker.epoch(step)
    worker.poses(7.0)
    worker.preview(4.0, (12, 12, 14))
    qtbot.waitUntil(lambda: run.layers.volume is not None, timeout=LONG_MS)
    volume = run.layers.volume
    qtbot.waitUntil(lambda: not session.layer.visible, timeout=LONG_MS)
    assert volume.visible
    assert viewer.layers.selection == {volume}
    # before the tilts are hidden: greying out their controls holds the window up
    assert selected == [volume]
    assert viewer.dims.point[0] == pytest.approx(volume.extent.world[:, 0].mean())
    qtbot.waitUntil(idle, timeout=LONG_MS)
    assert panel.loss.line("loss")[0].tolist() == [1, 2, 3]
    assert panel.loss.line("hold-out")[1] == pytest.approx([1.5, 0.75, 0.5])
    assert panel.poses.turns.line("z3")[1] == pytest.approx(np.full(25, 7.0))
    assert panel.poses.shifts.line("dy")[1] == pytest.approx(np.full(25, -2.0))
    assert "1 min 15 s left" in panel.numbers.text()
    assert panel.bar.format() == "Learning from the images: 30 %, epoch 4 of 10"
    # coarser, yet over the same place
    assert volume.scale == pytest.approx([2, 2, 2])
    middle = volume.translate + (np.array([12, 12, 14]) - 1) / 2 * volume.scale
    assert middle == pytest.approx((np.array(worker.shape) - 1) / 2)
    # poses with their numbers, once the tilts are looked at; all units agree
    assert run.layers.points is None
    panel.stack_button.click()
    assert run.layers.points.visible
    assert not volume.visible
    panel.volume_button.click()
    features = run.layers.points.features
    wanted = "tilt angle_deg z1_deg z3_deg dx_px dy_px residual".split()
    assert list(features) == wanted
    assert features["residual"].tolist() == [0.5] * 25
    assert viewer.layers.extent.units is not None
    # the contrast follows what is far off, and nothing else
    fitted = list(volume.contrast_limits)
    worker.preview(1.1 * float(volume.data.max()), (12, 12, 14))
    qtbot.waitUntil(lambda: volume.data.max() > fitted[1] * 1.05, timeout=LONG_MS)
    qtbot.waitUntil(idle, timeout=LONG_MS)
    assert list(volume.contrast_limits) == fitted
    worker.preview(400.0, (12, 12, 14))
    qtbot.waitUntil(lambda: volume.data.max() == 400, timeout=LONG_MS)
    qtbot.waitUntil(idle, timeout=LONG_MS)
    assert 300 < volume.contrast_limits[1] <= 400
    # once set by hand it stays as it is until asked for
    volume.contrast_limits = (0, 150)
    worker.preview(900.0, (12, 12, 14))
    worker.poses(8.0)
    qtbot.waitUntil(lambda: volume.data.max() == 900, timeout=LONG_MS)
    qtbot.waitUntil(idle, timeout=LONG_MS)
    assert list(volume.contrast_limits) == [0, 150]
    panel.rescale_button.click()
    assert volume.contrast_limits[1] > 800
    worker.finish()
    qtbot.waitUntil(lambda: run.state is RunState.DONE, timeout=LONG_MS)
    assert volume.data.shape == worker.shape
    assert volume.scale == pytest.approx([1, 1, 1])
    assert run.layers.points.features["z3_deg"].tolist() == [5.0] * 25
    assert "has ended" in panel.row.reason_text


def test_a_submitted_run_waits_and_is_followed_when_its_job_begins(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    config = ReconstructionConfig.from_preset("preview")
    folder = runs.create_run(tmp_path / "volume.inr-run", small_series, config)
    (folder.path / "submit.sbatch").write_text("#!/bin/bash\n")
    panel, run = open_dock(MonitorDock).panel, open_dock.session.run
    run.open(folder.path)
    qtbot.waitUntil(lambda: run.state is RunState.WAITING, timeout=LONG_MS)
    assert "Waiting in the queue (volume.inr-run)" in panel.state.text()
    assert "scancel" in panel.row.reason_text
    assert panel.open_button.isEnabled()
    assert not panel.resume_button.isEnabled()
    job = Worker(folder.path, small_series)
    qtbot.waitUntil(lambda: run.state is RunState.RUNNING, timeout=LONG_MS)
    assert panel.stop_button.isEnabled()
    job.finish()
    qtbot.waitUntil(lambda: run.state is RunState.DONE, timeout=LONG_MS)


def test_a_run_whose_job_is_back_in_the_queue_waits_and_goes_on(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    run = open_dock.session.run
    worker.epoch(2)
    sign = requeued(worker.run.paths)
    sign.parent.mkdir(exist_ok=True)
    sign.touch()  # as its job does when its time is up
    worker.say(events.Cancelled(step=3))
    worker.end()
    qtbot.waitUntil(lambda: run.state is RunState.WAITING, timeout=LONG_MS)
    assert "back in the queue" in panel.state.text()
    assert worker.run.status().state == "waiting"
    # who opens it now sees the same
    run.open(worker.run.path)
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)
    qtbot.waitUntil(lambda: run.record.position > 0, timeout=LONG_MS)
    qtbot.waitUntil(lambda: run.state is RunState.WAITING, timeout=LONG_MS)
    # the next attempt begins
    sign.unlink()
    job = Worker(worker.run.path, small_series)
    qtbot.waitUntil(lambda: run.state is RunState.RUNNING, timeout=LONG_MS)
    job.finish()
    qtbot.waitUntil(lambda: run.state is RunState.DONE, timeout=LONG_MS)


def test_axis_and_points_lie_where_the_poses_say(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    from napari.utils.notifications import notification_manager

    panel = follow(open_dock, qtbot, worker, MonitorDock)
    run = open_dock.session.run
    worker.poses(30.0)
    qtbot.waitUntil(panel.stack_button.isEnabled, timeout=LONG_MS)
    panel.stack_button.click()
    told = [record.message for record in notification_manager.records]
    assert ["only the poses" in words for words in told] == [True]
    _, rows, columns = worker.shape
    point = run.layers.points.data[4]
    assert point == pytest.approx([4, (rows - 1) / 2 - 2, (columns - 1) / 2 + 1])
    start, step = run.layers.axis.data[4]
    assert start + step / 2 == pytest.approx(point)
    assert np.rad2deg(np.arctan2(step[1], step[2])) == pytest.approx(30)


def test_a_new_volume_gives_way_to_what_was_asked_for_meanwhile(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    from qtpy.QtCore import QTimer

    session, viewer = open_dock.session, open_dock.viewer
    session.add_series(small_series)
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    layers = session.run.layers
    story: list[str] = []

    def ask() -> None:
        assert not layers.volume.visible
        assert viewer.layers.selection == {session.layer}
        panel.stack_button.click()
        later(lambda: story.append("all has had its turn"))

    inserted = viewer.layers.events.inserted
    inserted.connect(lambda _: QTimer.singleShot(0, ask), position="last")
    worker.preview(4.0, worker.shape)
    qtbot.waitUntil(lambda: bool(story), timeout=LONG_MS)
    assert session.layer.visible
    assert not layers.volume.visible


def test_docks_that_follow_a_run_do_not_bring_the_tilts_before_its_first_volume(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    """Poses come, and Check tilts goes to a tilt, while the volume is being shown."""
    from qtpy.QtCore import QTimer

    session, viewer = open_dock.session, open_dock.viewer
    session.add_series(small_series)
    series = open_dock(TiltSeriesDock).panel
    series.table.selectRow(4)
    tilts = open_dock(TiltsDock).panel
    follow(open_dock, qtbot, worker, MonitorDock)
    layers, seen = session.run.layers, []

    def come() -> None:
        tilts.tilt.setValue(tilts.tilt.value() + 1)
        session.series_changed.emit()
        seen.append(True)

    inserted = viewer.layers.events.inserted
    inserted.connect(
        lambda event: event.value.events.visible.connect(
            lambda _: QTimer.singleShot(0, come)
        ),
        position="last",
    )
    worker.preview(4.0, worker.shape)
    qtbot.waitUntil(lambda: bool(seen) and idle(), timeout=LONG_MS)
    assert layers.volume.visible
    assert not session.layer.visible
    assert layers.points is None


@pytest.mark.scenario(35)
def test_a_removed_layer_stays_away_until_asked_for(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    from napari.utils.notifications import notification_manager

    panel = follow(open_dock, qtbot, worker, MonitorDock)
    run, viewer = open_dock.session.run, open_dock.viewer
    worker.preview(1.0, worker.shape)
    qtbot.waitUntil(lambda: run.layers.volume is not None, timeout=LONG_MS)
    viewer.layers.remove(run.layers.volume)
    assert "Its layer was removed" in panel.show_row.reason_text
    for step in (1, 2):
        worker.preview(float(step), worker.shape)
        worker.epoch(step)
        qtbot.waitUntil(lambda s=step: run.record.position == s, timeout=LONG_MS)
    assert len(viewer.layers) == 0
    told = [r.message for r in notification_manager.records if "removed" in r.message]
    assert len(told) == 1
    assert run.state is RunState.RUNNING
    panel.back_button.click()
    worker.preview(9.0, worker.shape)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=LONG_MS)


def test_no_volume_comes_while_live_updates_are_off(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    run = open_dock.session.run
    panel.live.setChecked(False)
    worker.preview(1.0, worker.shape)
    worker.epoch(1)
    qtbot.waitUntil(lambda: run.record.position == 1, timeout=LONG_MS)
    assert len(open_dock.viewer.layers) == 0


def test_warning_failure_and_its_words(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    from napari.utils.notifications import notification_manager

    follow(open_dock, qtbot, worker, MonitorDock)
    run = open_dock.session.run
    worker.say(events.Warned(what="Disk", why="nearly full", do="Free some"))
    worker.say(events.Failed(what="No memory", why="too large", do="Bin it"))
    worker.end()
    qtbot.waitUntil(lambda: run.state is RunState.FAILED, timeout=LONG_MS)
    messages = [record.message for record in notification_manager.records]
    assert "Disk: nearly full. Free some." in messages
    assert "No memory: too large. Bin it." in messages
    assert run.message == "No memory: too large. Bin it."


def test_stop_is_shown_at_once_and_asked_for(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    panel.stop_button.click()
    assert open_dock.session.run.state is RunState.STOPPING
    assert not panel.stop_button.isEnabled()
    assert "Stopping already" in panel.row.reason_text
    assert worker.run.paths.control("stop").exists()
    worker.finish()
    qtbot.waitUntil(
        lambda: open_dock.session.run.state is RunState.DONE, timeout=LONG_MS
    )


def test_cancelled_run_can_be_resumed(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    panel = follow(open_dock, qtbot, worker, ReconstructionDock)
    panel.cancel_button.click()
    assert worker.run.paths.control("cancel").exists()
    worker.say(events.Cancelled(step=2))
    worker.end()
    run = open_dock.session.run
    qtbot.waitUntil(lambda: run.state is RunState.IDLE, timeout=LONG_MS)
    assert "Cancelled at step 2" in panel.state.text()
    assert panel.resume_button.isEnabled()


@pytest.mark.scenario(36)
def test_closing_every_dock_and_the_window_leaves_the_run_alone(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    dock = open_dock(MonitorDock)
    session = open_dock.session
    session.run.open(worker.run.path)
    qtbot.waitUntil(lambda: session.run.state is RunState.RUNNING, timeout=LONG_MS)
    open_dock.viewer.window.remove_dock_widget(dock)
    worker.epoch(4)
    qtbot.waitUntil(lambda: session.run.record.position == 4, timeout=LONG_MS)
    session.close()
    assert not worker.run.paths.control("stop").exists()
    assert not worker.run.paths.control("cancel").exists()
    assert worker.run.status().active


def test_following_leaves_the_warnings_of_the_process_alone(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    before = warnings.showwarning, list(warnings.filters)
    follow(open_dock, qtbot, worker, MonitorDock)
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)
    assert warnings.showwarning is before[0]
    assert list(warnings.filters) == before[1]


def test_a_folder_that_is_no_run_is_said_in_words(
    open_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    from napari.utils.notifications import notification_manager

    panel, session = open_dock(ReconstructionDock).panel, open_dock.session
    session.run.open(tmp_path)
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
    assert len(notification_manager.records) == 1
    assert session.run.state is RunState.IDLE
    assert panel.start_button.toolTip().startswith("No tilt series is open")


def test_a_taken_folder_does_not_lose_the_run_in_it(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    panel, session = open_dock(ReconstructionDock).panel, open_dock.session
    session.add_series(small_series)
    panel.folder.setText(str(worker.run.path))
    panel.start_button.click()
    assert session.run.state is RunState.STARTING
    qtbot.waitUntil(lambda: session.run.state is RunState.FAILED, timeout=LONG_MS)
    assert "already holds a run" in panel.state.text()
    assert worker.run.paths.run_json.exists()
    assert panel.start_button.isEnabled()


def test_a_loss_that_begins_low_is_explained(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    worker.epoch(1)
    qtbot.waitUntil(lambda: panel.loss.names == ["loss", "hold-out"], timeout=LONG_MS)
    assert panel.loss_words.isHidden()  # it began from nothing
    start = {"total": 5, "loss": 0.1, "elapsed_s": 1}
    worker.say(events.Phase(name="classical start"))
    worker.say(events.Epoch(step=1, phase="classical start", **start))
    worker.say(events.Phase(name="rays"))
    worker.epoch(2)
    qtbot.waitUntil(lambda: not panel.loss_words.isHidden(), timeout=LONG_MS)
    assert "began from a classical volume" in panel.loss_words.text()
    assert "at most every half second" in panel.loss.toolTip()


def test_every_phase_draws_its_own_loss(qtbot: Any) -> None:
    from napari_inr_tomo.ui.live import LiveUpdate
    from napari_inr_tomo.ui.plots import LossPlot
    from napari_inr_tomo.ui.record import RunRecord

    def said(phase: str, *losses: float, holdout: float | None = None) -> LiveUpdate:
        lines = [
            events.Epoch(
                step=k, total=9, phase=phase, loss=loss, holdout=holdout, elapsed_s=1
            )
            for k, loss in enumerate(losses, 1)
        ]
        return LiveUpdate(phase=phase, epochs=lines)

    plot, record = LossPlot(), RunRecord()
    qtbot.addWidget(plot)
    record.take(said("learning the start", 0.5, 0.25, holdout=0.3))
    plot.show_record(record)
    assert plot.names == ["loss", "hold-out"]
    record.take(LiveUpdate(phase="rays"))  # no loss of it yet: the last curve stays
    plot.show_record(record)
    assert plot.line("loss")[1].tolist() == [0.5, 0.25]
    record.take(said("rays", 8.0))
    plot.show_record(record)
    assert plot.names == ["loss"]
    assert plot.line("loss")[1].tolist() == [8.0]
