"""The dock During acquisition: a simulated one, closed midway, and wrong use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tifffile
from scripted_run import Worker

from napari_inr_tomo import lock
from napari_inr_tomo.acquire import AcquisitionFolder, State
from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.acquiring import News
from napari_inr_tomo.ui.docks.acquisition import NOTHING, AcquisitionDock
from napari_inr_tomo.ui.run_control import RunState

LONG_MS = 90_000


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def put(folder: Path, series: TiltSeries, tilt: int) -> Path:
    path = folder / f"t_{series.angles_deg[tilt]:+.1f}.tif"
    tifffile.imwrite(path, series.images[tilt])
    return path


def begin(open_dock: Any, raw: Path, out: Path) -> Any:
    dock = open_dock(AcquisitionDock)
    panel = dock.panel
    panel.watched.setText(str(raw))
    panel.pattern.setText(r"_([+-]?\d+\.?\d*)\.tif")
    panel.quick.setCurrentText("FBP (seconds)")
    panel.out.setText(str(out))
    return panel


def ended(panel: Any, qtbot: Any) -> None:
    panel.stop_button.click()
    qtbot.waitUntil(lambda: not panel.going, timeout=LONG_MS)
    qtbot.waitUntil(lambda: not panel.folder.alive, timeout=LONG_MS)


def test_tilts_come_and_the_series_and_the_volume_grow(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path, small_series: TiltSeries
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    session = open_dock.session
    old = session.add_series(bin_images(small_series, 2))
    own = open_dock.viewer.add_points(np.zeros((1, 2)))
    panel.recipe.setCurrentIndex(1)
    for tilt in (10, 12):
        put(raw, small_series, tilt)
    (raw / "t_+5.0.tif").write_bytes(b"II*\0 nothing of use")
    panel.start_button.click()
    gaps, last = [], time.monotonic()

    def arrived(count: int) -> bool:
        nonlocal last
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
        return bool(panel.table.rowCount() == count)

    qtbot.waitUntil(lambda: arrived(2), timeout=LONG_MS)
    qtbot.waitUntil(lambda: panel.layers.volume is not None, timeout=LONG_MS)
    assert "t_+5.0.tif" in panel.problems.text()
    shown = [layer for layer in open_dock.viewer.layers if layer.visible]
    assert shown == [own, panel.layers.volume]
    assert old in open_dock.viewer.layers
    assert open_dock.viewer.layers.selection == {panel.layers.volume}
    assert panel.table.item(0, 0).text().endswith("\u00b0")
    first = np.array(panel.layers.volume.data)
    put(raw, small_series, 11)
    qtbot.waitUntil(lambda: arrived(3), timeout=LONG_MS)
    series = session.series
    assert series.angles_deg.tolist() == [-10.0, -5.0, 0.0]
    wanted = bin_images(small_series, 2).images[10:13]
    np.testing.assert_array_equal(series.images, wanted)
    assert not np.array_equal(first, panel.layers.volume.data)
    # removed layers stay away, and the rest goes on
    open_dock.viewer.layers.remove(panel.layers.volume)
    put(raw, small_series, 13)
    qtbot.waitUntil(lambda: arrived(4), timeout=LONG_MS)
    assert panel.layers.volume is None
    assert len(session.series) == 4
    ended(panel, qtbot)
    assert "Ended with 4 tilts" in panel.summary.text()
    assert (tmp_path / "out" / "series.mrc").is_file()
    assert max(gaps) < 5  # the window was never kept waiting for the work


def test_closing_the_dock_leaves_the_process_and_it_is_followed_again(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path, small_series: TiltSeries
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    panel.start_button.click()
    qtbot.waitUntil(lambda: panel.going and panel.folder.alive, timeout=LONG_MS)
    assert "going on" in panel.row.reason_text
    panel.release()  # as when the dock is closed: the process does not go
    put(raw, small_series, 12)
    folder = panel.folder
    qtbot.waitUntil(
        lambda: (state := folder.state()) is not None and len(state.tilts) == 1,
        timeout=LONG_MS,
    )
    assert panel.table.rowCount() == 0
    panel.attach()
    qtbot.waitUntil(lambda: panel.table.rowCount() == 1, timeout=LONG_MS)
    ended(panel, qtbot)


def test_one_that_was_ended_is_taken_up_in_its_folder(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path, small_series: TiltSeries
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    for count in (2, 3):
        for tilt in range(10, 10 + count):
            put(raw, small_series, tilt)
        panel.start_button.click()
        qtbot.waitUntil(lambda n=count: panel.table.rowCount() == n, timeout=LONG_MS)
        ended(panel, qtbot)
        assert f"Ended with {count} tilts" in panel.summary.text()


def test_a_stop_before_the_process_has_shown_itself_is_obeyed(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    panel.start_button.click()
    qtbot.waitUntil(lambda: panel.going, timeout=LONG_MS)
    assert not panel.folder.alive
    ended(panel, qtbot)
    assert "Ended with 0 tilts" in panel.summary.text()


def test_wrong_use_is_said(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    panel.watched.setText("")
    assert NOTHING in panel.row.reason_text
    panel.watched.setText(str(raw))
    panel.recipe.setCurrentIndex(1)
    assert "no tilt series" in panel.row.reason_text
    panel.recipe.setCurrentIndex(0)
    panel.pattern.setText("(")
    panel.start_button.click()
    qtbot.waitUntil(
        lambda: "pattern" in panel.summary.text() and not panel.going, timeout=LONG_MS
    )
    assert panel.start_button.isEnabled()
    panel.pattern.setText("")
    file = tmp_path / "results.txt"
    file.write_text("kept")
    panel.out.setText(str(file))
    panel.start_button.click()
    qtbot.waitUntil(
        lambda: "file of that name" in panel.summary.text() and not panel.going,
        timeout=LONG_MS,
    )
    assert file.read_text() == "kept"


def test_a_folder_that_goes_away_is_said_and_waited_for(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path, small_series: TiltSeries
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    put(raw, small_series, 12)
    panel.start_button.click()
    qtbot.waitUntil(lambda: panel.table.rowCount() == 1, timeout=LONG_MS)
    away = raw.rename(tmp_path / "away")
    qtbot.waitUntil(lambda: "looked at" in panel.problems.text(), timeout=LONG_MS)
    assert panel.going
    put(away, small_series, 13)
    away.rename(raw)
    qtbot.waitUntil(lambda: panel.table.rowCount() == 2, timeout=LONG_MS)
    ended(panel, qtbot)
    # the folder of the results belongs to what was watched
    (tmp_path / "other").mkdir()
    panel.watched.setText(str(tmp_path / "other"))
    panel.start_button.click()
    qtbot.waitUntil(lambda: "another" in panel.summary.text(), timeout=LONG_MS)
    # what has ended can be looked at again
    panel.follow_button.click()
    qtbot.waitUntil(lambda: not panel.going, timeout=LONG_MS)
    assert "Ended with 2 tilts" in panel.summary.text()
    assert panel.table.rowCount() == 2


def test_a_process_that_is_killed_is_said(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    panel.start_button.click()
    qtbot.waitUntil(lambda: panel.going and panel.folder.alive, timeout=LONG_MS)
    qtbot.waitUntil(lambda: panel.folder.state() is not None, timeout=LONG_MS)
    who = lock.holder(panel.folder.lock)
    assert who is not None
    psutil.Process(who.pid).kill()
    qtbot.waitUntil(lambda: not panel.going, timeout=LONG_MS)
    assert "without a word" in panel.summary.text()
    assert panel.start_button.isEnabled()


def test_the_runs_of_the_inr_share_their_layers(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    panel = open_dock(AcquisitionDock).panel
    panel.folder = AcquisitionFolder(tmp_path / "out")
    panel.folder.runs.mkdir(parents=True)
    run = open_dock.session.run
    layers: list[Any] = []
    for name, value in (("inr-001", 1.0), ("inr-002", 2.0)):
        worker = Worker(panel.folder.runs / name, small_series)
        panel._stop.clear()
        panel._take(News(State(run=name)))
        qtbot.waitUntil(lambda: run.state is RunState.RUNNING, timeout=LONG_MS)
        worker.preview(value, worker.shape)
        qtbot.waitUntil(
            lambda v=value: (
                run.layers.volume is not None and run.layers.volume.data.max() == v
            ),
            timeout=LONG_MS,
        )
        layers.append(run.layers.volume)
        panel._take(News(State(run="inr-002")))  # too early: the first goes on
        assert Path(run.run.path).name == name
        worker.finish()
        qtbot.waitUntil(lambda: run.state is RunState.DONE, timeout=LONG_MS)
    assert layers[0] is layers[1]
    assert sum(layer.name == "INR volume" for layer in open_dock.viewer.layers) == 1


@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
def test_closing_the_window_leaves_nothing_but_the_process(
    open_dock: Any, qtbot: Any, raw: Path, tmp_path: Path
) -> None:
    panel = begin(open_dock, raw, tmp_path / "out")
    panel.start_button.click()
    qtbot.waitUntil(lambda: panel.going and panel.folder.alive, timeout=LONG_MS)
    folder = panel.folder
    open_dock.viewer.window._qt_window.hide()
    assert panel._worker is None
    assert folder.alive
    folder.request_stop()
    qtbot.waitUntil(lambda: not folder.alive, timeout=LONG_MS)
