"""The Angles dock: every source, the changes, what it says, wrong use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.io import write_tlt
from napari_inr_tomo.io.tiff import write_tiff
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.angles import FILE, LIST, NAMES, AnglesDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock

LONG_MS = 30_000
COUNT = 7


@pytest.fixture
def panel(open_dock: Any, qtbot: Any) -> Any:
    panel = open_dock(AnglesDock).panel
    images = np.arange(COUNT * 30.0).reshape(COUNT, 5, 6)
    open_dock.session.add_series(TiltSeries(images, np.arange(COUNT), name="s"))
    settle(qtbot, panel)
    return panel


def settle(qtbot: Any, panel: Any) -> None:
    for _ in range(2):  # what a step changes is followed a moment later
        panel._later.flush()
        qtbot.waitUntil(
            lambda: panel._work.idle and panel.session.busy is None, timeout=LONG_MS
        )


def use(panel: Any, qtbot: Any) -> list[float]:
    settle(qtbot, panel)
    assert panel.use_button.isEnabled(), panel.row.reason_text
    panel.use_button.click()
    settle(qtbot, panel)
    return list(panel.session.series.angles_deg)


def test_start_and_step_for_as_many_images_as_there_are(panel: Any, qtbot: Any) -> None:
    panel.start.setValue(-6)
    panel.step.setValue(2)
    settle(qtbot, panel)
    assert panel.sentence.text() == (
        "7 angles, -6 to 6 degrees in steps of 2; in rising order. Given as -6::2."
    )
    assert panel.command.text().endswith("--angles='-6::2'")
    assert list(panel.session.series.angles_deg) == list(range(COUNT))  # not yet
    assert use(panel, qtbot) == [-6, -4, -2, 0, 2, 4, 6]
    panel.order.setCurrentIndex(2)
    panel.flip.setChecked(True)
    assert use(panel, qtbot) == [0, -2, 2, 4, -4, -6, 6]
    history = [step.name for step in panel.session.series.history]
    assert history == ["set_angles", "set_angles", "flip_handedness"]
    panel.session.undo()
    assert list(panel.session.series.angles_deg) == [-6, -4, -2, 0, 2, 4, 6]
    settle(qtbot, panel)


def test_cells_of_a_spreadsheet_with_commas(panel: Any, qtbot: Any) -> None:
    panel.source.setCurrentIndex(LIST)
    rows = "\n".join(f"{k}\t{-k},5\t1,0" for k in range(COUNT))
    panel.list.setPlainText(f"Bild\tWinkel\tStrom\n{rows}")
    settle(qtbot, panel)
    assert not panel.use_button.isEnabled()
    panel.column.setValue(2)
    panel.comma.setChecked(True)
    panel.reversed.setChecked(True)
    assert use(panel, qtbot) == [-6.5, -5.5, -4.5, -3.5, -2.5, -1.5, 0.5]


def test_radians_and_duplicates_are_seen(panel: Any, qtbot: Any) -> None:
    panel.source.setCurrentIndex(LIST)
    panel.list.setPlainText("-0.6 -0.4 -0.2 0 0 0.2 0.4")
    settle(qtbot, panel)
    assert "radians" in panel.doubts.text()
    assert "1 duplicate" in panel.sentence.text()
    assert panel.plot.marks[0] == [3, 4]
    panel.radians.setChecked(True)
    settle(qtbot, panel)
    assert "radians?" not in panel.doubts.text()
    assert use(panel, qtbot)[0] == pytest.approx(np.rad2deg(-0.6))


def test_files_and_names(panel: Any, qtbot: Any, tmp_path: Path) -> None:
    write_tlt(tmp_path / "a.tlt", np.arange(COUNT) * 3.0)
    panel.source.setCurrentIndex(FILE)
    panel.file.setText(str(tmp_path / "a.tlt"))
    assert use(panel, qtbot) == [0, 3, 6, 9, 12, 15, 18]
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(COUNT):
        name = folder / f"run{k}_tilt({10 - k}).tif"
        write_tiff(name, np.zeros((1, 4, 4), np.float32), None, "TYX")
    panel.source.setCurrentIndex(NAMES)
    panel.folder.setText(str(folder))
    settle(qtbot, panel)
    assert "do not plainly" in panel.sentence.text()
    panel.pattern.setText(r"tilt\((-?\d+)\)")
    assert use(panel, qtbot) == [10, 9, 8, 7, 6, 5, 4]
    panel.folder.setText(str(tmp_path / "absent"))
    settle(qtbot, panel)
    assert not panel.use_button.isEnabled()
    assert "absent" in panel.sentence.text()


def test_a_wrong_count_cannot_be_used(panel: Any, qtbot: Any) -> None:
    panel.source.setCurrentIndex(LIST)
    panel.list.setPlainText("-60:60:2")
    settle(qtbot, panel)
    assert panel.row.reason_text == "There are 61 angles for 7 images."
    panel.list.setPlainText("")
    settle(qtbot, panel)
    assert "No angles yet" in panel.row.reason_text


def test_a_plain_layer_becomes_a_series(open_dock: Any, qtbot: Any) -> None:
    panel = open_dock(AnglesDock).panel
    settle(qtbot, panel)
    assert "no three-dimensional image layer" in panel.row.reason_text
    viewer = open_dock.viewer
    plain = viewer.add_image(np.ones((5, 6, 7)), name="plain")
    viewer.layers.selection.active = plain
    panel.start.setValue(-4)
    assert use(panel, qtbot) == [-4, -2, 0, 2, 4]
    assert open_dock.session.series.name == "plain (tilt series)"


def test_the_series_deleted_and_the_dock_closed_midway(panel: Any, qtbot: Any) -> None:
    viewer = panel.session.viewer
    panel.start.setValue(5)  # is going to be asked for
    viewer.layers.remove(panel.session.layer)
    settle(qtbot, panel)
    assert not panel.use_button.isEnabled()
    panel.start.setValue(6)
    window = viewer.window
    dock = next(d for d in window.dock_widgets.values() if isinstance(d, AnglesDock))
    window.remove_dock_widget(dock)
    qtbot.wait(300)
    assert panel._work.idle


def test_it_is_opened_from_the_tilt_series_step(open_dock: Any) -> None:
    panel = open_dock(TiltSeriesDock).panel
    panel.open_angles()
    kinds = [type(d) for d in open_dock.viewer.window.dock_widgets.values()]
    assert AnglesDock in kinds
