"""Sinograms one above the other: across the tilt axis to the right, tilts downwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QRectF, Qt, Signal

from napari_inr_tomo.ui.colours import readable, theme_colours
from napari_inr_tomo.ui.controls import inner_limits
from napari_inr_tomo.ui.plots import AXIS_CONTRAST, MARK_COLOUR, SHOWN_COLOUR
from napari_inr_tomo.ui.sinograms import Sinogram

KINDS = ("measured", "computed", "residual")
MOST_TICKS = 7


def ticks(angles_deg: np.ndarray) -> list[tuple[int, str]]:
    """Return rows and words of round tilt angles, or of the nearest there are."""
    span = float(np.ptp(angles_deg))
    step = next((s for s in (1, 5, 10, 20) if span <= MOST_TICKS * s), 30)
    first = step * np.ceil(angles_deg.min() / step)
    rows = {
        int(np.argmin(np.abs(angles_deg - angle)))
        for angle in np.arange(first, angles_deg.max() + 0.01, step)
    }
    words = {row: f"{angles_deg[row]:+.0f}".replace("+0", "0") for row in sorted(rows)}
    return list(words.items())


class SinogramView(pyqtgraph.GraphicsLayoutWidget):
    """Measured, computed and residual with the same axes.

    clicked: the tilt (index in the stack) whose row was clicked.
    """

    clicked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(280, 400)
        self.setMaximumHeight(430)
        self.ci.layout.setContentsMargins(2, 2, 6, 2)
        self.ci.layout.setSpacing(2)
        self.plots: dict[str, Any] = {}
        self.images: dict[str, Any] = {}
        self.lines: dict[str, Any] = {}
        self.left_out: dict[str, Any] = {}
        self.shown: Sinogram | None = None
        for row, kind in enumerate(KINDS):
            self._add(row, kind)
        self.plots["residual"].setLabel("bottom", "across the tilt axis (px)")
        self.scene().sigMouseClicked.connect(self._on_click)
        self.set_theme("dark")

    def _add(self, row: int, kind: str) -> None:
        plot = self.addPlot(row, 0)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.setMouseEnabled(False, False)
        plot.invertY(True)
        plot.setTitle(kind, size="9pt")
        plot.setLabel("left", "tilt (deg)")
        plot.getAxis("left").setWidth(48)
        for side in ("left", "bottom"):
            plot.getAxis(side).enableAutoSIPrefix(False)
        image = pyqtgraph.ImageItem(axisOrder="row-major")
        plot.addItem(image)
        pen = pyqtgraph.mkPen(SHOWN_COLOUR, width=1, style=Qt.PenStyle.DashLine)
        line = pyqtgraph.InfiniteLine(angle=0, pen=pen)
        line.hide()
        plot.addItem(line, ignoreBounds=True)
        crosses = pyqtgraph.ScatterPlotItem(symbol="x", size=8, pen=MARK_COLOUR)
        crosses.setBrush(MARK_COLOUR)
        plot.addItem(crosses, ignoreBounds=True)
        self.plots[kind], self.images[kind] = plot, image
        self.lines[kind], self.left_out[kind] = line, crosses

    def set_theme(self, name: str) -> None:
        """Take the colours of a napari theme."""
        behind, text, axes = theme_colours(name)
        self.setBackground(behind)
        for kind, plot in self.plots.items():
            plot.setTitle(kind, size="9pt", color=text)
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(readable(axes, behind, AXIS_CONTRAST))
                plot.getAxis(side).setTextPen(text)

    def show_sinogram(
        self, shown: Sinogram | None, pixel_nm: float | None = None
    ) -> None:
        """Show a sinogram (None: nothing); the axis is in nm where the pixel is."""
        self.shown = shown
        if shown is None:
            for kind in KINDS:
                self.images[kind].clear()
                self.lines[kind].hide()
                self.left_out[kind].setData([], [])
            return
        size, unit = (1.0, "px") if pixel_nm is None else (pixel_nm, "nm")
        self.plots["residual"].setLabel("bottom", f"across the tilt axis ({unit})")
        limits = inner_limits(shown.measured)
        for kind in KINDS:
            self._show_one(kind, getattr(shown, kind), limits, size)

    def _show_one(
        self, kind: str, image: Any, limits: tuple[float, float], size: float
    ) -> None:
        shown, plot = self.shown, self.plots[kind]
        rows, columns = shown.measured.shape
        width = columns * float(np.ptp(shown.v_px[:2])) * size
        rect = QRectF(-width / 2, -0.5, width, rows)
        if image is None:
            self.images[kind].clear()
        else:
            if kind == "residual":
                known = np.abs(image[np.isfinite(image)])
                most = (float(np.quantile(known, 0.995)) if known.size else 0) or 1.0
                limits = (-most, most)
            self.images[kind].setImage(image, levels=limits)
            self.images[kind].setRect(rect)
        plot.getViewBox().setRange(rect, padding=0.0)
        plot.getAxis("left").setTicks([ticks(shown.angles_deg)])
        out = np.flatnonzero(~shown.used)
        self.left_out[kind].setData(np.full(len(out), -0.47 * width), out)

    def show_tilt(self, tilt: int | None) -> None:
        """Draw a dashed line at a tilt."""
        rows = [] if self.shown is None else np.flatnonzero(self.shown.tilts == tilt)
        for line in self.lines.values():
            line.setVisible(len(rows) > 0)
            if len(rows):
                line.setValue(float(rows[0]))

    def _on_click(self, event: Any) -> None:
        for plot in self.plots.values():
            if plot.sceneBoundingRect().contains(event.scenePos()):
                self.click(plot.getViewBox().mapSceneToView(event.scenePos()).y())

    def click(self, row: float) -> None:
        """Do what a click at this row does."""
        if self.shown is not None:
            index = min(max(round(row), 0), len(self.shown.tilts) - 1)
            self.clicked.emit(int(self.shown.tilts[index]))
