"""The Slices dock: crosshair, network slices, wedge, wrong use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker, follow

from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.docks.slices import SlicesDock
from napari_inr_tomo.ui.series_layer import volume_layer_data
from napari_inr_tomo.ui.turns import idle

SHAPE = (9, 14, 11)


def add_volume(open_dock: Any, data: np.ndarray, nm: float = 2.0) -> Any:
    from napari.layers import Layer

    layer = Layer.create(*volume_layer_data(Volume(data, nm, "a volume")))
    return open_dock.viewer.add_layer(layer)


def test_slices_follow_the_crosshair_and_the_slider(open_dock: Any, qtbot: Any) -> None:
    data = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    panel = open_dock(SlicesDock).panel
    add_volume(open_dock, data)
    xy = panel.view.panes["xy"]
    qtbot.waitUntil(lambda: xy.shown is not None, timeout=LONG_MS)
    panel._moved((2.0, 1.5, -3.0))
    qtbot.waitUntil(lambda: np.allclose(xy.shown, data[1], atol=1e-4), timeout=LONG_MS)
    assert panel.view.panes["xz"].shown == pytest.approx(data[:, 8], abs=1e-4)
    assert panel.view.panes["yz"].shown == pytest.approx(data[:, :, 7], abs=1e-4)
    assert "x = +2.0 px (+4 nm)" in panel.view.panes["yz"].caption.text
    # napari went along, and leads as well
    qtbot.waitUntil(idle, timeout=LONG_MS)
    assert open_dock.viewer.dims.current_step[0] == 1
    open_dock.viewer.dims.set_current_step(0, 6)
    assert panel.view.position == pytest.approx((2.0, 1.5, 2.0))
    assert panel.boxes["z"].value() == 2.0
    qtbot.waitUntil(lambda: np.allclose(xy.shown, data[6], atol=1e-4), timeout=LONG_MS)


def test_dragging_a_line_moves_the_other_slices(open_dock: Any, qtbot: Any) -> None:
    panel = open_dock(SlicesDock).panel
    add_volume(open_dock, np.ones(SHAPE, np.float32))
    line = panel.view.panes["xz"].lines["right"]
    line.setValue(3.0)
    line.sigDragged.emit(line)
    assert panel.view.position == (3.0, 0.0, 0.0)
    assert panel.view.panes["xy"].lines["right"].value() == 3.0
    line = panel.view.panes["yz"].lines["down"]
    line.setValue(400.0)  # as far as the box goes
    line.sigDragged.emit(line)
    assert panel.view.position == (3.0, 0.0, 4.5)
    qtbot.waitUntil(lambda: panel._work.idle, timeout=LONG_MS)


def test_the_network_is_asked_and_its_answer_shown(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    panel = follow(open_dock, qtbot, worker, SlicesDock)
    run = open_dock.session.run
    worker.poses(7.0)
    worker.preview(4.0, (12, 12, 14))
    request = worker.run.paths.slice_request
    qtbot.waitUntil(request.exists, timeout=LONG_MS)
    assert panel.shown().voxel_px == 2
    xy = panel.view.panes["xy"]
    planes = worker.answer_until(qtbot, lambda: "epoch 5" in panel.state.text(), 4, 0.5)
    assert xy.shown.shape == worker.shape[1:]
    assert (xy.shown == 0.5).all()
    # the fourth plane lies across the axis the run has found
    turn = np.deg2rad(7.0)
    assert planes[3].right_xyz[:2] == pytest.approx((-np.sin(turn), np.cos(turn)))
    assert panel.view.wedge_shown == 2
    # only what has moved is read again; a new live volume asks for everything
    panel.boxes["z"].setValue(2.0)
    qtbot.waitUntil(request.exists, timeout=LONG_MS)
    (moved,) = worker.answer(5, 0.9)
    assert moved.centre_xyz == (0.0, 0.0, 2.0)
    qtbot.waitUntil(lambda: np.all(xy.shown == np.float32(0.9)), timeout=LONG_MS)
    assert (panel.view.panes["yz"].shown == 0.5).all()
    worker.preview(4.0, (12, 12, 14))
    qtbot.waitUntil(request.exists, timeout=LONG_MS)
    read = worker.answer_until(qtbot, lambda: "epoch 7" in panel.state.text(), 6, 0.4)
    assert len(read) == 4
    # closer than the voxels
    panel.zoom.setValue(4)
    qtbot.waitUntil(request.exists, timeout=LONG_MS)
    assert worker.answer(4, 0.7)[0].step_px < 0.3
    qtbot.waitUntil(lambda: np.all(xy.shown == np.float32(0.7)), timeout=LONG_MS)
    worker.finish()
    qtbot.waitUntil(lambda: run.record.end is not None, timeout=LONG_MS)
    qtbot.waitUntil(lambda: "voxels of the volume" in panel.state.text(), timeout=9000)
    assert xy.shown.max() == pytest.approx(1, abs=1e-4)
    assert not request.exists()


def test_a_classical_run_is_not_asked(
    open_dock: Any, qtbot: Any, worker: Worker
) -> None:
    from napari_inr_tomo import events

    panel = follow(open_dock, qtbot, worker, SlicesDock)
    worker.say(events.Phase(name="SIRT"))
    worker.preview(4.0, worker.shape)
    qtbot.waitUntil(lambda: "Interpolated" in panel.state.text(), timeout=LONG_MS)
    assert not worker.run.paths.slice_request.exists()


def test_a_removed_volume_and_a_closed_dock_leave_nothing(
    open_dock: Any, qtbot: Any
) -> None:
    dock = open_dock(SlicesDock)
    panel = dock.panel
    layer = add_volume(open_dock, np.ones((40, 40, 40), np.float32))
    qtbot.waitUntil(lambda: panel.view.panes["xy"].shown is not None, timeout=LONG_MS)
    open_dock.viewer.layers.remove(layer)
    assert panel.view.panes["xy"].shown is None
    assert "no volume yet" in panel.row.reason_text
    panel._moved((1.0, 1.0, 1.0))
    add_volume(open_dock, np.ones((40, 40, 40), np.float32))
    panel.cut()
    open_dock.viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: panel._work.idle, timeout=LONG_MS)


def test_a_free_plane_is_cut_at_its_angles(open_dock: Any, qtbot: Any) -> None:
    data = np.random.default_rng(0).random((14, 14, 14)).astype(np.float32)
    panel = open_dock(SlicesDock).panel
    add_volume(open_dock, data)
    fourth = panel.view.fourth
    qtbot.waitUntil(lambda: fourth.shown is not None, timeout=LONG_MS)
    assert not panel.fields.isRowVisible(panel.angles)
    assert not any(pane.trace.isVisible() for pane in panel.view.panes.values())
    panel.fourth.setCurrentText("free plane")
    panel.turn.setValue(0)
    panel.lean.setValue(90)
    panel._moved((0.5, 3.5, -1.5))
    qtbot.waitUntil(
        lambda: np.allclose(fourth.shown, data[:, 10], atol=1e-4), timeout=LONG_MS
    )
    assert panel.view.wedge_shown == 0
    panel.lean.setValue(45)
    panel.turn.setValue(90)
    qtbot.waitUntil(lambda: panel._work.idle, timeout=LONG_MS)
    xz, yz = panel.view.panes["xz"].trace, panel.view.panes["yz"].trace
    # +x leans towards +z, and in yz the plane is a line along y
    qtbot.waitUntil(lambda: abs(xz.angle) % 180 in (45.0, 135.0), timeout=LONG_MS)
    assert yz.angle % 180 == pytest.approx(0)
    panel.fourth.setCurrentText("power spectrum")
    qtbot.waitUntil(lambda: not xz.isVisible(), timeout=LONG_MS)


def test_the_wheel_zooms_and_the_voxels_are_drawn(open_dock: Any, qtbot: Any) -> None:
    panel = open_dock(SlicesDock).panel
    add_volume(open_dock, np.ones((60, 60, 60), np.float32))
    xy = panel.view.panes["xy"]
    qtbot.waitUntil(lambda: xy.shown is not None, timeout=LONG_MS)
    assert not len(xy.grid.getData()[0])
    panel._moved((5.0, 5.0, 5.0))
    panel.view.zoomed.emit(6.0)
    assert panel.zoom.value() == 6
    qtbot.waitUntil(lambda: xy.rect.width() == pytest.approx(10), timeout=LONG_MS)
    edges = np.unique(xy.grid.getData()[0])
    assert set(range(11)) <= set(edges.tolist())


def test_a_small_volume_has_no_grid_before_it_is_zoomed(
    open_dock: Any, qtbot: Any
) -> None:
    panel = open_dock(SlicesDock).panel
    add_volume(open_dock, np.ones((32, 30, 28), np.float32))
    panes = panel.view.panes.values()
    qtbot.waitUntil(lambda: all(p.shown is not None for p in panes), timeout=LONG_MS)
    assert not any(len(pane.grid.getData()[0]) for pane in panes)
    panel.view.zoomed.emit(2.0)
    grids = lambda: all(len(pane.grid.getData()[0]) for pane in panes)  # noqa: E731
    qtbot.waitUntil(grids, timeout=LONG_MS)


def test_the_volume_is_seen_in_3d_beside_its_slices(open_dock: Any, qtbot: Any) -> None:
    panel = open_dock(SlicesDock).panel
    layer = add_volume(open_dock, np.ones(SHAPE, np.float32))
    other = open_dock.viewer.add_image(np.ones(SHAPE))
    panel.volume_box.choose(layer)
    panel.solid_button.click()
    assert open_dock.viewer.dims.ndisplay == 3
    assert layer.visible
    assert not other.visible
    panel._moved((1.0, 2.0, 3.0))  # the crosshair works meanwhile
    assert panel.view.position == (1.0, 2.0, 3.0)
    panel.solid_button.click()
    assert open_dock.viewer.dims.ndisplay == 2
    qtbot.waitUntil(lambda: panel._work.idle, timeout=LONG_MS)


def test_a_dock_opened_later_cuts_where_the_slider_stands(
    open_dock: Any, qtbot: Any
) -> None:
    """What is looked at on the canvas is what the crosshair begins with."""
    data = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    first = add_volume(open_dock, data)
    open_dock.viewer.dims.set_current_step(0, 7)
    panel = open_dock(SlicesDock).panel
    xy = panel.view.panes["xy"]
    qtbot.waitUntil(lambda: xy.shown is not None, timeout=LONG_MS)
    assert panel.view.position == pytest.approx((0.0, 0.0, 3.0))
    qtbot.waitUntil(lambda: np.allclose(xy.shown, data[7], atol=1e-4), timeout=LONG_MS)
    assert open_dock.viewer.dims.current_step[0] == 7
    second = add_volume(open_dock, data)
    first.visible = second.visible = False
    panel.volume_box.choose(second)  # not on the canvas: the crosshair stays
    open_dock.viewer.dims.set_current_step(0, 2)
    panel.volume_box.choose(first)
    assert panel.view.position == pytest.approx((0.0, 0.0, 3.0))
    qtbot.waitUntil(lambda: panel._work.idle, timeout=LONG_MS)
