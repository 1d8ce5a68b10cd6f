"""Shifting tilts by hand: keys, table, undo, files, another signal, wrong use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_inr_tomo.io import write_alignment
from napari_inr_tomo.types import Alignment, Poses, TiltSeries
from napari_inr_tomo.ui.docks.shifts import ShiftsDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.pair_layer import NAME

LONG_MS = 30_000
ANGLES = np.array([0.0, 4, -4, -8, 8])
MOVED = 3  # this tilt lies wrong by (4, -3) px


def blobs() -> TiltSeries:
    y, x = np.mgrid[:30, :40]
    images = np.array([np.exp(-(((x - 20) / 4) ** 2 + ((y - 14) / 3) ** 2))] * 5)
    images[MOVED] = np.roll(images[MOVED], (-3, 4), (0, 1))
    return TiltSeries(images, ANGLES, pixel_size_nm=2.0, name="blobs")


@pytest.fixture
def panel(open_dock: Any, qtbot: Any) -> Any:
    """The panel with the wrong tilt on the canvas, compared with the one after it."""
    panel = open_dock(ShiftsDock).panel
    open_dock.session.add_series(blobs())
    open_dock.session.show_tilt(MOVED)
    panel.reference.setCurrentIndex(1)
    panel.kind.setCurrentText("tilt")
    panel.switch.click()
    qtbot.waitUntil(lambda: panel.pair.layer is not None, timeout=LONG_MS)
    settle(qtbot, panel)
    return panel


def settle(qtbot: Any, panel: Any) -> None:
    for _ in range(2):  # what a step changes is followed a moment later
        panel._later.flush()
        qtbot.waitUntil(
            lambda: panel._work.idle and panel.session.busy is None, timeout=LONG_MS
        )


def shift(panel: Any, tilt: int = MOVED) -> tuple[float, float]:
    poses = panel.session.series.start_poses
    return float(poses.dx_px[tilt]), float(poses.dy_px[tilt])


def layers(panel: Any) -> list[str]:
    return [layer.name for layer in panel.session.viewer.layers]


def peak_yx(panel: Any) -> tuple[int, int]:
    data = panel.pair.layer.data
    return tuple(int(i) for i in np.unravel_index(np.argmax(data), data.shape))


def test_arrow_keys_move_what_is_seen_their_way(panel: Any, qtbot: Any) -> None:
    assert peak_yx(panel) == (11, 24)
    assert "agreement 0.3255" in panel.state.text()
    for key in [Qt.Key.Key_Left] * 4 + [Qt.Key.Key_Down] * 3:
        qtbot.keyClick(panel, key)
    settle(qtbot, panel)
    assert peak_yx(panel) == (14, 20)
    assert shift(panel) == (4, -3)
    assert "agreement 1.0000" in panel.state.text()
    assert [step.name for step in panel.session.series.history] == ["shift_by_hand"]
    qtbot.keyClick(panel, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert shift(panel) == pytest.approx((3.9, -3))
    qtbot.keyClick(panel.table, Qt.Key.Key_Up)  # the table leaves the arrows alone
    assert shift(panel) == pytest.approx((3.9, -2))


def test_the_canvas_takes_the_same_keys(panel: Any) -> None:
    from napari.utils.key_bindings import KeymapHandler

    viewer = panel.session.viewer
    assert viewer.layers.selection.active is panel.pair.layer
    handler = KeymapHandler()
    handler.keymap_providers = [panel.pair.layer, viewer]
    handler.press_key("Left")
    handler.press_key("Shift-Up")
    assert shift(panel) == pytest.approx((1, 0.1))
    handler.press_key("D")
    assert panel.kind.currentText() == "difference"
    handler.press_key("S")
    assert panel.tilt == 2


def test_tilts_go_by_angle_and_the_ends_say_so(panel: Any, qtbot: Any) -> None:
    assert not panel.before_button.isEnabled()
    assert "first tilt" in panel.row.reason_text
    seen = [panel.tilt]
    for _ in range(4):
        panel.after_button.click()
        settle(qtbot, panel)
        seen.append(panel.tilt)
    assert seen == [3, 2, 0, 1, 4]
    assert "no used tilt after" in panel.state.text()
    panel.reference.setCurrentIndex(2)
    panel.fixed.setValue(0)
    settle(qtbot, panel)
    assert "Tilt 4 (+8.0 deg) on 0 (+0.0 deg)" in panel.state.text()


def test_undo_goes_back_one_by_one_and_the_session_all_at_once(
    panel: Any, qtbot: Any
) -> None:
    session = panel.session
    panel.nudge(-1, 0)
    panel.nudge(0, 2)
    session.show_tilt(0)
    panel.nudge(5, 0)
    assert shift(panel, 0) == (-5, 0)
    assert panel.undo_button.text() == "Undo: tilt 0"
    panel.undo_button.click()
    assert shift(panel, 0) == (0, 0)
    assert panel.undo_button.text() == f"Undo: tilt {MOVED}"
    session.show_tilt(2)
    panel.undo_button.click()
    assert panel.tilt == MOVED  # shows what it takes back
    assert shift(panel) == (1, 0)
    session.undo()
    assert shift(panel) == (0, 0)
    assert session.undo_label is None
    assert not panel.undo_button.isEnabled()
    settle(qtbot, panel)


def test_flicker_and_difference(panel: Any, qtbot: Any) -> None:
    panel.rate.setValue(20)
    panel.kind.setCurrentText("flicker")
    seen = set()
    qtbot.waitUntil(lambda: seen.add(peak_yx(panel)) or len(seen) == 2, timeout=LONG_MS)
    assert seen == {(11, 24), (14, 20)}
    panel.kind.setCurrentText("difference")
    assert not panel.pair.flickering
    assert panel.pair.layer.data.min() < -1
    low, high = panel.pair.layer.contrast_limits
    assert low == -high  # grey is no difference


def test_table_cells_are_typed_and_left_out_views_struck_through(
    panel: Any, qtbot: Any
) -> None:
    table = panel.table
    assert [table.item(row, 0).text() for row in range(5)] == ["3", "2", "0", "1", "4"]
    table.item(2, 3).setText("-1.25")
    assert shift(panel, 0) == (0, -1.25)
    table.item(2, 2).setText("a lot")
    assert shift(panel, 0) == (0, -1.25)
    assert table.item(2, 2).text() == "0.00"
    for far in ("1e9", "-inf", "nan"):
        table.item(2, 2).setText(far)
        assert shift(panel, 0) == (0, -1.25)
        assert table.item(2, 2).text() == "0.00"
    table.item(2, 2).setText("0,5")
    assert shift(panel, 0) == (0.5, -1.25)
    table.item(2, 2).setText("0")
    assert not table.item(0, 1).flags() & Qt.ItemFlag.ItemIsEditable
    table.selectRow(1)
    settle(qtbot, panel)
    assert panel.tilt == 2
    panel.use_button.click()
    settle(qtbot, panel)
    assert table.item(1, 2).font().strikeOut()
    assert not table.item(2, 2).font().strikeOut()
    assert panel.use_button.text() == "Use again"
    panel.use_button.click()
    settle(qtbot, panel)
    assert not table.item(1, 2).font().strikeOut()


def test_saved_and_loaded(panel: Any, qtbot: Any, tmp_path: Path) -> None:
    for suffix in (".csv", ".aln", ".npz"):
        panel.put(MOVED, 4.0, -3.0)
        panel.exchange.save(str(tmp_path / f"by_hand{suffix}"))
        settle(qtbot, panel)
        panel.nudge(9, 9)
        panel.exchange.load(str(tmp_path / f"by_hand{suffix}"))
        settle(qtbot, panel)
        assert shift(panel) == (4, -3)
        assert not panel._past  # another step: the single shifts before are history
    panel.exchange.load(str(tmp_path / "absent.csv"))
    settle(qtbot, panel)
    assert shift(panel) == (4, -3)


def test_another_signal_takes_the_alignment(panel: Any, qtbot: Any) -> None:
    panel.nudge(-4, 3)
    maps = TiltSeries(
        np.ones((5, 15, 20)), ANGLES[::-1], pixel_size_nm=4.0, name="map of Fe"
    )
    session = panel.session
    session.add_series(maps)
    assert panel.exchange.other.currentText() == "blobs"
    panel.exchange.other_button.click()
    settle(qtbot, panel)
    assert session.layer.name == "map of Fe"
    assert shift(panel, 1) == (2, -1.5)  # in larger pixels, and in its own order
    settle(qtbot, panel)


def test_an_alignment_of_another_series_is_refused_in_words(
    panel: Any, qtbot: Any, tmp_path: Path
) -> None:
    from napari.utils.notifications import notification_manager

    other = Alignment(Poses.zeros(3), np.array([40.0, 50, 60]))
    write_alignment(tmp_path / "other.csv", other)
    panel.nudge(-4, 3)
    panel.exchange.load(str(tmp_path / "other.csv"))
    settle(qtbot, panel)
    assert "does not cover" in notification_manager.records[-1].message
    assert shift(panel) == (4, -3)


def test_the_layer_of_the_pair_deleted_ends_it_and_keeps_the_shifts(
    panel: Any, qtbot: Any
) -> None:
    panel.nudge(-4, 3)
    viewer = panel.session.viewer
    viewer.layers.remove(panel.pair.layer)
    assert panel.switch.text() == "Shift by hand"
    assert not panel.pair.flickering
    assert shift(panel) == (4, -3)
    panel.switch.click()
    qtbot.waitUntil(lambda: NAME in layers(panel), timeout=LONG_MS)


def test_the_series_deleted_midway(panel: Any, qtbot: Any) -> None:
    panel.kind.setCurrentText("flicker")
    panel.nudge(1, 0)  # being computed
    panel.session.viewer.layers.remove(panel.session.layer)
    settle(qtbot, panel)
    assert layers(panel) == []
    assert panel.table.rowCount() == 0
    assert "No tilt series" in panel.row.reason_text


def test_the_dock_closed_midway(panel: Any, qtbot: Any, open_dock: Any) -> None:
    panel.kind.setCurrentText("flicker")
    panel.nudge(-4, 3)
    viewer = panel.session.viewer
    window = viewer.window
    dock = next(d for d in window.dock_widgets.values() if isinstance(d, ShiftsDock))
    window.remove_dock_widget(dock)
    qtbot.wait(100)
    assert [layer.name for layer in viewer.layers] == ["blobs"]
    assert not panel.pair.flickering
    assert float(open_dock.session.series.start_poses.dx_px[MOVED]) == 4
    assert NAME not in [layer.name for layer in viewer.layers]


def test_a_step_of_another_dock_comes_between(panel: Any, qtbot: Any) -> None:
    """Binning changes size, pixels and shifts under the tool; it follows."""
    panel.nudge(-4, 2)
    steps = open_tilt_series(panel)
    steps.bin_button.click()
    assert panel.session.busy
    panel.nudge(1, 1)  # while busy: nothing happens
    settle(qtbot, panel)
    settle(qtbot, panel)
    assert shift(panel) == (2, -1)
    assert panel.pair.layer.data.shape == (15, 20)
    assert tuple(panel.pair.layer.scale) == (4.0, 4.0)
    assert not panel.undo_button.isEnabled()


def open_tilt_series(panel: Any) -> Any:
    viewer = panel.session.viewer
    dock = TiltSeriesDock(viewer)
    viewer.window.add_dock_widget(dock, name="Tilt series")
    return dock.panel
