"""The dock During acquisition: a simulated one, closed midway, and wrong use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.acquisition import NOTHING, AcquisitionDock

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
    session.add_series(bin_images(small_series, 2))
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
    dock = panel.window()  # the dock goes, the process does not
    panel.release()
    put(raw, small_series, 12)
    folder = panel.folder
    qtbot.waitUntil(
        lambda: (state := folder.state()) is not None and len(state.tilts) == 1,
        timeout=LONG_MS,
    )
    assert panel.table.rowCount() == 0
    panel.attach()
    qtbot.waitUntil(lambda: panel.table.rowCount() == 1, timeout=LONG_MS)
    assert dock is not None
    ended(panel, qtbot)


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
