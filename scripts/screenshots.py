"""Take the pictures of the documentation: the docks at work in a real viewer.

    python scripts/screenshots.py docs/images

Needs a display; ``xvfb-run -a -s "-screen 0 1600x1000x24"`` will do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import QApplication

from napari_inr_tomo.simulate.samples import sample
from napari_inr_tomo.ui.docks.alignment import AlignmentPanel
from napari_inr_tomo.ui.docks.background import BackgroundPanel
from napari_inr_tomo.ui.docks.export import ExportPanel
from napari_inr_tomo.ui.docks.monitor import MonitorPanel
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesPanel
from napari_inr_tomo.ui.docks.workflow import WorkflowDock
from napari_inr_tomo.ui.run_control import ALIVE, RunState

SIZE = (1366, 768)
LONGEST_S = 900


class Photographer:
    """A viewer with the workflow dock, and pictures of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.viewer = napari.Viewer(show=True, show_welcome_screen=False)
        self.viewer.window.resize(*SIZE)
        self.dock = WorkflowDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Tomography workflow")
        self.session = self.dock.session

    def wait(
        self, until: Callable[[], bool] = lambda: False, most_s: float = 1
    ) -> None:
        """Let the window live until something is so, at most some seconds."""
        end = time.monotonic() + most_s
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.02)

    def step_done(self) -> None:
        """Wait for the step that runs."""
        self.wait(lambda: self.session.busy is None, LONGEST_S)
        self.wait(most_s=0.4)

    def panel(self, kind: type) -> Any:
        """Show a step and return its panel."""
        part = self.dock.part(kind)
        self.dock.go(self.dock.parts.index(part))
        self.wait(most_s=0.3)
        return part

    def take(self, name: str) -> None:
        """Save a picture of the whole window."""
        self.wait(most_s=0.5)
        window = self.dock.window()
        picture = window.screen().grabWindow(window.winId())
        picture.save(str(self.folder / f"{name}.png"))

    def take_widget(self, name: str, widget: Any) -> None:
        """Save a picture of one widget, whole, however much of it is in view."""
        widget.grab().save(str(self.folder / f"{name}.png"))


def main() -> None:
    """Go through the workflow and take a picture of every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", default="sea-mine")
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--preset", default="preview")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    photos = Photographer(arguments.folder)
    photos.viewer.theme = arguments.theme
    photos.session.add_series(sample(arguments.sample))
    photos.viewer.fit_to_view()
    prepare(photos)
    with tempfile.TemporaryDirectory() as folder:
        reconstruct(photos, Path(folder) / "run", arguments.preset)
        export(photos, Path(folder))
        photos.session.run.detach()
        photos.wait(most_s=0.5)
    photos.viewer.close()


def prepare(photos: Photographer) -> None:
    """Tilt series, background, alignment."""
    session = photos.session
    photos.panel(TiltSeriesPanel)
    session.show_tilt(session.series.reference)
    photos.take("tilt_series")
    background = photos.panel(BackgroundPanel)
    background.preview()
    photos.step_done()
    photos.take("background")
    background.apply()
    photos.step_done()
    alignment = photos.panel(AlignmentPanel)
    alignment.xcorr_button.click()
    photos.step_done()
    alignment.tool.enable()
    photos.wait(lambda: alignment.tool.pictures[0].shown, 60)
    scroll_to(photos, alignment.tool)
    photos.take("axis_before")
    alignment.tool.auto()
    photos.step_done()
    photos.wait(lambda: alignment.tool._worker is None, 30)
    photos.wait(lambda: alignment.tool._worker is None, 3)
    photos.take("alignment")
    alignment.tool.apply()
    photos.step_done()
    alignment.tool.disable()


def reconstruct(photos: Photographer, folder: Path, preset: str) -> None:
    """Start a run, watch it, see its result."""
    session = photos.session
    panel = photos.panel(ReconstructionPanel)
    panel.preset.setCurrentText(preset)
    panel.count.setValue(3)
    panel.more.expand(animate=False)
    panel.folder.setText(str(folder))
    photos.wait(lambda: panel.devices is not None, 20)
    photos.wait(most_s=1)
    photos.take("reconstruction")
    panel.start()
    run = session.run
    photos.wait(lambda: run.state is RunState.RUNNING, LONGEST_S)
    photos.wait(lambda: run.state not in ALIVE or late(run.record), LONGEST_S)
    monitor = photos.panel(MonitorPanel)
    photos.take("running")
    photos.wait(lambda: run.state not in ALIVE, LONGEST_S)
    photos.wait(most_s=1)
    run.layers.rescale()
    photos.take("result")
    photos.take_widget("monitor", monitor)
    photos.viewer.dims.ndisplay = 3
    photos.viewer.fit_to_view()
    photos.take("volume")
    photos.viewer.dims.ndisplay = 2
    photos.viewer.fit_to_view()
    run.layers.show_only("stack")
    photos.take("poses")
    monitor.to_layers()
    photos.viewer.fit_to_view()
    photos.take("curves")


def late(record: Any) -> bool:
    """Tell whether the last phase of an INR run is half done."""
    return record.phase == "rays" and record.share > 0.5


def export(photos: Photographer, folder: Path) -> None:
    """Write everything."""
    panel = photos.panel(ExportPanel)
    panel.save_volume(folder / "volume.mrc")
    photos.step_done()
    photos.take("export")


def scroll_to(photos: Photographer, widget: Any) -> None:
    """Bring a control of the shown step into view."""
    photos.dock.pages.currentWidget().ensureWidgetVisible(widget)


if __name__ == "__main__":
    main()
