"""Live curves: loss against step, poses against tilt angle (pyqtgraph)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import tilt_checks
from napari_inr_tomo.ui.colours import TEXT_CONTRAST, readable, theme_colours
from napari_inr_tomo.ui.curve_layers import COLOURS
from napari_inr_tomo.ui.log_axis import LogAxis

if TYPE_CHECKING:
    from napari_inr_tomo.ui.live import PoseTable
    from napari_inr_tomo.ui.record import RunRecord

HEIGHT = 150
AXIS_CONTRAST = 1.8
MARK_COLOUR = "#ff5a4d"
SHOWN_COLOUR = "#f0e442"


class Plot(pyqtgraph.PlotWidget):
    """A plot in the colours of napari's theme; no numbers at the axes of an empty one.

    log_y: whether y is logarithmic.
    """

    def __init__(self, x: str, y: str, log_y: bool = False) -> None:
        super().__init__(axisItems={"left": LogAxis("left")})
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
        item.layout.setContentsMargins(1, 8, 4, 6)
        self._lines: dict[str, Any] = {}
        self._colours: dict[str, str] = {}
        self._rings: Any = None
        self._steps: list[Any] = []
        self._behind = "#000000"
        self._numbers = True
        self.set_theme("dark")
        self.show_numbers(False)

    def set_theme(self, name: str) -> None:
        """Take the colours of a napari theme."""
        self._behind, text, axes = theme_colours(name)
        self.setBackground(self._behind)
        for side in ("left", "bottom"):
            axis = self.getPlotItem().getAxis(side)
            axis.setPen(readable(axes, self._behind, AXIS_CONTRAST))
            axis.setTextPen(text)
        for line_name, line in self._lines.items():
            colour = self.on_theme(self._colours[line_name])
            line.setPen(pyqtgraph.mkPen(colour, width=2))
            line.setSymbolBrush(colour)
        self._name_lines()

    def on_theme(self, colour: str) -> str:
        """Return a colour that is seen on the background there is."""
        return readable(colour, self._behind)

    def show_numbers(self, shown: bool) -> None:
        """Show the numbers at the axes, or leave them out."""
        if shown == self._numbers:
            return
        self._numbers = shown
        for side in ("left", "bottom"):
            self.getPlotItem().getAxis(side).setStyle(showValues=shown)

    def set_line(
        self, name: str, x: Any, y: Any, colour: str, dots: bool | str = False
    ) -> None:
        """Draw (or move) the line of this name; ``dots`` may be a symbol's letter."""
        if name not in self._lines:
            pen = pyqtgraph.mkPen(self.on_theme(colour), width=2)
            self._lines[name] = self.plot([], [], name=name, pen=pen)
            self._lines[name].setSymbolPen(None)
            self._lines[name].setSymbolBrush(self.on_theme(colour))
            self._colours[name] = colour
            self._name_lines()
        x, y = np.asarray(x, float), np.asarray(y, float)
        keep = np.isfinite(x) & np.isfinite(y)
        self._lines[name].setData(  # all at once: each change draws the whole line
            x[keep],
            y[keep],
            symbol="o" if dots is True else dots or None,
            symbolSize=8 if isinstance(dots, str) else 4,
        )
        self.show_numbers(True)

    def set_marks(self, x: Any, y: Any, colour: str = MARK_COLOUR) -> None:
        """Ring the points that stand out."""
        if self._rings is None:
            pen = pyqtgraph.mkPen(colour, width=2)
            self._rings = pyqtgraph.ScatterPlotItem(size=11, pen=pen, brush=None)
            self.addItem(self._rings)
        self._rings.setData(np.asarray(x, float), np.asarray(y, float))

    def set_steps(self, x: Any, colour: str = MARK_COLOUR) -> None:
        """Draw dashed vertical lines."""
        for line in self._steps:
            self.removeItem(line)
        pen = pyqtgraph.mkPen(colour, width=1, style=Qt.PenStyle.DashLine)
        self._steps = [pyqtgraph.InfiniteLine(at, angle=90, pen=pen) for at in x]
        for line in self._steps:
            self.addItem(line, ignoreBounds=True)

    @property
    def marks(self) -> tuple[list[float], list[float]]:
        """Where rings and dashed lines are, along x."""
        rings = [] if self._rings is None else self._rings.getData()[0].tolist()
        return rings, [float(line.value()) for line in self._steps]

    def clear_lines(self) -> None:
        """Remove every line."""
        for line in self._lines.values():
            self.removeItem(line)
        self.set_marks([], [])
        self.set_steps([])
        self._lines.clear()
        self._colours.clear()
        self.show_numbers(False)
        self._name_lines()

    def _name_lines(self) -> None:
        """Name the lines over the plot, each in its colour; nothing hides the data."""
        names = [
            f'<span style="color:{readable(colour, self._behind, TEXT_CONTRAST)}">'
            f"{name}</span>"
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
            "Loss of an INR, the mean since the point before, or relative residual of "
            "an iteration. A point comes at most every half second, and after every "
            "epoch. 'hold-out' is the loss on pixels kept out of training"
        )
        self._curve: Any = None

    def show_record(self, record: RunRecord) -> None:
        """Draw what a run has said so far: the phase that went on longest."""
        if not record.curves:
            self.clear_lines()
            return
        curve = record.curves.get(record.phase)
        if curve is None or not curve.steps:
            curve = max(record.curves.values(), key=lambda c: len(c.steps))
        if curve is not self._curve:  # another phase has another scale
            self.clear_lines()
            self._curve = curve
        self.set_line(
            "loss", curve.steps, curve.losses, COLOURS["loss"], len(curve.steps) < 60
        )
        if np.isfinite(curve.holdouts).any():
            self.set_line("hold-out", curve.steps, curve.holdouts, COLOURS["hold-out"])


class ResidualBars(Plot):
    """The residual of every tilt as a bar; those that stand out in another colour.

    clicked: what to call with the tilt whose bar was clicked.
    """

    def __init__(self, clicked: Any) -> None:
        super().__init__("tilt angle (deg)", "rms (intensity)")
        self.setToolTip(
            "Root mean square of measured minus computed pixels of every used tilt, in "
            "the units of the images. Click a bar to look at its tilt"
        )
        self._bars: Any = None
        self._clicked = clicked
        self._tilts = np.empty(0, int)
        self._angles = np.empty(0)
        self.setMouseEnabled(False, False)
        self.scene().sigMouseClicked.connect(self._on_click)

    def show_poses(self, poses: PoseTable | None, shown: int | None) -> np.ndarray:
        """Draw the residuals, hidden while there are none; returns what stands out."""
        if self._bars is not None:
            self.removeItem(self._bars)
            self._bars = None
        if poses is None or not np.isfinite(poses["residual"][poses["used"]]).any():
            self._tilts = np.empty(0, int)
            self.hide()
            return self._tilts
        self.show()
        self.show_numbers(True)
        residual, used = poses["residual"], poses["used"]
        bad = tilt_checks.bad_tilts(residual, used)
        keep = used & np.isfinite(residual)
        self._tilts, self._angles = np.flatnonzero(keep), poses["angle_deg"][keep]
        spacing = np.diff(np.sort(self._angles))
        spacing = spacing[spacing > 0]
        width = 0.8 * float(np.median(spacing)) if spacing.size else 1.0
        colours = [
            SHOWN_COLOUR if t == shown else MARK_COLOUR if bad[t] else COLOURS["dx_px"]
            for t in self._tilts
        ]
        self._bars = pyqtgraph.BarGraphItem(
            x=self._angles,
            height=residual[keep],
            width=width,
            brushes=[self.on_theme(colour) for colour in colours],
            pen=None,
        )
        self.addItem(self._bars)
        return np.flatnonzero(bad)

    @property
    def tilts(self) -> np.ndarray:
        """The tilts that have a bar."""
        return self._tilts

    def _on_click(self, event: Any) -> None:
        if len(self._tilts):
            x = self.getPlotItem().vb.mapSceneToView(event.scenePos()).x()
            self.click(x)

    def click(self, angle_deg: float) -> None:
        """Do what a click at this tilt angle does."""
        self._clicked(int(self._tilts[np.argmin(np.abs(self._angles - angle_deg))]))


class PosePlot(QWidget):
    """z1, z3 and dx, dy against the tilt angle; excluded views are left out.

    sums: also z1 + z3 (the turn in the image, all that low tilts show) and z3 - z1
    (twice the angle of the axis).  What stands out is ringed, lasting steps are dashed.
    The passes of an interleaved series have lines, symbols and marks of their own.
    """

    def __init__(self, angles: bool = True, sums: bool = False) -> None:
        super().__init__()
        self.sums = Plot("tilt angle (deg)", "angle (deg)") if sums else None
        self.found = ""
        """Lasting steps, in words."""
        self.turns = Plot("tilt angle (deg)", "angle (deg)")
        self.shifts = Plot("tilt angle (deg)", "shift (px)")
        self.turns.setToolTip("In-plane angles z1 and z3 of every tilt, degrees")
        self.shifts.setToolTip("Shifts dx and dy of every tilt, pixels")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.turns)
        if self.sums is not None:
            self.sums.setToolTip(
                "z1 + z3: the turn within the image, well known at every tilt. "
                "z3 - z1: twice the angle of the tilt axis, uncertain at low tilts"
            )
            layout.addWidget(self.sums)
        layout.addWidget(self.shifts)
        self.turns.setVisible(angles)

    def show_poses(
        self, poses: PoseTable | None, groups: np.ndarray | None = None
    ) -> None:
        """Draw the poses of a run; ``groups``: the pass of every tilt."""
        self.found = ""
        if poses is None:
            for plot in self.plots:
                plot.clear_lines()
            return
        columns = {n: poses[n] for n in ("z1_deg", "z3_deg", "dx_px", "dy_px")}
        if groups is None or len(groups) != len(poses):
            groups = np.zeros(len(poses), int)
        self._draw(poses["angle_deg"], poses["used"], columns, groups)

    def show_series(self, series: TiltSeries | None) -> None:
        """Draw the start poses of a tilt series."""
        if series is None:
            self.show_poses(None)
            return
        start = series.start_poses
        names = ("z1_deg", "z3_deg", "dx_px", "dy_px")
        columns = {name: getattr(start, name) for name in names}
        self._draw(series.angles_deg, series.mask, columns, series.groups)

    def _draw(
        self,
        angles: np.ndarray,
        used: np.ndarray,
        columns: dict[str, np.ndarray],
        groups: np.ndarray,
    ) -> None:
        order = np.argsort(angles, kind="stable")
        order = order[np.asarray(used)[order]]
        present = np.unique(groups)
        drawn, marks = {}, {plot: _Marks() for plot in self.plots}
        for number in present:
            own = order[groups[order] == number]
            here = {name: values[own] for name, values in columns.items()}
            for plot, name, colour, values in self._curves(here):
                label = name if len(present) == 1 else f"{name} pass {number + 1}"
                drawn[plot, label] = (angles[own], values, _shade(colour, number))
                if self.sums is not None:
                    marks[plot].look(label, angles[own], values)
        for plot in self.plots:
            if set(plot.names) - {label for other, label in drawn if other is plot}:
                plot.clear_lines()
        for (plot, label), (x, y, (colour, symbol)) in drawn.items():
            plot.set_line(label, x, y, colour, dots=symbol)
        for plot, found in marks.items():
            plot.set_marks(*np.array(found.rings).reshape(-1, 2).T)
            plot.set_steps(found.steps)
        self.found = "; ".join(line for found in marks.values() for line in found.words)

    def _curves(
        self, columns: dict[str, np.ndarray]
    ) -> list[tuple[Plot, str, str, np.ndarray]]:
        """Return plot, name, colour and values of every curve."""
        z1, z3 = columns["z1_deg"], columns["z3_deg"]
        curves = [
            (self.turns, "z1", COLOURS["z1_deg"], z1),
            (self.turns, "z3", COLOURS["z3_deg"], z3),
            (self.shifts, "dx", COLOURS["dx_px"], columns["dx_px"]),
            (self.shifts, "dy", COLOURS["dy_px"], columns["dy_px"]),
        ]
        if self.sums is not None:
            curves += [
                (self.sums, "z1 + z3", "#56b4e9", z1 + z3),
                (self.sums, "z3 - z1", "#f0e442", z3 - z1),
            ]
        return curves

    @property
    def plots(self) -> list[Plot]:
        """The plots there are."""
        return [p for p in (self.turns, self.sums, self.shifts) if p is not None]

    def set_theme(self, name: str) -> None:
        """Take the colours of a napari theme."""
        for plot in self.plots:
            plot.set_theme(name)


class _Marks:
    """What stands out in the curves of one plot."""

    def __init__(self) -> None:
        self.rings: list[tuple[float, float]] = []
        self.steps: list[float] = []
        self.words: list[str] = []

    def look(self, name: str, angles: np.ndarray, values: np.ndarray) -> None:
        """Add the outliers and the lasting steps of a curve in the order of angles."""
        odd = tilt_checks.odd_ones(values)
        self.rings += list(zip(angles[odd], values[odd], strict=True))
        here = [(angles[k - 1] + angles[k]) / 2 for k in tilt_checks.jumps(values)]
        self.steps += here
        self.words += [f"{name} steps at {at:+.1f} deg" for at in here]


_SYMBOLS = ("t", "s", "d", "+")


def _shade(colour: str, number: int) -> tuple[str, bool | str]:
    """Return colour and symbol of the lines of a pass."""
    if number == 0:
        return colour, True
    shade = pyqtgraph.mkColor(colour).lighter(100 + 45 * (1 + (int(number) - 1) % 2))
    return shade.name(), _SYMBOLS[(int(number) - 1) % len(_SYMBOLS)]
