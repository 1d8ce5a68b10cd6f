"""The docks at work on a small series, rightly and wrongly used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo import io
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.alignment import AlignmentDock
from napari_inr_tomo.ui.docks.background import BackgroundDock
from napari_inr_tomo.ui.docks.export import ExportDock
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock

LONG_MS = 30_000


def errors() -> list[str]:
    from napari.utils.notifications import NotificationSeverity, notification_manager

    return [
        record.message
        for record in notification_manager.records
        if record.severity >= NotificationSeverity.ERROR
    ]


def done(qtbot: Any, session: Any) -> None:
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)


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


# background ------------------------------------------------------------------------


def test_background_preview_then_all_tilts(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    session.show_tilt(12)
    panel.preview_button.click()
    done(qtbot, session)
    assert panel.mask_picture.shown
    assert panel.rest_picture.shown
    assert "Tilt 12 (0.0 deg)" in panel.numbers.text()
    assert np.array_equal(session.series.images, small_series.images)
    panel.degree_y.setValue(2)
    panel.apply_button.click()
    done(qtbot, session)
    assert session.series.history[-1].name == "subtract_background"
    panel.undo_button.click()
    assert np.array_equal(session.series.images, small_series.images)


def test_painted_mask_is_used(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    panel.paint_button.click()
    assert panel.mask_box.currentText() == "Specimen mask"
    mask = open_dock.viewer.layers["Specimen mask"]
    mask.data[5:9, 6:12] = 1
    panel.preview_button.click()
    done(qtbot, session)
    assert panel.mask_picture._overlay[5:9, 6:12].all()
    open_dock.viewer.layers.remove(mask)
    assert panel.mask_box.currentText() == "automatic"


def test_cleaning_buttons_leave_their_steps_and_can_be_undone(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    assert not panel.prepare_button.isEnabled()
    session.add_series(small_series)
    before = len(small_series.history)
    for button in (panel.hot_button, panel.views_button, panel.level_button):
        button.click()
        done(qtbot, session)
    names = [step.name for step in session.series.history[before:]]
    assert names == ["mask_outliers", "check_views", "normalise_tilts"]
    for _ in names:
        panel.undo_button.click()
    assert session.series is small_series
    panel.prepare_button.click()
    done(qtbot, session)
    assert session.series.history[-1].name == "normalise_tilts"


# alignment -------------------------------------------------------------------------


def test_alignment_writes_poses_and_leaves_the_pixels(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(AlignmentDock).panel, open_dock.session
    session.add_series(small_series)
    panel.xcorr_button.click()
    done(qtbot, session)
    assert session.series.images is small_series.images
    assert session.series.start_poses.as_array().any()
    x, y = panel.plot.shifts.line("dx")
    assert x.tolist() == small_series.angles_deg.tolist()
    assert y == pytest.approx(session.series.start_poses.dx_px)
    panel.forget_button.click()
    done(qtbot, session)
    assert not session.series.start_poses.as_array().any()


def test_projection_matching_from_its_button(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(AlignmentDock).panel, open_dock.session
    assert not panel.match_button.isEnabled()
    assert not panel.all_button.isEnabled()
    session.add_series(small_series)
    panel.match_button.click()
    done(qtbot, session)
    assert session.series.history[-1].name == "align_projections"
    assert session.series.images is small_series.images


def test_axis_tool_typed_undone_applied(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(AlignmentDock).panel, open_dock.session
    tool = panel.tool
    session.add_series(small_series)
    tool.switch.click()
    qtbot.waitUntil(lambda: tool.pictures[2].shown, timeout=LONG_MS)
    assert "negative" in tool.pictures[0].caption.text()
    before = tool.lines.data.copy()
    tool.angle.setValue(4.0)
    tool.shift.setValue(1.0)
    assert not np.allclose(tool.lines.data, before)
    tool.undo_button.click()
    assert tool.value == (4.0, 0.0)
    tool.shift.setValue(1.0)
    tool.apply_button.click()
    done(qtbot, session)
    poses = session.series.start_poses
    assert poses.axis_deg == pytest.approx(4.0)
    across = poses.dy_px * np.cos(np.deg2rad(4)) - poses.dx_px * np.sin(np.deg2rad(4))
    assert across == pytest.approx(np.ones(len(poses)))
    tool.switch.click()
    assert not tool.enabled
    assert [layer.name for layer in open_dock.viewer.layers] == [small_series.name]
    tool.enable()
    assert tool.value == pytest.approx((4.0, 1.0), abs=0.01)
    qtbot.waitUntil(lambda: tool._worker is None, timeout=LONG_MS)


def test_axis_tool_is_dragged_with_the_mouse(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    tool, session = open_dock(AlignmentDock).panel.tool, open_dock.session
    session.add_series(small_series)
    tool.enable()
    viewer, layer = open_dock.viewer, tool.lines
    centre = (np.array(small_series.images.shape[1:]) - 1) / 2

    class Event:
        def __init__(self, kind: str, yx: np.ndarray) -> None:
            self.type = kind
            self.position = (0.0, *(yx * layer.scale[-1]))

    def drag(start: np.ndarray, end: np.ndarray) -> None:
        event = Event("mouse_press", start)
        for follow in layer.mouse_drag_callbacks:
            following = follow(layer, event)
            next(following)
            assert not layer.mouse_pan
            event.type, event.position = "mouse_move", Event("", end).position
            next(following)
            event.type = "mouse_release"
            assert next(following, "over") == "over"
        assert layer.mouse_pan

    drag(centre, np.add(centre, [2, 0]))
    assert tool.value == pytest.approx((0, 2))
    drag(np.add(centre, [2, 10]), np.add(centre, [2 + 10 * np.tan(np.deg2rad(10)), 10]))
    assert tool.angle.value() == pytest.approx(10, abs=0.01)
    tool.undo()
    assert tool.value == pytest.approx((0, 2))
    drag(np.add(centre, [7, 7]), np.add(centre, [7, 9]))
    assert tool._positions[2] == pytest.approx(9)
    qtbot.waitUntil(lambda: "+9 px" in tool.pictures[2].caption.text(), timeout=LONG_MS)
    viewer.layers.remove(layer)
    assert not tool.enabled


def test_axis_tool_ends_with_its_series_and_with_the_dock(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    dock, viewer = open_dock(AlignmentDock), open_dock.viewer
    tool, session = dock.panel.tool, open_dock.session
    layer = session.add_series(small_series)
    tool.enable()
    viewer.layers.remove(layer)
    assert not tool.enabled
    assert len(viewer.layers) == 0
    session.add_series(small_series)
    tool.enable()
    viewer.window.remove_dock_widget(dock)
    assert not tool.enabled
    assert [other.name for other in viewer.layers] == [small_series.name]
    assert dock.panel._listening == []


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
    assert "Checking" in panel.device_words.text()
    open_dock.session.add_series(small_series)
    qtbot.waitUntil(lambda: panel.devices is not None, timeout=LONG_MS)
    assert "GPU" in panel.device_words.text()
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
    assert "aligned.xf" in panel.written.text()
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
