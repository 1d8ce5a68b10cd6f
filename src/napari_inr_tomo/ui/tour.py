"""Drives the real window from a program: the demo and the pictures of the docs.

Everything goes through the workflow dock's own controls, as a user would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import QApplication, QDialog, QDockWidget, QScrollArea, QWidget

from napari_inr_tomo.config import Method, PresetName
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.docks.alignment import AlignmentPanel
from napari_inr_tomo.ui.docks.angles import AnglesDock
from napari_inr_tomo.ui.docks.background import BackgroundPanel
from napari_inr_tomo.ui.docks.export import ExportPanel
from napari_inr_tomo.ui.docks.monitor import MonitorPanel
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
from napari_inr_tomo.ui.docks.shifts import ShiftsDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesPanel
from napari_inr_tomo.ui.docks.workflow import WorkflowDock
from napari_inr_tomo.ui.open_docks import show_dock
from napari_inr_tomo.ui.run_control import ALIVE, RunState
from napari_inr_tomo.ui.series_layer import volume_layer_data
from napari_inr_tomo.ui.turns import idle

SIZE = (1366, 768)
LONGEST_S = 600.0


class Tour:
    """A viewer with the workflow dock; pictures go to ``folder``."""

    def __init__(self, folder: Path, theme: str = "dark") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.viewer = napari.Viewer(show=True, show_welcome_screen=False)
        self.viewer.theme = theme
        self.viewer.window.resize(*SIZE)
        self.dock = WorkflowDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Tomography workflow")
        self.session = self.dock.session

    def wait(
        self, until: Callable[[], bool] = lambda: False, most_s: float = 1.0
    ) -> None:
        """Let the window live until something is so, at most some seconds."""
        end = time.monotonic() + most_s
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait for the step that runs, and for the window to draw."""
        self.wait(lambda: self.session.busy is None and idle(), LONGEST_S)
        self.wait(most_s=0.4)

    def panel(self, kind: type) -> Any:
        """Show a step and return its panel."""
        part = self.dock.part(kind)
        self.dock.go(self.dock.panels.index(kind))
        self.wait(most_s=0.3)
        return part

    def scroll_to(self, widget: QWidget) -> None:
        """Bring a control of the shown step into view."""
        self.dock.pages.currentWidget().ensureWidgetVisible(widget)

    def take(self, name: str) -> None:
        """Save a picture of the whole window, without napari's notifications."""
        window = self.dock.window()
        for child in window.findChildren(QDialog):
            if type(child).__name__ == "NapariQtNotification":
                child.close()  # under a pointer that rests on it, it never goes
        self.wait(most_s=0.5)
        picture = window.screen().grabWindow(window.winId())
        picture.save(str(self.folder / f"{name}.png"))

    def take_widget(self, name: str, widget: Any) -> None:
        """Save a picture of one widget, whole, however much of it is in view."""
        widget.grab().save(str(self.folder / f"{name}.png"))

    def open(self, series: TiltSeries) -> None:
        """Add a tilt series and look at it."""
        self.session.add_series(series)
        self.viewer.fit_to_view()
        self.panel(TiltSeriesPanel)
        self.session.show_tilt(series.reference)
        self.take("tilt_series")

    def correct_scans(self, first: TiltSeries, second: TiltSeries) -> None:
        """Look at the drift between two scans, in a dock of its own."""
        from napari_inr_tomo.ui.docks.scan_drift import ScanDriftDock

        layers = [self.session.add_series(series) for series in (first, second)]
        self.session.layer = layers[0]
        dock = ScanDriftDock(self.viewer)
        self.viewer.window.add_dock_widget(dock, name="Scan drift", tabify=True)
        self.session.show_tilt(0)
        self.wait(most_s=0.3)
        dock.panel.preview()
        self.settle()
        bar = dock.findChild(QScrollArea).verticalScrollBar()
        bar.setValue(bar.maximum())  # the plot is at the end
        self.take("scan_drift")
        self.viewer.window.remove_dock_widget(dock)
        for layer in layers:
            self.viewer.layers.remove(layer)

    def subtract_background(self) -> None:
        """Preview the background on one tilt, then subtract it from all."""
        panel = self.panel(BackgroundPanel)
        panel.preview()
        self.settle()
        self.take("background")
        panel.apply()
        self.settle()

    def align(self) -> None:
        """Cross-correlate, find the tilt axis with the axis tool, look at the tilts."""
        panel = self.panel(AlignmentPanel)
        panel.xcorr_button.click()
        self.settle()
        tool = panel.tool
        tool.enable()
        self.wait(lambda: tool.pictures[0].shown, 60)
        self.wait(most_s=0.3)  # the words under the slices have come
        self.scroll_to(tool.slices.state)
        self.take("axis_before")
        tool.auto()
        self.settle()
        for most_s in (30.0, 3.0):
            self.wait(lambda: tool.idle, most_s)
        self.scroll_to(tool.found)
        self.take("alignment")
        tool.apply()
        self.settle()
        tool.disable()
        self.scroll_to(panel.aligned_tick)
        panel.aligned_tick.click()
        self.take("aligned")
        panel.aligned_tick.click()

    def find_angles(self) -> None:
        """Show the angles as start and step, in another order than now."""
        dock = show_dock(self.session, AnglesDock)
        panel = dock.panel
        panel.start.setValue(-60)
        panel.order.setCurrentIndex(2)
        self.wait(lambda: "dose-symmetric" in panel.sentence.text(), 30)
        self.take("angles")
        self.viewer.window.remove_dock_widget(dock)

    def shift_by_hand(self, tilt: int) -> None:
        """Show the difference of a tilt, left a pixel out of place, to the one before.

        Its shift is put back.
        """
        self.session.show_tilt(tilt)
        dock = show_dock(self.session, ShiftsDock)
        panel = dock.panel
        panel.kind.setCurrentText("difference")
        panel.start()
        panel.nudge(2, 1)
        self.wait(lambda: panel.pair.layer is not None, 30)
        self.take("shift_tilts")
        panel.undo()
        self.viewer.window.remove_dock_widget(dock)

    def reconstruct(
        self, method: Method, preset: PresetName, folder: Path, picture: str
    ) -> None:
        """Start a run from the dock, watch it, show its result.

        picture: what the names of its pictures begin with.
        Raises `UserError` if the run did not finish.
        """
        panel = self.panel(ReconstructionPanel)
        panel.choose(method, preset)
        panel.folder.setText(str(folder))
        self.wait(lambda: panel.devices is not None, 30)
        self.wait(most_s=1)
        self.take(f"{picture}settings")
        panel.start()
        run = self.session.run
        self.wait(lambda: run.state is RunState.RUNNING, LONGEST_S)
        self.panel(MonitorPanel)

        def halfway() -> bool:
            last = run.record.phase in ("rays", "SIRT", "TV")
            return last and run.record.position >= run.record.total / 2

        self.wait(lambda: run.state not in ALIVE or halfway(), LONGEST_S)
        self.take(f"{picture}running")
        self.wait(lambda: run.state not in ALIVE, LONGEST_S)
        self.settle()
        if run.state is not RunState.DONE:
            raise UserError(
                "The reconstruction did not finish",
                run.message or f"it is {run.state.value}",
                f"See the log in {folder}",
            )
        run.layers.rescale()
        self.take(f"{picture}result")

    def look_around(self) -> None:
        """Show poses on the stack, the volume in 3-D, and curves as layers."""
        run, monitor = self.session.run, self.panel(MonitorPanel)
        place = self.dock
        while not isinstance(place, QDockWidget):
            place = place.parentWidget()
        place.raise_()
        self.take_widget("monitor", monitor)
        run.layers.show_only("stack")
        self.take("poses")
        for layer in self.viewer.layers:
            layer.visible = layer is run.layers.volume
        self.viewer.dims.ndisplay = 3
        self.viewer.fit_to_view()
        self.take("volume")
        self.viewer.dims.ndisplay = 2
        monitor.to_layers()
        self.settle()
        self.take("curves")
        run.layers.show_only("volume")
        self.viewer.fit_to_view(layers=[run.layers.volume])

    def look_closer(self, truth: Volume | None) -> None:
        """Show the result in the docks for a closer look, beside its truth if known."""
        run, monitor = self.session.run, self.panel(MonitorPanel)
        run.layers.show_only("volume")
        slices = monitor.show_dock("Slices").panel
        self.wait(lambda: slices.view.panes["xy"].shown is not None, 30)
        self.take("slices")
        slices.fourth.setCurrentText("free plane")
        slices._moved((6.0, 4.0, 3.0))
        self.wait(most_s=2)
        self.take("slices_free")
        sinogram = monitor.show_dock("Sinogram").panel
        self.wait(lambda: "residual" in sinogram.state.text(), 30)
        self.take("sinogram")
        tilts = monitor.show_dock("Check tilts").panel
        tilts.what.setCurrentText("residual")
        self.wait(lambda: tilts.picture.shown, 30)
        self.take("check_tilts")
        if truth is not None:
            self.compare(truth, "compare")

    def cut(self, picture: str) -> None:
        """Show the result in Slices, with the missing wedge, and take a picture."""
        run, monitor = self.session.run, self.panel(MonitorPanel)
        run.layers.show_only("volume")
        slices = monitor.show_dock("Slices").panel
        slices.volume_box.choose(run.layers.volume)
        self.wait(lambda: slices.view.panes["xy"].shown is not None, 30)
        slices.home()
        slices.rescale()
        self.wait(most_s=2)
        self.take(picture)

    def compare(self, truth: Volume, picture: str) -> None:
        """Compare the result with its truth, and take a picture."""
        run, monitor = self.session.run, self.panel(MonitorPanel)
        layer = napari.layers.Layer.create(*volume_layer_data(truth))
        self.viewer.add_layer(layer)
        compare = monitor.show_dock("Compare").panel
        compare.a.choose(run.layers.volume)
        compare.b.choose(layer)
        compare.compare()
        self.settle()
        self.take_widget(picture, compare)
        self.viewer.layers.remove(layer)

    def export(self, folder: Path, name: str) -> None:
        """Write volume, poses, aligned stack and record from the export dock."""
        panel = self.panel(ExportPanel)
        for save, file in (
            (panel.save_volume, f"{name}.mrc"),
            (panel.save_poses, "poses.csv"),
            (panel.save_stack, "aligned.mrc"),
            (panel.save_record, "record.json"),
        ):
            save(folder / file)
            self.settle()
        self.take("export")

    def stay(self) -> None:
        """Leave the window to the user until it is closed."""
        napari.run()

    def close(self) -> None:
        """Let go of the run and close the window."""
        self.session.run.detach()
        self.wait(most_s=0.5)
        self.viewer.close()
