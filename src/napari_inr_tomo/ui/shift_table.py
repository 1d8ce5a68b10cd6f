"""The shifts of all tilts as a table with cells to edit; excluded views struck out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)
from superqt.utils import signals_blocked

from napari_inr_tomo.types import TiltSeries

HEADER = ("tilt", "angle (deg)", "dx (px)", "dy (px)")
TIP = (
    "How far the content of every image lies right of (dx) and below (dy) its place, "
    "in pixels; the image is shown, and used, moved back by as much. Double-click a "
    "number to type another. Sorted by angle; views that are left out are struck out"
)
_DX, _DY = 2, 3


class ShiftTable(QTableWidget):
    """One row per tilt, in the order of the angles.

    chosen: called with a tilt when its row is selected; typed: with (tilt, dx, dy).
    """

    def __init__(
        self,
        chosen: Callable[[int], None],
        typed: Callable[[int, float, float], None],
    ) -> None:
        super().__init__(0, len(HEADER))
        self._chosen, self._typed = chosen, typed
        self._tilts: list[int] = []
        self._series: TiltSeries | None = None
        self.setHorizontalHeaderLabels(list(HEADER))
        self.setToolTip(TIP)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(22)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked)
        self.setFixedHeight(190)
        self.itemSelectionChanged.connect(self._selected)
        self.itemChanged.connect(self._edited)

    def keyPressEvent(self, event: Any) -> None:
        """Leave the keys to the panel: arrows shift the tilt."""
        event.ignore()

    @property
    def tilt(self) -> int | None:
        """The tilt of the selected row."""
        row = self.currentRow()
        return self._tilts[row] if 0 <= row < len(self._tilts) else None

    def show_series(
        self, series: TiltSeries | None, order: list[int], tilt: int | None
    ) -> None:
        """Fill in the shifts; only cells that changed are touched."""
        self._series, self._tilts = series, order
        with signals_blocked(self):
            if self.rowCount() != len(order):
                self.setRowCount(len(order))
            for row, index in enumerate(order):
                self._fill(row, index)
            if tilt in order:
                row = order.index(tilt)
                if row != self.currentRow():
                    self.setCurrentCell(row, _DX)
                    self.selectRow(row)
                    self.scrollToItem(self.item(row, _DX))

    def _fill(self, row: int, tilt: int) -> None:
        assert self._series is not None  # noqa: S101 - there are no rows without one
        poses, used = self._series.start_poses, bool(self._series.mask[tilt])
        texts = (
            str(tilt),
            f"{self._series.angles_deg[tilt]:.2f}",
            f"{poses.dx_px[tilt]:.2f}",
            f"{poses.dy_px[tilt]:.2f}",
        )
        for column, text in enumerate(texts):
            item = self.item(row, column)
            if item is None:
                item = QTableWidgetItem()
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                if column < _DX:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                self.setItem(row, column, item)
            if item.text() != text:
                item.setText(text)
            if item.font().strikeOut() == used:
                font = item.font()
                font.setStrikeOut(not used)
                item.setFont(font)

    def _selected(self) -> None:
        if self.tilt is not None:
            self._chosen(self.tilt)

    def _edited(self, item: QTableWidgetItem) -> None:
        if self._series is None:
            return
        tilt = self._tilts[item.row()]
        poses = self._series.start_poses
        shift = {_DX: float(poses.dx_px[tilt]), _DY: float(poses.dy_px[tilt])}
        found = _pixels(item.text())
        most = max(self._series.images.shape[1:])
        if found is not None and abs(found) <= most:
            shift[item.column()] = found
        else:
            from napari.utils.notifications import show_error

            show_error(
                f"{item.text()!r} is not a number of pixels, such as -1.5."
                if found is None
                else f"A shift of {found:g} px is longer than the images, which have "
                f"{most} px: give one between {-most} and {most}."
            )
        self._typed(tilt, shift[_DX], shift[_DY])


def _pixels(text: str) -> float | None:
    """Return the number that was typed, with a point or a comma; None: it is none."""
    try:
        number = float(text.strip().replace("\u2212", "-").replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
