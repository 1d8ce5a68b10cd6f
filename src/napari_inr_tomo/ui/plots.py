"""Live curves: loss against step, poses against tilt angle (pyqtgraph)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.curve_layers import COLOURS

if TYPE_CHECKING:
    from napari_inr_tomo.ui.live import PoseTable
    from napari_inr_tomo.ui.record import RunRecord

HEIGHT = 150


class Plot(pyqtgraph.PlotWidget):
    """A plot in the colours of napari's theme."""

    def __init__(self, x: str, y: str, log_y: bool = False) -> None:
        super().__init__()
        self.setMinimumHeight(HEIGHT)
        self.setMaximumHeight(HEIGHT + 60)
        self.setMenuEnabled(False)
        self.hideButtons()
        item = self.getPlotItem()
        item.setLabel("bottom", x)
        item.setLabel("left", y)
        item.setLogMode(False, log_y)
        item.getAxis("left").enableAutoSIPrefix(False)
        item.getAxis("bottom").enableAutoSIPrefix(False)
        item.getAxis("left").setWidth(52)
        item.getAxis("bottom").setHeight(42)
        item.layout.setContentsMargins(1, 1, 4, 6)
        self._lines: dict[str, Any] = {}
        self._colours: dict[str, str] = {}
        self.set_theme("dark")

    def set_theme(self, name: str) -> None:
        """Take the colours of a napari theme."""
        from napari.utils.theme import get_theme

        theme = get_theme(name)
        text = theme.text.as_hex()
        self.setBackground(theme.background.as_hex())
        for side in ("left", "bottom"):
            axis = self.getPlotItem().getAxis(side)
            axis.setPen(theme.secondary.as_hex())
            axis.setTextPen(text)

    def set_line(
        self, name: str, x: Any, y: Any, colour: str, dots: bool = False
    ) -> None:
        """Draw (or move) the line of this name."""
        if name not in self._lines:
            pen = pyqtgraph.mkPen(colour, width=2)
            self._lines[name] = self.plot([], [], name=name, pen=pen)
            self._lines[name].setSymbolSize(4)
            self._lines[name].setSymbolPen(None)
            self._lines[name].setSymbolBrush(colour)
            self._colours[name] = colour
            self._name_lines()
        self._lines[name].setSymbol("o" if dots else None)
        x, y = np.asarray(x, float), np.asarray(y, float)
        keep = np.isfinite(x) & np.isfinite(y)
        self._lines[name].setData(x[keep], y[keep])

    def clear_lines(self) -> None:
        """Remove every line."""
        for line in self._lines.values():
            self.removeItem(line)
        self._lines.clear()
        self._colours.clear()
        self._name_lines()

    def _name_lines(self) -> None:
        """Name the lines over the plot, each in its colour; nothing hides the data."""
        names = [
            f'<span style="color:{colour}">{name}</span>'
            for name, colour in self._colours.items()
        ]
        self.getPlotItem().setTitle("&nbsp;&nbsp; ".join(names) or None, size="9pt")

    def line(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return what the line of this name shows."""
        x, y = self._lines[name].getOriginalDataset()
        none = np.empty(0)
        return (none, none) if x is None else (x, y)

    @property
    def names(self) -> list[str]:
        """The lines there are."""
        return list(self._lines)


class LossPlot(Plot):
    """Training loss and, where pixels are held out, their loss."""

    def __init__(self) -> None:
        super().__init__("epoch or iteration", "loss", log_y=True)
        self.setToolTip(
            "Loss of every epoch (INR) or relative residual of every iteration; "
            "'hold-out' is the loss on pixels kept out of training"
        )

    def show_record(self, record: RunRecord) -> None:
        """Draw what a run has said so far: the phase that went on longest."""
        if not record.curves:
            self.clear_lines()
            return
        curve = record.curves.get(record.phase)
        if curve is None:
            curve = max(record.curves.values(), key=lambda c: len(c.steps))
        self.set_line(
            "loss", curve.steps, curve.losses, COLOURS["loss"], len(curve.steps) < 60
        )
        if np.isfinite(curve.holdouts).any():
            self.set_line("hold-out", curve.steps, curve.holdouts, COLOURS["hold-out"])


class PosePlot(QWidget):
    """z1, z3 and dx, dy against the tilt angle; excluded views are left out."""

    def __init__(self, angles: bool = True) -> None:
        super().__init__()
        self.turns = Plot("tilt angle (deg)", "angle (deg)")
        self.shifts = Plot("tilt angle (deg)", "shift (px)")
        self.turns.setToolTip("In-plane angles z1 and z3 of every tilt, degrees")
        self.shifts.setToolTip("Shifts dx and dy of every tilt, pixels")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.turns)
        layout.addWidget(self.shifts)
        self.turns.setVisible(angles)

    def show_poses(self, poses: PoseTable | None) -> None:
        """Draw the poses of a run."""
        if poses is None:
            self.turns.clear_lines()
            self.shifts.clear_lines()
            return
        columns = {n: poses[n] for n in ("z1_deg", "z3_deg", "dx_px", "dy_px")}
        self._draw(poses["angle_deg"], poses["used"], columns)

    def show_series(self, series: TiltSeries | None) -> None:
        """Draw the start poses of a tilt series."""
        if series is None:
            self.show_poses(None)
            return
        start = series.start_poses
        names = ("z1_deg", "z3_deg", "dx_px", "dy_px")
        columns = {name: getattr(start, name) for name in names}
        self._draw(series.angles_deg, series.mask, columns)

    def _draw(
        self, angles: np.ndarray, used: np.ndarray, columns: dict[str, np.ndarray]
    ) -> None:
        order = np.argsort(angles, kind="stable")
        order = order[np.asarray(used)[order]]
        for name, values in columns.items():
            plot = self.turns if name.endswith("_deg") else self.shifts
            label = name.split("_")[0]
            plot.set_line(label, angles[order], values[order], COLOURS[name], dots=True)

    def set_theme(self, name: str) -> None:
        """Take the colours of a napari theme."""
        self.turns.set_theme(name)
        self.shifts.set_theme(name)
