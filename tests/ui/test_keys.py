"""The keys: bound once, do what the table says, gone with the last dock."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scripted_run import LONG_MS

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.sinogram import SinogramDock
from napari_inr_tomo.ui.docks.slices import SlicesDock
from napari_inr_tomo.ui.docks.workflow import WorkflowDock
from napari_inr_tomo.ui.keys import KEYS

SHOWN = pytest.mark.parametrize("open_dock", ["shown"], indirect=True)


def press(open_dock: Any, letter: str) -> None:
    key = next(k for k in KEYS if k.key == f"Alt+{letter}")
    shortcut = open_dock.session.keys.shortcuts[KEYS.index(key)]
    assert shortcut.isEnabled()
    shortcut.activated.emit()


def test_no_key_is_there_twice_or_opens_a_menu() -> None:
    keys = [key.key for key in KEYS]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & {f"Alt+{letter}" for letter in "FVLPWHSCT"}


@SHOWN
def test_keys_turn_the_steps_and_leave_tilts_out(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    session = open_dock.session
    dock = open_dock(WorkflowDock)
    qtbot.waitUntil(lambda: bool(session.keys.shortcuts), timeout=LONG_MS)
    for letter in "ZXJ":  # nothing is open yet
        press(open_dock, letter)
    session.add_series(small_series)
    window = dock.window()
    window.activateWindow()
    press(open_dock, "N")
    assert dock.step == 1
    press(open_dock, "B")
    assert dock.step == 0
    press(open_dock, "4")
    assert dock.step == 3
    session.show_tilt(7)
    press(open_dock, "X")
    qtbot.waitUntil(lambda: not session.series.mask[7], timeout=LONG_MS)
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
    press(open_dock, "X")
    qtbot.waitUntil(lambda: session.series.mask[7], timeout=LONG_MS)
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)
    press(open_dock, "Z")
    assert not session.series.mask[7]


@SHOWN
def test_a_key_reaches_the_window(open_dock: Any, qtbot: Any) -> None:
    dock = open_dock(WorkflowDock)
    window = dock.window()
    qtbot.waitUntil(lambda: bool(open_dock.session.keys.shortcuts), timeout=LONG_MS)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow, timeout=LONG_MS)
    QTest.keyClick(window, Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: dock.step == 1, timeout=LONG_MS)


@SHOWN
def test_keys_open_docks_and_go_with_the_last(open_dock: Any, qtbot: Any) -> None:
    session, window = open_dock.session, open_dock.viewer.window
    first = open_dock(SlicesDock)
    qtbot.waitUntil(lambda: bool(session.keys.shortcuts), timeout=LONG_MS)
    press(open_dock, "G")
    docks = [type(widget) for widget in window.dock_widgets.values()]
    assert docks.count(SinogramDock) == 1
    press(open_dock, "G")
    docks = [type(widget) for widget in window.dock_widgets.values()]
    assert docks.count(SinogramDock) == 1
    window.remove_dock_widget(first)
    assert session.keys.shortcuts
    for widget in list(window.dock_widgets.values()):
        window.remove_dock_widget(widget)
    assert not session.keys.shortcuts
