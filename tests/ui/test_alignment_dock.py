"""The alignment dock and its axis tool, rightly and wrongly used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer
from step_helpers import LONG_MS, done, errors, scale_bar

from napari_inr_tomo.align import set_tilt_axis
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.docks.alignment import AlignmentDock
from napari_inr_tomo.ui.series_layer import volume_layer_data


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


def test_an_empty_stack_is_said_to_be_one_by_every_button(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(AlignmentDock).panel, open_dock.session
    session.add_series(small_series.evolve(images=0 * small_series.images))
    panel.tool.enable()
    buttons = (panel.xcorr_button, panel.mass_button, panel.line_button)
    buttons += (panel.match_button, panel.all_button, panel.tool.auto_button)
    for count, button in enumerate(buttons, 1):
        button.click()
        done(qtbot, session)
        assert [error.split(":")[0] for error in errors()] == count * [
            "There is nothing to align"
        ]
    assert session.series.history == small_series.history


def test_settings_of_the_correlation_and_the_common_line(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(AlignmentDock).panel, open_dock.session
    session.add_series(small_series)
    panel.correlation.cumulative.setChecked(True)
    assert not panel.correlation.neighbours.isEnabled()
    panel.correlation.stretch.setChecked(True)
    panel.correlation.taper.setValue(30)
    panel.correlation.limit.setValue(6)
    panel.xcorr_button.click()
    done(qtbot, session)
    parameters = session.series.history[-1].parameters
    assert parameters["stretch"]
    assert parameters["cumulative"]
    assert parameters["taper"] == pytest.approx(0.3)
    assert parameters["max_shift_px"] == 6
    panel.line_button.click()
    done(qtbot, session)
    assert session.series.history[-1].name == "align_common_line"
    assert session.series.images is small_series.images


def test_the_axis_is_drawn_on_a_picture_of_all_tilts(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    dock, viewer = open_dock(AlignmentDock), open_dock.viewer
    tool, session = dock.panel.tool, open_dock.session
    assert not tool.on.isEnabled()
    layer = session.add_series(small_series)
    tool.enable()
    tool.on.setCurrentText("sum of all")
    tool.on.setCurrentText("maximum of all")  # before the first is there
    name = "Maximum of all tilts"
    qtbot.waitUntil(lambda: name in viewer.layers, timeout=LONG_MS)
    assert not layer.visible
    picture = viewer.layers[name]
    assert picture.data.shape == small_series.images.shape[1:]
    assert viewer.layers.index(picture) < viewer.layers.index(tool.lines)
    tool.on.setCurrentText("the tilts")
    assert name not in viewer.layers
    assert layer.visible
    tool.on.setCurrentText("sum of all")
    qtbot.waitUntil(lambda: "Sum of all tilts" in viewer.layers, timeout=LONG_MS)
    viewer.layers.remove("Sum of all tilts")  # wrongly used: deleted by hand
    tool.disable()
    assert layer.visible
    assert [other.name for other in viewer.layers] == [small_series.name]
    assert tool.on.currentText() == "the tilts"
    tool.enable()
    tool.on.setCurrentText("sum of all")
    viewer.layers.remove(layer)  # while the picture is being made
    qtbot.waitUntil(lambda: tool._under._worker is None, timeout=LONG_MS)
    assert not tool.enabled
    assert len(viewer.layers) == 0
    assert errors() == []


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
    assert "left" in tool.pictures[0].caption.text()
    size_nm = session.series.pixel_size_nm
    place = f"at -7 px ({-7 * size_nm:+.3g} nm)\n"
    assert tool.pictures[0].caption.text().startswith(place)
    assert {p.scale_words for p in tool.pictures} == {scale_bar(24, size_nm)}
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
    assert open_dock.viewer.layers.selection.active is session.layer
    tool.enable()
    assert tool.value == pytest.approx((4.0, 1.0), abs=0.01)
    qtbot.waitUntil(lambda: tool.idle, timeout=LONG_MS)


def test_done_uses_the_axis_that_was_adjusted(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, tmp_path: Path
) -> None:
    tool, session = open_dock(AlignmentDock).panel.tool, open_dock.session
    session.add_series(small_series)
    tool.switch.click()
    assert tool.switch.text() == "Done adjusting"
    assert not tool.apply_button.isEnabled()
    tool.angle.setValue(12.0)
    assert tool.switch.text() == "Use this axis and close"
    with pytest.raises(UserError, match="not used yet"):  # nor is it forgotten
        session.run.begin(tmp_path / "run", ReconstructionConfig.from_preset("preview"))
    tool.switch.click()
    done(qtbot, session)
    assert session.series.start_poses.axis_deg == pytest.approx(12)
    assert not tool.enabled
    assert session.unused is None
    tool.switch.click()
    tool.switch.click()
    assert len(session.series.history) == len(small_series.history) + 1


def test_axis_tool_follows_what_others_do_to_the_axis(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(AlignmentDock).panel, open_dock.session
    tool = panel.tool
    session.add_series(small_series)
    session.apply(session.layer, set_tilt_axis(small_series, 5.0, 1.0), "Axis")
    tool.switch.click()
    assert tool.value == (5, 1)
    tool.angle.setValue(20.0)
    tool.apply_button.click()
    done(qtbot, session)
    panel.undo_button.click()
    assert tool.value == (5, 1)
    _, step = tool.lines.data[0]
    assert np.rad2deg(np.arctan2(step[0], step[1])) == pytest.approx(5)
    panel.forget_button.click()
    done(qtbot, session)
    assert tool.value == (0, 0)
    tool.angle.setValue(9.0)  # adjusted, not used: it stays
    session.apply(session.layer, set_tilt_axis(session.series, 1.0, 0.0), "Axis")
    assert tool.value == (9, 0)
    session.apply(session.layer, bin_images(session.series, 2), "Bin")
    assert tool.enabled
    assert tool.lines.data[0][1] @ tool.lines.data[0][1] == pytest.approx(21**2)


def test_an_axis_beyond_90_degrees_keeps_the_sense_of_the_tilts(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    tool, session = open_dock(AlignmentDock).panel.tool, open_dock.session
    session.add_series(set_tilt_axis(small_series, 100.0, 2.0))
    tool.enable()
    assert tool.value == (-80, -2)
    tool.angle.setValue(-78.0)
    tool.apply()
    done(qtbot, session)
    wanted = set_tilt_axis(small_series, 102.0, 2.0).start_poses.as_array()
    assert session.series.start_poses.as_array() == pytest.approx(wanted)


def test_the_axis_is_drawn_on_the_tilts_not_on_the_volume_before_them(
    open_dock: Any, small_series: TiltSeries
) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    tool = open_dock(AlignmentDock).panel.tool
    session.add_series(small_series)
    volume = Volume(np.ones((24, 24, 28), np.float32), 1.0)
    viewer.add_layer(Layer.create(*volume_layer_data(volume)))
    assert session.on_top() == "z"
    tool.switch.click()
    assert session.on_top() == "tilt"


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


def test_an_axis_that_was_found_is_told_beside_the_one_before(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    """By its own numbers what was found may be the worse of the two."""
    tool, session = open_dock(AlignmentDock).panel.tool, open_dock.session
    session.add_series(small_series)
    tool.enable()
    qtbot.waitUntil(lambda: tool.idle and tool.pictures[0].shown, timeout=LONG_MS)
    told = tool.slices.told
    assert told.startswith("mean negativity 0.")
    tool.auto_button.click()
    done(qtbot, session)
    assert tool.value != (0.0, 0.0)
    assert f"Before: 0.00 deg, 0.00 px, {told};" in tool.found.text()
    qtbot.waitUntil(lambda: tool.idle, timeout=LONG_MS)
    assert tool.slices.told != told


def test_of_replaced_images_no_axis_is_drawn_and_none_is_shown_aligned(
    open_dock: Any, small_series: TiltSeries
) -> None:
    """The poses are those of the images before, of another size."""
    panel, session = open_dock(AlignmentDock).panel, open_dock.session
    layer = session.add_series(small_series)
    layer.data = np.ones((25, 12, 14), np.float32)
    assert not panel.tool.switch.isEnabled()
    assert "were replaced" in panel.tool.switch_row.reason_text
    panel.tool.enable()
    assert not panel.tool.enabled
    assert not panel.aligned_tick.isEnabled()
    assert "were replaced" in panel.aligned_tick.toolTip()
    layer.data = np.array(small_series.images)
    session.undo()
    panel.refresh()
    assert panel.tool.switch.isEnabled()
    assert panel.aligned_tick.isEnabled()


def test_small_numbers_of_the_slices_are_told_apart(qtbot: Any) -> None:
    """A good axis of clean images has a negative share of some ten-thousandths."""
    from types import SimpleNamespace

    from napari_inr_tomo.ui.axis_slices import AxisSlices

    slices = AxisSlices(1)
    qtbot.addWidget(slices)
    slices._on = True
    told = set()
    for share in (0.00042, 0.00031):
        image = np.ones((1, 8, 8), np.float32)
        result = SimpleNamespace(slices=image, negativity=[share], residual=[0.05])
        slices.show_result(result, (0.0,), None)
        assert f"negative {share:g}" in slices.pictures[0].caption.text()
        told.add(slices.told)
    assert len(told) == 2
