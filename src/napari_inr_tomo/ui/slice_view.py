"""Three slices at right angles with a crosshair to drag, and a fourth picture.

The fourth is the power spectrum across the tilt axis, or a plane at any angle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QPolygonF
from qtpy.QtWidgets import QGraphicsPolygonItem

from napari_inr_tomo.planes import Plane
from napari_inr_tomo.ui.colours import TEXT_CONTRAST, readable, theme_colours
from napari_inr_tomo.ui.scale_bar import ScaleBar

COLOURS = {"xy": "#3b9ddd", "xz": "#009e73", "yz": "#e69f00"}
WEDGE_COLOUR = "#d55e00"
FREE_COLOUR = "#cc79a7"
MOST_VOXELS = 40
"""The voxels are drawn as a grid where a picture shows no more than these in a row."""
WHEEL = 1.25
"""Zoom of one notch of the mouse wheel."""
AXES = {"xy": (0, 1), "xz": (0, 2), "yz": (1, 2)}
"""Of every plane: which of x, y, z its columns and its rows run along."""
_LINES = {
    "xy": {"right": "yz", "down": "xz"},
    "xz": {"right": "yz", "down": "xy"},
    "yz": {"right": "xz", "down": "xy"},
}
"""Of every plane: which planes its two lines stand for."""


class Pane:
    """One picture with its name in the corner, in pixels about the centre."""

    def __init__(self, view: pyqtgraph.GraphicsLayoutWidget, place: tuple[int, int]):
        self.caption = view.addLabel("", *place, size="9pt")
        self.box = view.addViewBox(place[0] + 1, place[1])
        self.box.setAspectLocked(True)
        self.box.invertY(True)
        self.box.setMouseEnabled(False, False)
        self.box.setMenuEnabled(False)
        self.image = pyqtgraph.ImageItem(axisOrder="row-major")
        self.box.addItem(self.image)
        self.shown: np.ndarray | None = None
        self.rect = QRectF()
        self.scale_bar = ScaleBar(self.box)

    def show(
        self, image: np.ndarray, rect: QRectF, limits: tuple[float, float] | None
    ) -> None:
        """Show (row, column) over ``rect``."""
        self.shown, self.rect = image, rect
        self.image.setImage(image, levels=limits, autoLevels=limits is None)
        self.image.setRect(rect)
        self.box.setRange(rect, padding=0.02)

    def clear(self) -> None:
        """Show nothing."""
        self.shown = None
        self.image.clear()
        self.scale_bar.clear()


class SlicePane(Pane):
    """A slice with the two lines of the crosshair."""

    def __init__(
        self, view: pyqtgraph.GraphicsLayoutWidget, place: tuple[int, int], name: str
    ) -> None:
        super().__init__(view, place)
        self.name = name
        self.lines = {}
        for side, angle in (("right", 90), ("down", 0)):
            pen = pyqtgraph.mkPen(COLOURS[_LINES[name][side]], width=1.5)
            line = pyqtgraph.InfiniteLine(angle=angle, movable=True, pen=pen)
            line.setHoverPen(pyqtgraph.mkPen(COLOURS[_LINES[name][side]], width=4))
            self.lines[side] = line
            self.box.addItem(line, ignoreBounds=True)
        pen = pyqtgraph.mkPen(FREE_COLOUR, width=1.5, style=Qt.PenStyle.DashLine)
        self.trace = pyqtgraph.InfiniteLine(pen=pen)
        self.trace.hide()
        self.box.addItem(self.trace, ignoreBounds=True)
        pen = pyqtgraph.mkPen(255, 255, 255, 70)
        self.grid = pyqtgraph.PlotCurveItem(connect="pairs", pen=pen)
        self.box.addItem(self.grid, ignoreBounds=True)

    def show_trace(
        self, position_xyz: tuple[float, float, float], normal_xyz: np.ndarray | None
    ) -> None:
        """Draw the line in which a plane through the crosshair cuts this slice."""
        right, down = AXES[self.name]
        along = np.zeros(3)
        if normal_xyz is not None:
            along = np.cross(normal_xyz, np.eye(3)[3 - right - down])
        self.trace.setVisible(bool(np.linalg.norm(along) > 1e-6))
        self.trace.setPos((position_xyz[right], position_xyz[down]))
        self.trace.setAngle(float(np.degrees(np.arctan2(along[down], along[right]))))

    def show_grid(self, rect: QRectF, voxel_px: float, sides: tuple[int, int]) -> None:
        """Draw the edges of the voxels within ``rect`` where they are large enough.

        Not over a whole slice, however few voxels it has: it is looked at as a picture.
        sides: of the box along the columns and the rows, px.
        """
        whole = rect.width() >= sides[0] and rect.height() >= sides[1]
        if whole or max(rect.width(), rect.height()) > MOST_VOXELS * voxel_px:
            self.grid.setData([], [])
            return
        ends = ((rect.left(), rect.right()), (rect.top(), rect.bottom()))
        segments = []
        for axis, (low, high) in enumerate(ends):
            edges = np.arange(sides[axis] / voxel_px + 1) * voxel_px - sides[axis] / 2
            across = ends[1 - axis]
            for edge in edges[(edges >= low) & (edges <= high)]:
                line = [(edge, across[0]), (edge, across[1])]
                segments += line if axis == 0 else [point[::-1] for point in line]
        self.grid.setData(*np.array(segments).reshape(-1, 2).T)


class OrthoView(pyqtgraph.GraphicsLayoutWidget):
    """The planes xy, xz and yz through one point, and a fourth picture.

    moved: the user dragged the crosshair to (x, y, z), px about the centre.
    zoomed: the mouse wheel asks for so many times the zoom.
    """

    moved = Signal(tuple)
    zoomed = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(280, 300)
        self.setMaximumHeight(430)
        self.ci.layout.setSpacing(2)
        self.ci.layout.setContentsMargins(2, 2, 2, 2)
        places = {"xy": (0, 0), "yz": (0, 1), "xz": (2, 0)}
        self.panes = {name: SlicePane(self, at, name) for name, at in places.items()}
        self.fourth = Pane(self, (2, 1))
        self._wedge: list[Any] = []
        self._position = (0.0, 0.0, 0.0)
        self._normal: np.ndarray | None = None
        self._behind = "#000000"
        for column in (0, 1):
            self.ci.layout.setColumnStretchFactor(column, 1)
        for row in (1, 3):
            self.ci.layout.setRowStretchFactor(row, 1)
        for pane in self.panes.values():
            for side, line in pane.lines.items():
                line.sigDragged.connect(
                    lambda line, pane=pane, side=side: self._dragged(pane, side, line)
                )
        self.scene().sigMouseClicked.connect(self._clicked)

    def set_theme(self, name: str) -> None:
        """Take the colours of a napari theme."""
        self._behind, text_colour, _ = theme_colours(name)
        self.setBackground(self._behind)
        self.fourth.caption.setText(self.fourth.caption.text, color=text_colour)
        self.set_captions({n: pane.caption.text for n, pane in self.panes.items()})

    @property
    def position(self) -> tuple[float, float, float]:
        """Where the crosshair stands: x, y, z, px about the centre."""
        return self._position

    def set_position(self, position_xyz: tuple[float, float, float]) -> None:
        """Move the crosshair; no signal."""
        self._position = position_xyz
        for name, pane in self.panes.items():
            right, down = AXES[name]
            pane.lines["right"].setValue(position_xyz[right])
            pane.lines["down"].setValue(position_xyz[down])
            pane.show_trace(position_xyz, self._normal)

    def show_slices(
        self,
        images: list[np.ndarray],
        planes: tuple[Plane, ...],
        limits: tuple[float, float] | None,
    ) -> None:
        """Show slices in the order xy, xz, yz."""
        for name, image, plane in zip(AXES, images, planes, strict=True):
            self.panes[name].show(image, rect_of(plane, name), limits)

    def set_captions(self, words: dict[str, str]) -> None:
        """Write over every slice where it lies."""
        for name, text in words.items():
            colour = readable(COLOURS[name], self._behind, TEXT_CONTRAST)
            self.panes[name].caption.setText(text, color=colour)

    def set_scale(self, unit_nm: float | None) -> None:
        """Draw a scale bar into every picture in real space."""
        for pane in (*self.panes.values(), self.fourth):
            spectrum = pane is self.fourth and self._normal is None
            if pane.shown is None or spectrum:
                pane.scale_bar.clear()
            else:
                pane.scale_bar.show(pane.rect, unit_nm)

    def show_spectrum(
        self, power: np.ndarray, triangles: list[np.ndarray], caption: str
    ) -> None:
        """Show a power spectrum with the missing wedge drawn over it."""
        self._clear_wedge()
        self._show_normal(None)
        rect = QRectF(-0.5, -0.5, 1.0, 1.0)
        low, high = (float(v) for v in np.quantile(power, [0.2, 0.999]))
        self.fourth.image.setColorMap(pyqtgraph.colormap.get("viridis"))
        self.fourth.show(power, rect, (low, max(high, low + 1e-6)))
        self.fourth.caption.setText(caption)
        for triangle in triangles:
            corners = [QPointF(*point) for point in triangle]
            item = QGraphicsPolygonItem(QPolygonF(corners))
            item.setPen(pyqtgraph.mkPen(WEDGE_COLOUR, width=2, cosmetic=True))
            colour = pyqtgraph.mkColor(WEDGE_COLOUR)
            colour.setAlpha(50)
            item.setBrush(pyqtgraph.mkBrush(colour))
            self.fourth.box.addItem(item, ignoreBounds=True)
            self._wedge.append(item)

    def show_free(
        self,
        image: np.ndarray,
        plane: Plane,
        limits: tuple[float, float] | None,
        caption: str,
    ) -> None:
        """Show a plane at any angle, and where it cuts the three slices."""
        self._clear_wedge()
        rows, columns = (n * plane.step_px for n in plane.shape)
        self.fourth.image.setColorMap(pyqtgraph.colormap.get("CET-L1"))
        rect = QRectF(-columns / 2, -rows / 2, columns, rows)
        self.fourth.show(image, rect, limits)
        self.fourth.caption.setText(caption)
        self._show_normal(np.cross(plane.right_xyz, plane.down_xyz))

    def _show_normal(self, normal_xyz: np.ndarray | None) -> None:
        self._normal = normal_xyz
        for pane in self.panes.values():
            pane.show_trace(self._position, normal_xyz)

    def show_grids(self, voxel_px: float, shape_zyx: tuple[int, int, int]) -> None:
        """Draw the voxels of a box over slices that are closer than they."""
        for name, pane in self.panes.items():
            right, down = AXES[name]
            sides = shape_zyx[2 - right], shape_zyx[2 - down]
            pane.show_grid(pane.rect, voxel_px, sides)

    def wheelEvent(self, event: Any) -> None:
        """Zoom about the crosshair."""
        notches = event.angleDelta().y() / 120
        if notches:
            self.zoomed.emit(WHEEL**notches)
        event.accept()

    def _clear_wedge(self) -> None:
        for item in self._wedge:
            self.fourth.box.removeItem(item)
        self._wedge = []

    def clear_all(self) -> None:
        """Show nothing."""
        self._clear_wedge()
        for pane in (*self.panes.values(), self.fourth):
            pane.clear()
        for pane in self.panes.values():
            pane.trace.hide()
            pane.grid.setData([], [])

    @property
    def wedge_shown(self) -> int:
        """How many sides of a missing wedge are drawn."""
        return len(self._wedge)

    def _dragged(self, pane: SlicePane, side: str, line: Any) -> None:
        axis = AXES[pane.name][0 if side == "right" else 1]
        self._go({axis: float(line.value())})

    def _clicked(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        for name, pane in self.panes.items():
            if pane.box.sceneBoundingRect().contains(event.scenePos()):
                point = pane.box.mapSceneToView(event.scenePos())
                right, down = AXES[name]
                self._go({right: point.x(), down: point.y()})

    def _go(self, changed: dict[int, float]) -> None:
        position = list(self._position)
        for axis, value in changed.items():
            position[axis] = value
        self.set_position(tuple(position))
        self.moved.emit(self._position)


def rect_of(plane: Plane, name: str) -> QRectF:
    """Return the rectangle a plane covers in its own two axes, px."""
    right, down = AXES[name]
    rows, columns = plane.shape
    width, height = columns * plane.step_px, rows * plane.step_px
    left = plane.centre_xyz[right] - width / 2
    top = plane.centre_xyz[down] - height / 2
    return QRectF(left, top, width, height)
