"""The docks at work on a small series, rightly and wrongly used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from step_helpers import LONG_MS, done, errors

from napari_inr_tomo import io
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.controls import number
from napari_inr_tomo.ui.docks.alignment import AlignmentDock
from napari_inr_tomo.ui.docks.background import BackgroundDock
from napari_inr_tomo.ui.docks.export import ExportDock
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.docks.scan_drift import ScanDriftDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.steps import forget_poses

# tilt series -----------------------------------------------------------------------


def test_open_angles_views_undo(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    io.write_series(tmp_path / "stack.tif", small_series)
    (tmp_path / "stack.tlt").unlink()
    (tmp_path / "stack.json").unlink()
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    panel.path.setText(str(tmp_path / "stack.tif"))
    panel.angles.setText("-60:60:5")
    panel.open_button.click()
    assert session.busy
    assert not panel.open_button.isEnabled()
    done(qtbot, session)
    assert session.series.angles_deg.tolist() == list(range(-60, 61, 5))
    assert "-60.0 to 60.0 deg" in panel.summary.text()
    panel.table.selectRow(3)
    assert session.shown_tilt() == 3
    panel.exclude_button.click()
    done(qtbot, session)
    assert not session.series.mask[3]
    assert panel.table.item(3, 2).text() == "left out"
    assert "1 left out" in panel.summary.text()
    panel.undo_button.click()
    assert session.series.mask.all()
    panel.factor.setValue(2)
    panel.bin_button.click()
    done(qtbot, session)
    assert session.series.images.shape == (25, 12, 14)
    assert session.layer.data.shape == (25, 12, 14)


def test_every_undo_names_the_step_it_takes_back(
    open_dock: Any, small_series: TiltSeries
) -> None:
    """The last step may have been taken in another dock."""
    session = open_dock.session
    layer = session.add_series(small_series)
    kinds = (TiltSeriesDock, BackgroundDock, AlignmentDock, ScanDriftDock)
    buttons = [open_dock(kind).panel.undo_button for kind in kinds]
    turned = forget_poses(small_series)
    for label in ("Subtracting the background", "Cross-correlating"):
        session.apply(layer, turned, label)
        assert {button.text() for button in buttons} == {f"Undo: {label}"}
    buttons[1].click()
    texts = {button.text() for button in buttons}
    assert texts == {"Undo: Subtracting the background"}
    buttons[2].click()
    assert {button.text() for button in buttons} == {"Undo"}
    assert not any(button.isEnabled() for button in buttons)


def test_wrong_file_and_wrong_angles_are_said_in_words(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, tmp_path: Path
) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    session.add_series(small_series)
    panel.path.setText(str(tmp_path / "absent.mrc"))
    panel.open_button.click()
    done(qtbot, session)
    assert "absent.mrc" in errors()[-1]
    for text, words in (("1:2:1", "number of tilt angles"), ("", "No angles")):
        panel.angles.setText(text)
        panel.set_angles_button.click()
        done(qtbot, session)
        assert words in errors()[-1]
    assert np.array_equal(session.series.angles_deg, small_series.angles_deg)


def test_a_plain_layer_becomes_a_series(open_dock: Any, qtbot: Any) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    plain = open_dock.viewer.add_image(np.ones((5, 6, 7)), name="plain")
    open_dock.viewer.layers.selection.active = plain
    assert panel.convert_button.isEnabled()
    panel.angles.setText("-20:20:10")
    panel.convert_button.click()
    done(qtbot, session)
    assert session.series.angles_deg.tolist() == [-20, -10, 0, 10, 20]
    assert session.layer.name == "plain (tilt series)"


def test_handedness_and_pixel_size(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    session.add_series(small_series)
    panel.flip_button.click()
    done(qtbot, session)
    assert np.array_equal(session.series.angles_deg, -small_series.angles_deg)
    assert session.series.history[-1].name == "flip_handedness"
    panel.pixel.setValue(0.25)
    panel.pixel_button.click()
    done(qtbot, session)
    assert session.layer.scale == pytest.approx([0.25] * 3)


def test_the_box_of_the_pixel_size_says_where_it_is_unknown(
    open_dock: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    assert panel.pixel.text() == "unknown"
    known = session.add_series(small_series.evolve(pixel_size_nm=0.25))
    assert panel.pixel.text() == "0.2500 nm"
    unknown = session.add_series(small_series.evolve(pixel_size_nm=None))
    assert "Pixel size: unknown" in panel.summary.text()
    assert panel.pixel.text() == "unknown"
    assert "Type the pixel size" in panel.summary_row.reason_text
    panel.pixel.setValue(0.5)
    assert panel.pixel_button.isEnabled()
    session.apply(unknown, forget_poses(session.series), "Forgetting the poses")
    assert panel.pixel.value() == 0.5
    session.layer = known
    assert panel.pixel.text() == "0.2500 nm"


def test_a_number_is_typed_over_the_word_in_its_place(qtbot: Any) -> None:
    box = number(0, 0, 1000, "", " nm", decimals=4)
    box.setSpecialValueText("unknown")
    qtbot.addWidget(box)
    box.lineEdit().setCursorPosition(3)  # what a click into the word does
    qtbot.keyClicks(box, "0.5")
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert box.value() == 0.5


def test_layer_removed_while_a_step_runs(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    layer = session.add_series(small_series)
    panel.bin_button.click()
    open_dock.viewer.layers.remove(layer)
    done(qtbot, session)
    assert session.series is None
    assert panel.summary.text() == "No tilt series is open."
    assert len(open_dock.viewer.layers) == 0
    assert errors() == []


# settings --------------------------------------------------------------------------


def test_settings_become_a_config(open_dock: Any, small_series: TiltSeries) -> None:
    panel = open_dock(ReconstructionDock).panel
    open_dock.session.add_series(small_series)
    panel.preset.setCurrentText("paper")
    assert panel.count.value() == 150
    panel.count.setValue(12)
    panel.poses.setChecked(False)
    panel.depth.setValue(20)
    panel.seed.setValue(7)
    config = panel.config()
    assert (config.method, config.preset, config.seed) == ("inr", "paper", 7)
    assert config.inr.schedule.epochs == 12
    assert not config.inr.poses.refine
    assert config.inr.field.width == 512
    assert config.depth_px == 20
    panel.preset.setCurrentText("fast")
    assert panel.count.text() == "as needed"
    assert panel.config().inr.schedule.epochs is None
    panel.method.setCurrentText("SIRT")
    assert panel.config().method == "sirt"
    assert panel.config().classic.iterations == panel.count.value() == 100
    assert not panel.preset.isEnabled()
    assert "no presets" in panel.poses_why.text()


def test_device_and_memory_are_said(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel = open_dock(ReconstructionDock).panel
    assert "Checking" in panel.more.device_words.text()
    open_dock.session.add_series(small_series)
    qtbot.waitUntil(lambda: panel.devices is not None, timeout=LONG_MS)
    assert "GPU" in panel.more.device_words.text()
    qtbot.waitUntil(lambda: "Memory about" in panel.memory.text(), timeout=LONG_MS)
    assert "24 x 24 x 28 voxels" in panel.memory.text() or "25 x" in panel.memory.text()


# export ----------------------------------------------------------------------------


def test_export_of_a_plain_volume_and_start_poses(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    panel, session = open_dock(ExportDock).panel, open_dock.session
    assert "reconstruct first" in panel.volume_row.reason_text
    session.add_series(small_series)
    open_dock.viewer.add_image(np.ones((4, 5, 6), np.float32), name="mine")
    assert panel.volume_box.currentText() == "mine"
    panel.save_volume(tmp_path / "v.npy")
    done(qtbot, session)
    panel.save_poses(tmp_path / "poses.csv")
    done(qtbot, session)
    panel.save_stack(tmp_path / "aligned.mrc")
    done(qtbot, session)
    assert io.read_volume(tmp_path / "v.npy").data.shape == (4, 5, 6)
    assert len(io.read_poses(tmp_path / "poses.csv")[1]) == len(small_series)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"aligned.mrc", "aligned.tlt", "aligned.xf", "aligned.json"} <= names
    assert "v.npy.json" in names
    assert all(name in panel.written.text() for name in names)
    assert not panel.record_button.isEnabled()


def test_export_to_a_place_that_cannot_be_written(
    open_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    panel, session = open_dock(ExportDock).panel, open_dock.session
    open_dock.viewer.add_image(np.ones((4, 5, 6), np.float32), name="mine")
    panel.save_volume(tmp_path / "absent" / "deeper" / "v.mrc")
    done(qtbot, session)
    assert len(errors()) == 1
    assert panel.written.text() == ""


def test_two_passes_are_merged_and_listed(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    first = session.add_series(small_series.take(slice(0, None, 2)))
    assert "Open the other pass as well" in panel.passes.row.reason_text
    session.add_series(small_series.take(slice(1, None, 2)))
    assert panel.passes.other.currentData() is first
    panel.passes.button.click()
    qtbot.waitUntil(lambda: session.busy is None, timeout=20_000)
    merged = session.series
    assert merged.angles_deg.tolist() == small_series.angles_deg.tolist()
    np.testing.assert_array_equal(merged.images, small_series.images)
    assert merged.groups.tolist() == [(k + 1) % 2 for k in range(len(small_series))]
    assert "in 2 passes" in panel.summary.text()
    assert panel.table.item(0, 3).text() == "2"
    assert not panel.table.isColumnHidden(3)
    panel.table.selectRow(10)
    panel.passes.mark_button.click()
    qtbot.waitUntil(lambda: session.busy is None, timeout=20_000)
    assert session.series.groups.tolist() == [0] * 10 + [1] * 15
    for layer in session.series_layers()[:-1]:
        open_dock.viewer.layers.remove(layer)
    assert panel.passes.other.count() == 0
    assert not panel.passes.button.isEnabled()


@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
def test_the_shown_tilt_of_a_new_series_is_in_sight_in_the_table(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    """'Leave out' takes what is selected: that must be seen."""
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    session.add_series(small_series)
    row = small_series.reference
    qtbot.waitUntil(lambda: panel.selected_tilts() == [row], timeout=5000)
    place = panel.table.visualItemRect(panel.table.item(row, 0))
    assert panel.table.viewport().rect().contains(place.center())
