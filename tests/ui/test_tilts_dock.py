"""The Check tilts dock: projection against image, bad tilts, poses, wrong use."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker, follow

from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses, TiltSeries
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.docks.tilts import NO_RESIDUALS, OTHER_SERIES, TiltsDock
from napari_inr_tomo.ui.run_folders import next_folder
from napari_inr_tomo.ui.series_layer import frozen_of
from napari_inr_tomo.ui.turns import idle


def dock_of(panel: Any) -> Any:
    """The dock a panel is shown in."""
    while not isinstance(panel, TiltsDock):
        panel = panel.parent()
    return panel


@pytest.fixture
def watched(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> Any:
    """The panel, following a run of the series that is open; tilt 20 is bad."""
    session = open_dock.session
    session.add_series(small_series)
    panel = follow(open_dock, qtbot, worker, TiltsDock)
    residual = np.full(worker.count, 0.5) + 0.01 * np.sin(np.arange(worker.count))
    residual[20] = 2.0
    worker.poses(4.0, residual)
    worker.preview(1.0, worker.shape)
    qtbot.waitUntil(lambda: panel._view is not None and idle(), timeout=LONG_MS)
    return panel


def test_the_volume_at_the_right_pose_explains_the_image(
    open_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    made = simulate_series(
        "sea-mine", (24, 28), np.arange(-60, 61, 10.0), axis_deg=30.0, seed=1
    )
    worker = Worker(tmp_path / "run", made.series)
    panel = follow(open_dock, qtbot, worker, TiltsDock)
    np.save(worker.run.paths.preview_volume, made.truth.data)
    shares = []
    for axis_deg in (30.0, -30.0):
        worker.poses(0.0, found=Poses.from_axis(worker.count, axis_deg))
        worker.preview_done(made.truth.data.shape)
        wanted = float(axis_deg)
        qtbot.waitUntil(
            lambda w=wanted: (
                panel.session.run.record.poses is not None
                and panel.session.run.record.poses["z3_deg"][0] == w
            ),
            timeout=LONG_MS,
        )
        panel.tilt.setValue(2)
        qtbot.waitUntil(
            lambda: idle() and panel._work.idle and panel._view is not None,
            timeout=LONG_MS,
        )
        shares.append(panel._view.share)
        assert "tilt 2 at -40.0 deg" in panel.picture.caption.text()
    worker.end()
    assert shares[0] < 0.2
    assert shares[1] > 2 * shares[0]


def test_the_picture_has_a_scale_bar_and_bars_come_with_residuals(
    open_dock: Any, qtbot: Any, watched: Any, worker: Worker
) -> None:
    panel = watched
    length, unit = panel.picture.scale_words.split()
    assert unit in ("px", "nm")
    edge = panel._pixel(panel._view.measured.shape[1])[0]
    width = edge * panel._view.measured.shape[1]
    assert width / 12.5 < float(length) <= width / 5
    assert not panel.bars.isHidden()
    assert panel.bars.getPlotItem().getAxis("left").labelText == "rms (intensity)"
    worker.poses(4.0, np.full(worker.count, np.nan))
    qtbot.waitUntil(lambda: idle() and panel.bars.isHidden(), timeout=LONG_MS)
    assert panel.stand_out.text() == NO_RESIDUALS


def test_a_bad_tilt_is_found_shown_and_left_out(
    open_dock: Any, qtbot: Any, watched: Any
) -> None:
    panel, session = watched, open_dock.session
    assert panel.stand_out.text() == "Tilt 20 (+40.0 deg) stands out."
    panel.bars.click(39.0)
    assert panel.tilt.value() == 20
    panel.out_button.click()
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
    assert np.flatnonzero(~session.series.mask).tolist() == [20]
    assert "left out already" in panel.row.reason_text
    session.undo()
    panel.all_button.click()
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
    assert np.flatnonzero(~session.series.mask).tolist() == [20]


def test_a_dock_opened_later_shows_the_same_tilt_and_offers_to_leave_out(
    open_dock: Any, qtbot: Any, watched: Any
) -> None:
    session = open_dock.session
    session.run.layers.show_only("stack")
    session.show_tilt(7)
    later = TiltsDock(open_dock.viewer)
    open_dock.viewer.window.add_dock_widget(later)
    assert later.panel.tilt.value() == 7
    assert later.panel.all_button.isEnabled()
    session.run.layers.volume.visible = True  # it lies on top: the slider is z
    open_dock.viewer.dims.set_point(0, 9.0)
    assert later.panel.tilt.value() == 7
    session.layer.visible = True
    open_dock.viewer.layers.move(open_dock.viewer.layers.index(session.layer), 99)
    session.show_tilt(11)
    assert later.panel.tilt.value() == 11
    open_dock.viewer.window.remove_dock_widget(later)
    qtbot.waitUntil(lambda: later.panel._work.idle, timeout=LONG_MS)


def test_the_poses_of_a_run_start_the_next(
    open_dock: Any, qtbot: Any, watched: Any, worker: Worker, monkeypatch: Any
) -> None:
    panel, session = watched, open_dock.session
    panel.start_button.click()
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
    assert session.series.start_poses.z3_deg == pytest.approx(np.full(25, 4.0))
    assert session.series.history[-1].name == "poses_of_run"
    assert "going on" in panel.again_row.reason_text
    worker.finish()
    qtbot.waitUntil(panel.again_button.isEnabled, timeout=LONG_MS)
    begun = []
    monkeypatch.setattr(session.run, "begin", lambda *a: begun.append(a))
    panel.again_button.click()
    qtbot.waitUntil(lambda: bool(begun), timeout=LONG_MS)
    folder, config = begun[0]
    assert folder == worker.run.path.with_name("run-2")
    assert config == worker.run.config
    assert session.series.start_poses.z3_deg == pytest.approx(np.full(25, 5.0))


def test_a_backlash_is_said_in_words(qtbot: Any, watched: Any, worker: Worker) -> None:
    dx = np.zeros(worker.count)
    dx[15:] = 3.0
    zero = np.zeros(worker.count)
    worker.poses(0.0, found=Poses(zero, zero, dx, zero))
    qtbot.waitUntil(
        lambda: idle() and bool(watched.steps_found.text()), timeout=LONG_MS
    )
    assert watched.steps_found.text().startswith("dx steps at +12.5 deg.")
    assert watched.poses.shifts.marks[1] == [12.5]


def test_the_flicker_ends_with_its_dock(
    open_dock: Any, qtbot: Any, watched: Any
) -> None:
    panel = watched
    panel.flicker_button.click()
    seen: set[str] = set()
    qtbot.waitUntil(
        lambda: seen.add(panel.what.currentText()) or len(seen) == 2, timeout=LONG_MS
    )
    assert seen == {"measured", "computed"}
    timer = panel._timer
    open_dock.viewer.window.remove_dock_widget(dock_of(panel))
    with suppress(RuntimeError):  # PySide has deleted it with its dock
        assert not timer.isActive()


def test_a_removed_volume_ends_the_picture(
    open_dock: Any, qtbot: Any, watched: Any
) -> None:
    panel = watched
    panel.flicker_button.click()
    open_dock.viewer.layers.remove(open_dock.session.run.layers.volume)
    assert not panel.picture.shown
    assert not panel._timer.isActive()
    assert "No volume of the run" in panel.view_row.reason_text


def test_another_series_is_not_touched(
    open_dock: Any, watched: Any, worker: Worker
) -> None:
    other = simulate_series("sea-mine", (24, 28), np.arange(-30, 31, 5.0)).series
    open_dock.session.add_series(other)
    panel = watched
    for row in (panel.row, panel.again_row, panel.pose_row):
        assert OTHER_SERIES in row.reason_text
    assert OTHER_SERIES in panel.of.text()  # at the top as well
    assert f"'{worker.series.name}', run run" in panel.of.text()
    shown = panel.tilt.value()
    open_dock.session.show_tilt(shown + 2)
    assert panel.tilt.value() == shown
    same = worker.series.evolve(name="the same, of another name")
    open_dock.session.add_series(same)
    assert OTHER_SERIES not in panel.of.text()
    assert worker.series.name in panel.of.text()
    open_dock.session.show_tilt(shown + 2)
    assert panel.tilt.value() == shown + 2


def test_it_begins_at_a_tilt_the_run_has_used(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    used = np.ones(len(small_series), bool)
    used[:3] = False
    worker = Worker(tmp_path / "run", small_series.evolve(used=used))
    panel = follow(open_dock, qtbot, worker, TiltsDock)
    assert panel.tilt.value() == 3
    worker.poses(4.0)
    worker.preview(1.0, worker.shape)
    qtbot.waitUntil(lambda: panel.picture.shown and idle(), timeout=LONG_MS)
    assert "tilt 3 at -45.0 deg" in panel.picture.caption.text()
    worker.end()


def test_a_new_run_never_takes_an_old_folder(tmp_path: Path) -> None:
    first = tmp_path / "needle-inr-20260102-030405"
    assert next_folder(first).name == f"{first.name}-2"
    (tmp_path / f"{first.name}-2").mkdir()
    assert next_folder(first).name == f"{first.name}-3"
    assert next_folder(tmp_path / f"{first.name}-2").name == f"{first.name}-3"


def test_passes_are_told_apart_and_said_where_they_differ(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    groups = np.arange(len(small_series)) % 2
    worker = Worker(tmp_path / "run", small_series.evolve(group=groups))
    panel = follow(open_dock, qtbot, worker, TiltsDock)
    table = Poses.from_axis(worker.count, 4.0).as_array()
    table[:, 2:] += np.random.default_rng(0).normal(0, 0.1, (worker.count, 2))
    table[groups == 1, 3] += 5.0
    worker.poses(0.0, found=Poses.from_array(table))
    qtbot.waitUntil(lambda: "dy pass 2" in panel.poses.shifts.names, timeout=LONG_MS)
    qtbot.waitUntil(idle, timeout=LONG_MS)
    worker.end()
    angles, dy = panel.poses.shifts.line("dy pass 2")
    assert angles.tolist() == small_series.angles_deg[groups == 1].tolist()
    assert dy == pytest.approx(table[groups == 1, 3])
    assert "dy" not in panel.poses.shifts.names
    assert "The passes differ: pass 2 has its tilt axis turned by +0.0 deg" in (
        panel.steps_found.text()
    )
    assert "dy +5." in panel.steps_found.text()
    assert panel.poses.shifts.marks == ([], [])


def test_a_pose_is_edited_taken_reset_and_frozen(
    open_dock: Any, qtbot: Any, watched: Any, worker: Worker
) -> None:
    panel, session = watched, open_dock.session
    panel.tilt.setValue(3)
    editor = panel.editor

    def settled() -> tuple[float, ...]:
        qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
        return tuple(session.series.start_poses.as_array()[3])

    start = settled()
    editor.numbers["dx"].setValue(1.25)
    worker.poses(5.0)
    table = session.run.fitting_poses
    qtbot.waitUntil(lambda: table()["z3_deg"][3] == 5, timeout=LONG_MS)
    panel.refresh()  # typed numbers stay while the run goes on
    editor.set_button.click()
    assert settled() == pytest.approx((*start[:2], 1.25, start[3]))
    editor.take_button.click()
    assert settled() == pytest.approx((-5, 5, 1, -2))
    editor.reset_button.click()
    assert settled() == pytest.approx(start)
    editor.frozen.click()
    assert frozen_of(session.layer) == (3,)
    panel.tilt.setValue(session.series.reference)
    assert not editor.frozen.isEnabled()
    panel.tilt.setValue(3)
    assert editor.frozen.isChecked()
    chosen = open_dock(ReconstructionDock).panel.config()
    assert chosen.inr.poses.frozen == (3,)
    open_dock.viewer.layers.remove(session.layer)
    assert "No tilt series" in editor.row.reason_text
