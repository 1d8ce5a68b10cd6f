"""A scale bar inside a picture, at its lower right, with its length in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph
from qtpy.QtCore import QRectF


class ScaleBar:
    """Drawn in the coordinates of the picture, so that it lies within it."""

    def __init__(self, box: pyqtgraph.ViewBox) -> None:
        pen = pyqtgraph.mkPen("w", width=4)
        self._line = pyqtgraph.PlotCurveItem(pen=pen)
        self._text = pyqtgraph.TextItem("", color="w", anchor=(1.0, 1.0))
        self._text.fill = pyqtgraph.mkBrush(0, 0, 0, 90)
        for item in (self._line, self._text):
            item.setZValue(20 if item is self._text else 21)
            box.addItem(item, ignoreBounds=True)

    def show(self, rect: QRectF, unit_nm: float | None) -> None:
        """Draw a round length near a fifth of the picture.

        rect: the picture, px; unit_nm: nm of a px, None where unknown.
        """
        size = unit_nm or 1.0
        length = round_length(rect.width() * size)
        end = rect.right() - 0.05 * rect.width()
        y = rect.bottom() - 0.05 * rect.height()
        start = end - length / size
        self._line.setData([start, end], [y, y])
        self._text.setText(f"{length:g} {'px' if unit_nm is None else 'nm'}")
        self._text.setPos(end, y)

    def clear(self) -> None:
        """Draw nothing."""
        self._line.setData([], [])
        self._text.setText("")

    @property
    def words(self) -> str:
        """The length, as it is written."""
        return self._text.toPlainText()


def round_length(span: Any) -> float:
    """Return a round length (1, 2 or 5 times a power of ten) near a fifth of a span."""
    wanted = max(span / 5, 1e-12)
    power = 10 ** np.floor(np.log10(wanted))
    return float(max(f * power for f in (1, 2, 5) if f * power <= wanted))
