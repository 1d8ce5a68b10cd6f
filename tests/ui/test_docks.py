"""Every dock opens, and says why it cannot work without a tilt series."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from napari_inr_tomo.ui.docks.alignment import AlignmentDock
from napari_inr_tomo.ui.docks.angles import AnglesDock
from napari_inr_tomo.ui.docks.background import BackgroundDock
from napari_inr_tomo.ui.docks.compare import CompareDock
from napari_inr_tomo.ui.docks.export import ExportDock
from napari_inr_tomo.ui.docks.monitor import MonitorDock
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.docks.runs import RunsDock
from napari_inr_tomo.ui.docks.scan_drift import ScanDriftDock
from napari_inr_tomo.ui.docks.shifts import ShiftsDock
from napari_inr_tomo.ui.docks.sinogram import SinogramDock
from napari_inr_tomo.ui.docks.slices import SlicesDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.docks.tilts import TiltsDock
from napari_inr_tomo.ui.docks.workflow import WorkflowDock

DOCKS = (
    TiltSeriesDock,
    BackgroundDock,
    AlignmentDock,
    ReconstructionDock,
    MonitorDock,
    ExportDock,
    WorkflowDock,
    SlicesDock,
    SinogramDock,
    TiltsDock,
    CompareDock,
    RunsDock,
    ScanDriftDock,
    ShiftsDock,
    AnglesDock,
)


SHOWN = pytest.mark.parametrize("open_dock", ["shown"], indirect=True)


@SHOWN
@pytest.mark.parametrize("kind", DOCKS)
def test_opens_empty_and_every_greyed_out_button_says_why(
    open_dock: Any, kind: type
) -> None:
    from qtpy.QtWidgets import QPushButton

    from napari_inr_tomo.ui.controls import ActionRow

    dock = open_dock(kind)
    rows = dock.findChildren(ActionRow)
    assert rows
    for row in rows:
        barred = [b for b in row.findChildren(QPushButton) if not b.isEnabled()]
        assert bool(barred) == bool(row.reason_text)
        for button in barred:
            assert button.toolTip().split(".")[0] in row.reason_text


@pytest.mark.parametrize(
    "name",
    [
        "Tomography workflow",
        "Open tilt series",
        "Set tilt angles",
        "Correct scan drift",
        "Remove background",
        "Align tilts",
        "Shift tilts by hand",
        "Reconstruct",
        "Monitor reconstruction",
        "Cut slices",
        "Check tilts",
        "Show sinogram",
        "Compare volumes",
        "Export results",
        "List runs",
        "Reconstruct during acquisition",
    ],
)
def test_opens_from_the_plugins_menu(
    make_napari_viewer: Any, plugin: Any, name: str
) -> None:
    from napari_inr_tomo.ui.session import session_of

    viewer = make_napari_viewer()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # private access of a proxy
        dock, widget = viewer.window.add_plugin_dock_widget("napari-inr-tomo", name)
    session = session_of(viewer)
    assert widget.session is session
    assert widget.parts[0]._listening
    viewer.window.remove_dock_widget(dock)
    assert not any(part._listening for part in widget.parts)
    session.close()


@SHOWN
def test_docks_fit_a_small_screen(open_dock: Any, qtbot: Any) -> None:
    for kind in DOCKS:
        dock = open_dock(kind)
        assert dock.minimumSizeHint().height() < 500, kind
        assert dock.minimumSizeHint().width() < 450, kind


@SHOWN
@pytest.mark.parametrize("kind", DOCKS)
def test_a_dock_made_narrow_cuts_off_no_control(
    open_dock: Any, qtbot: Any, kind: type, small_series: Any
) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QDockWidget
    from superqt import QCollapsible

    from napari_inr_tomo.ui.dock import ScrolledPanel

    dock, window = open_dock(kind), open_dock.viewer.window._qt_window
    open_dock.session.add_series(small_series)
    window.resize(1366, 768)
    around = next(
        w
        for w in window.findChildren(QDockWidget)
        if w.widget() is not None and w.isAncestorOf(dock)
    )
    for step in range(len(dock.panels)):
        if isinstance(dock, WorkflowDock):
            dock.go(step)
        panel = dock.part(dock.panels[step])
        for fold in panel.findChildren(QCollapsible):
            fold.expand(animate=False)
        window.resizeDocks([around], [100], Qt.Orientation.Horizontal)
        area = next(a for a in dock.findChildren(ScrolledPanel) if a.widget() is panel)
        qtbot.waitUntil(lambda: dock.width() < 450, timeout=5000)
        qtbot.waitUntil(fits(panel, area), timeout=5000)


def fits(panel: Any, area: Any) -> Callable[[], bool]:
    """Return whether nothing of a panel lies beyond the right edge of its dock."""
    return lambda: panel.width() == area.viewport().width()


def test_the_steps_of_the_workflow_are_made_in_turn(open_dock: Any, qtbot: Any) -> None:
    dock = open_dock(WorkflowDock)
    assert list(dock._made) == [dock.panels[0]]
    last = dock.part(dock.panels[-1])  # one that is asked for comes at once
    assert last._listening
    assert dock.pages.widget(len(dock.panels) - 1).widget() is last
    qtbot.waitUntil(lambda: len(dock._made) == len(dock.panels), timeout=5000)
    assert [page.widget() for page in map(dock.pages.widget, range(6))] == dock.parts
    qtbot.waitUntil(lambda: not dock._rest.isActive(), timeout=5000)


def test_theme_change_reaches_the_plots(open_dock: Any) -> None:
    panel = open_dock(MonitorDock).panel
    dark = panel.loss.backgroundBrush().color().name()
    open_dock.viewer.theme = "light"
    assert panel.loss.backgroundBrush().color().name() != dark


def test_all_docks_of_a_viewer_share_their_series(
    open_dock: Any, small_series: Any
) -> None:
    first, second = open_dock(TiltSeriesDock), open_dock(ExportDock)
    layer = open_dock.session.add_series(small_series)
    other = open_dock.session.add_series(small_series)
    assert first.picker.box.count() == second.picker.box.count() == 2
    first.picker.box.setCurrentIndex(0)
    assert open_dock.session.layer is layer
    assert second.picker.box.currentText() == layer.name
    layer.name = "renamed"
    assert second.picker.box.currentText() == "renamed"
    open_dock.viewer.layers.remove(layer)
    assert open_dock.session.layer is other


def test_the_monitor_opens_the_docks_for_a_closer_look_once(open_dock: Any) -> None:
    panel = open_dock(MonitorDock).panel
    window = open_dock.viewer.window
    for kind in (SlicesDock, TiltsDock, SinogramDock, CompareDock, RunsDock):
        first = panel.show_dock(kind.panels[0].title)
        assert type(first) is kind
        assert panel.show_dock(kind.panels[0].title) is first
    assert len(window.dock_widgets) == 6
