"""Two volumes side by side: same slice, same contrast, one line through both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QRectF, Signal
from qtpy.QtGui import QImage, QPainter
from qtpy.QtSvg import QSvgGenerator
from qtpy.QtWidgets import QGraphicsView

from napari_inr_tomo.ui.colours import TEXT_CONTRAST, readable, theme_colours
from napari_inr_tomo.ui.plots import Plot
from napari_inr_tomo.ui.scale_bar import ScaleBar

PLANES = {"xy": 0, "xz": 1, "yz": 2}
"""Which axis of (z, y, x) a plane is perpendicular to."""
COLOURS = ("#e69f00", "#3b9ddd")


def plane_of(data: np.ndarray, plane: str, index: int) -> np.ndarray:
    """Return a slice: (y, x), (z, x) or (z, y)."""
    axis = PLANES[plane]
    return np.take(data, min(max(index, 0), data.shape[axis] - 1), axis=axis)


def save_figure(figure: QGraphicsView, path: Path, magnify: int = 3) -> None:
    """Write a plot as it is shown, as path.png and path.svg.

    Raises ``OSError`` where that fails.
    """
    size = figure.viewport().size()
    image = QImage(size * magnify, QImage.Format.Format_RGB32)
    drawing = QSvgGenerator()
    drawing.setFileName(str(path.with_suffix(".svg")))
    drawing.setSize(size)
    drawing.setViewBox(QRectF(0, 0, size.width(), size.height()))
    for device in (image, drawing):
        painter = QPainter(device)
        if not painter.isActive():
            raise OSError(f"{path.with_suffix('.svg')} cannot be written")
        figure.render(painter)
        painter.end()
    if not image.save(str(path.with_suffix(".png"))):
        raise OSError(f"{path.with_suffix('.png')} cannot be written")


MEANT_FOR = {0.5: "for a truth", 0.143: "for halves"}
"""What a limit on the correlation is meant for."""


class PairView(pyqtgraph.GraphicsLayoutWidget):
    """The slices of A and B with linked views, and a line for the profile.

    moved: the line was dragged to this row.
    """

    moved = Signal(float)
    _chosen = True
    """Whether the user has moved or zoomed the slices, or there are none yet."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(280, 190)
        self.setMaximumHeight(280)
        self.ci.layout.setContentsMargins(2, 2, 2, 2)
        self.captions, self.images, self.lines, self.boxes = [], [], [], []
        self.scale_bars: list[ScaleBar] = []
        self._behind = "#000000"
        for column in (0, 1):
            self.ci.layout.setColumnStretchFactor(column, 1)
            self.ci.layout.setColumnPreferredWidth(column, 100)  # equal: views are tied
            self.captions.append(self.addLabel("", 0, column, size="9pt"))
            box = self.addViewBox(1, column)
            box.setAspectLocked(True)
            box.invertY(True)
            box.setMenuEnabled(False)
            box.sigRangeChangedManually.connect(self._part_chosen)
            image = pyqtgraph.ImageItem(axisOrder="row-major")
            box.addItem(image)
            pen = pyqtgraph.mkPen("#ff5a4d", width=1.5)
            line = pyqtgraph.InfiniteLine(angle=0, movable=True, pen=pen)
            line.sigDragged.connect(self._dragged)
            box.addItem(line, ignoreBounds=True)
            self.images.append(image)
            self.lines.append(line)
            self.boxes.append(box)
            self.scale_bars.append(ScaleBar(box))
        self.boxes[1].setXLink(self.boxes[0])
        self.boxes[1].setYLink(self.boxes[0])
        self.shown: list[np.ndarray | None] = [None, None]

    def set_theme(self, name: str) -> None:
        """Take the colours of a napari theme."""
        self._behind = theme_colours(name)[0]
        self.setBackground(self._behind)
        for colour, caption in zip(COLOURS, self.captions, strict=True):
            colour = readable(colour, self._behind, TEXT_CONTRAST)
            caption.setText(caption.text, color=colour)

    def show_pair(
        self,
        images: list[np.ndarray | None],
        names: list[str],
        limits: Any,
        unit_nm: float | None = None,
    ) -> None:
        """Show both slices between the same limits; unit_nm: edge of a voxel."""
        self.shown = images
        for k, image in enumerate(images):
            colour = readable(COLOURS[k], self._behind, TEXT_CONTRAST)
            self.captions[k].setText(f"{'AB'[k]}: {names[k]}", color=colour)
            if image is None:
                self.images[k].clear()
                self.scale_bars[k].clear()
                continue
            self.images[k].setImage(image, levels=limits)
            rows, columns = image.shape
            rect = QRectF(-0.5, -0.5, columns, rows)
            self.images[k].setRect(rect)
            self.scale_bars[k].show(rect, unit_nm)

    def fit(self) -> None:
        """Show the slices whole."""
        self._chosen = False
        self.boxes[0].autoRange(padding=0.02)

    def resizeEvent(self, event: Any) -> None:
        """Show the slices whole in the new size, unless another part was chosen."""
        super().resizeEvent(event)
        if not self._chosen:
            self.fit()

    def _part_chosen(self, *_: Any) -> None:
        self._chosen = True

    def set_row(self, row: float) -> None:
        """Put the line at a row."""
        for line in self.lines:
            line.setValue(row)

    def _dragged(self, line: Any) -> None:
        self.set_row(float(line.value()))
        self.moved.emit(float(line.value()))


class ProfilePlot(Plot):
    """The intensity along the line, of both volumes."""

    def __init__(self) -> None:
        super().__init__("along the line (px)", "intensity")
        self.setToolTip("Intensity per voxel along the red line; drag it in a picture")

    def show_rows(
        self,
        images: list[np.ndarray | None],
        row: float,
        unit_nm: float | None = None,
    ) -> None:
        """Draw a row of both slices; unit_nm: edge of a voxel."""
        self.clear_lines()
        step, unit = (1.0, "px") if unit_nm is None else (unit_nm, "nm")
        self.setLabel("bottom", f"along the line ({unit})")
        for name, image, colour in zip("AB", images, COLOURS, strict=True):
            if image is not None:
                index = min(max(round(row), 0), image.shape[0] - 1)
                x = step * np.arange(image.shape[1])
                self.set_line(name, x, image[index], colour)


class DirectionPlot(Plot):
    """How far the correlation reaches in every direction across the tilt axis."""

    def __init__(self) -> None:
        super().__init__("direction, as tilt angle (deg)", "reached (1/px)")
        self.setXRange(-90, 90, padding=0)
        self.setYRange(0, 0.52)
        self.setToolTip(
            "The Fourier plane across the tilt axis, direction by direction: the "
            "spatial frequency at which A and B cease to agree, that is where their "
            "Fourier shell correlation (FSC) falls below 0.5, meant for a truth, or "
            "0.143, meant for two halves. What an image at a "
            "tilt angle has measured lies in the direction of that angle; the orange "
            "part, the missing wedge, no image has measured"
        )
        self._wedges: list[Any] = []

    def show_directions(
        self,
        angles_deg: Any,
        reached: Any,
        limits: Any,
        tilts_deg: Any,
        unit_nm: float | None = None,
    ) -> None:
        """Draw a line for every limit, and shade what no tilt has measured."""
        step, unit = (1.0, "px") if unit_nm is None else (unit_nm, "nm")
        self.setLabel("left", f"reached (1/{unit})")
        self.setYRange(0, 0.52 / step)
        reached = np.asarray(reached) / step
        for curve, limit, colour in zip(reached, limits, COLOURS, strict=True):
            name = f"FSC {limit:g}, {MEANT_FOR[limit]}"
            self.set_line(name, angles_deg, curve, colour, dots=True)
        self._clear_wedges()
        low, high = (-90.0, 90.0) if tilts_deg is None else tilts_deg
        for ends in ((-90.0, low), (high, 90.0)):
            if ends[1] > ends[0]:
                brush = pyqtgraph.mkBrush(213, 94, 0, 50)
                wedge = pyqtgraph.LinearRegionItem(
                    ends, movable=False, brush=brush, pen=pyqtgraph.mkPen(None)
                )
                wedge.setZValue(-10)
                self.addItem(wedge, ignoreBounds=True)
                self._wedges.append(wedge)

    def clear_lines(self) -> None:
        """Remove every line and what is shaded."""
        super().clear_lines()
        self._clear_wedges()

    def _clear_wedges(self) -> None:
        for wedge in self._wedges:
            self.removeItem(wedge)
        self._wedges = []

    @property
    def missing(self) -> list[tuple[float, float]]:
        """The directions that are shaded, degrees."""
        return [wedge.getRegion() for wedge in self._wedges]


class FscPlot(Plot):
    """Fourier shell correlation with the limits people use."""

    def __init__(self) -> None:
        super().__init__("spatial frequency (1/px)", "FSC")
        self.setYRange(-0.1, 1.02)
        self.setXRange(0, 0.5)
        self.setToolTip(
            "Fourier shell correlation of A and B. Where it first falls below a limit "
            "lies the resolution: 0.143 and half-bit are meant for two halves of one "
            "data set, 0.5 for a volume against the truth"
        )

    def show_curves(
        self,
        frequency: Any,
        curve: Any,
        half_bit: Any,
        limit: Any,
        unit_nm: float | None = None,
    ) -> None:
        """Draw the correlation and its limits; unit_nm: edge of a voxel."""
        step, unit = (1.0, "px") if unit_nm is None else (unit_nm, "nm")
        self.setLabel("bottom", f"spatial frequency (1/{unit})")
        frequency = np.asarray(frequency) / step
        self.setXRange(0, 0.5 / step)
        self.set_line("FSC", frequency, curve, COLOURS[0])
        self.set_line("limit half-bit", frequency, half_bit, "#009e73")
        flat = np.full(len(frequency), float(limit))
        self.set_line(f"limit {limit:g}", frequency, flat, "#cc79a7")
