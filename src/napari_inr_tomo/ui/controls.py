"""Small widgets every dock is made of: reasons, numbers with units, slice pictures."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

import numpy as np
from qtpy.QtCore import QPoint, QRect, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_inr_tomo.ui.paths import shown

Reason = str | None
SMALL_PX = 150
"""A picture narrower than this has a low scale bar: its specimen is small, too."""


def words(text: str = "", dim: bool = False) -> QLabel:
    """Return a label that wraps; ``dim`` for explanations."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    if dim:
        label.setEnabled(True)
        font = label.font()
        font.setItalic(True)
        label.setFont(font)
    return label


def _weakly(act: Callable[[], Any]) -> Callable[..., None]:
    """Return a slot that does not keep the owner of a method alive.

    PySide holds on to slots that are no methods, and a dock would never end.
    """
    if not inspect.ismethod(act):
        return lambda _=False: act()
    known = WeakMethod(act)

    def clicked(_: bool = False) -> None:
        now = known()
        if now is not None:
            now()

    return clicked


class ActionRow(QWidget):
    """Buttons in a row; a line under them says why any of them is greyed out.

    most: how many stand in a row, which keeps docks narrow; the next begins another.
    """

    def __init__(self, most: int = 4) -> None:
        super().__init__()
        self._most = most
        self._rows = QVBoxLayout()
        self._why = words(dim=True)
        self._why.setObjectName("why_not")
        self._why.hide()
        self._reasons: dict[QWidget, Reason] = {}
        self._tips: dict[QWidget, str] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(self._rows)
        layout.addWidget(self._why)

    def add(self, text: str, tip: str, clicked: Callable[[], Any]) -> QPushButton:
        """Add a button."""
        button = QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(_weakly(clicked))
        return self.add_widget(button)

    def add_widget(self, widget: Any) -> Any:
        """Add any other control whose use may be barred."""
        if len(self._tips) % self._most == 0:
            self._rows.addLayout(QHBoxLayout())
        self._tips[widget] = widget.toolTip()
        self._rows.itemAt(self._rows.count() - 1).addWidget(widget)
        return widget

    def bar(self, widget: QWidget, reason: Reason) -> None:
        """Grey a control out for a reason, or let it be used (None)."""
        self._reasons[widget] = reason
        widget.setEnabled(reason is None)
        tip = self._tips[widget]
        widget.setToolTip(tip if reason is None else f"{reason}.\n\n{tip}")
        names: dict[str, list[str]] = {}
        for control, why in self._reasons.items():
            if why is not None:
                names.setdefault(why, []).append(control.text())
        everything = len(names) == 1 and all(
            r is not None for r in self._reasons.values()
        )
        lines = [
            f"{why}." if everything else f"{', '.join(controls)}: {why}."
            for why, controls in names.items()
        ]
        self._why.setText("\n".join(lines))
        self._why.setVisible(bool(lines))

    @property
    def reason_text(self) -> str:
        """What the line under the buttons says now."""
        return self._why.text()


def group(title: str) -> tuple[QGroupBox, QVBoxLayout]:
    """Return a titled box and its layout."""
    box = QGroupBox(title)
    layout = QVBoxLayout(box)
    layout.setContentsMargins(8, 12, 8, 8)
    layout.setSpacing(6)
    return box, layout


def form() -> QFormLayout:
    """Return a form layout that stays narrow."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
    return layout


def beside(*widgets: QWidget) -> QWidget:
    """Return widgets in one row."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row


def whole(value: int, low: int, high: int, tip: str, suffix: str = "") -> QSpinBox:
    """Return a box for a whole number."""
    box = QSpinBox()
    box.setRange(low, high)
    box.setValue(value)
    box.setSuffix(suffix)
    box.setToolTip(tip)
    box.setKeyboardTracking(False)
    return box


class NumberBox(QDoubleSpinBox):
    """A box for a number; typing replaces the word shown in place of its least one."""

    def __init__(self) -> None:
        super().__init__()
        self.lineEdit().selectionChanged.connect(self._select_word)
        self.lineEdit().cursorPositionChanged.connect(self._select_word)

    def focusInEvent(self, event: Any) -> None:
        """Take the keyboard."""
        super().focusInEvent(event)
        self._select_word()

    def _select_word(self, *_: Any) -> None:
        line, word = self.lineEdit(), self.specialValueText()
        if word and line.text() == word and not line.hasSelectedText():
            line.selectAll()


def number(
    value: float,
    low: float,
    high: float,
    tip: str,
    suffix: str = "",
    step: float = 0.1,
    decimals: int = 2,
) -> QDoubleSpinBox:
    """Return a box for a number."""
    box = NumberBox()
    box.setDecimals(decimals)
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setValue(value)
    box.setSuffix(suffix)
    box.setToolTip(tip)
    box.setKeyboardTracking(False)
    return box


def tick(text: str, tip: str, checked: bool = False) -> QCheckBox:
    """Return a tick box."""
    box = QCheckBox(text)
    box.setToolTip(tip)
    box.setChecked(checked)
    return box


class PathEdit(QWidget):
    """A line for a path with a button to browse."""

    def __init__(self, kind: str, tip: str, placeholder: str = "") -> None:
        super().__init__()
        self._kind = kind
        self.line = QLineEdit()
        self.line.setToolTip(tip)
        self.line.setPlaceholderText(placeholder)
        self.browse = QPushButton("...")
        self.browse.setFixedWidth(32)
        self.browse.setToolTip("Choose with a file dialog")
        self.browse.clicked.connect(self._browse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line)
        layout.addWidget(self.browse)

    def text(self) -> str:
        """Return the path as typed, ``~`` written out."""
        return os.path.expanduser(self.line.text().strip())

    def setText(self, text: str) -> None:
        """Set the path; the home folder is shown as ``~``."""
        self.line.setText(shown(text) if text else "")

    def _browse(self) -> None:
        # not at the top: the dialogs need the plugin's settings, most controls do not
        from napari_inr_tomo.ui.remembered import ask_file, ask_folder

        if self._kind == "folder":
            path = ask_folder(self, "Choose a folder", self.text())
        else:
            path = ask_file(self, "Choose a file", self.text())
        if path:
            self.setText(path)
            self.line.editingFinished.emit()


class SlicePicture(QWidget):
    """A small grey picture with words under it; its own contrast."""

    def __init__(self, tip: str, side: int = 100) -> None:
        super().__init__()
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setMinimumSize(QSize(side, side))
        self.picture.setFixedHeight(side)
        self.picture.setToolTip(tip)
        self.caption = QLabel()
        self.caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.caption.setWordWrap(True)
        self.caption.setToolTip(tip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.picture)
        layout.addWidget(self.caption)
        self._image: np.ndarray | None = None
        self._limits: tuple[float, float] = (0.0, 1.0)
        self._overlay: np.ndarray | None = None
        self._pixel: tuple[float, str] | None = None
        self.scale_words = ""

    def show_image(
        self,
        image: np.ndarray,
        caption: str,
        limits: tuple[float, float] | None = None,
        overlay: np.ndarray | None = None,
        pixel: tuple[float, str] | None = None,
    ) -> None:
        """Show (y, x) between ``limits``.

        overlay: (y, x) bool, tinted; pixel: its edge and the unit, for a scale bar.
        """
        self._pixel = pixel
        self._image = np.asarray(image, np.float32)
        self._limits = limits or inner_limits(self._image)
        self._overlay = overlay
        self.caption.setText(caption)
        self._paint()

    def clear(self, caption: str = "") -> None:
        """Show nothing but words."""
        self._image = None
        self.scale_words = ""
        self.picture.clear()
        self.caption.setText(caption)

    @property
    def shown(self) -> bool:
        """Whether a picture is shown."""
        return self._image is not None

    def resizeEvent(self, event: Any) -> None:
        """Scale the picture to the new size."""
        super().resizeEvent(event)
        self._paint()

    def _paint(self) -> None:
        if self._image is None:
            return
        low, high = self._limits
        grey = np.clip((self._image - low) / max(high - low, 1e-30), 0, 1) * 255
        rgb = np.repeat(np.nan_to_num(grey).astype(np.uint8)[..., None], 3, axis=2)
        if self._overlay is not None:
            tint = np.array([255, 150, 40], np.float32)
            rgb[self._overlay] = (0.6 * rgb[self._overlay] + 0.4 * tint).astype(
                np.uint8
            )
        rgb = np.ascontiguousarray(rgb)
        height, width = rgb.shape[:2]
        picture = QImage(
            rgb.data, width, height, 3 * width, QImage.Format.Format_RGB888
        )
        drawn = QPixmap.fromImage(picture.copy()).scaled(
            self.picture.size(),
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        if self._pixel is not None:
            self._draw_scale(drawn, width, *self._pixel)
        self.picture.setPixmap(drawn)

    def _draw_scale(self, drawn: QPixmap, width: int, edge: float, unit: str) -> None:
        """Draw a scale bar at the lower right, its length in words over it.

        In a small picture the words stand beside the bar, at the edge: over it they
        would cover a part of the specimen.
        """
        from napari_inr_tomo.ui.scale_bar import round_length

        length = round_length(width * edge)
        self.scale_words = f"{length:g} {unit}"
        bar = max(1, round(length / edge / width * drawn.width()))
        painter = QPainter(drawn)
        if drawn.width() < SMALL_PX:
            self._draw_low_scale(painter, drawn, bar)
            painter.end()
            return
        fitted = painter.fontMetrics().boundingRect(self.scale_words)
        box = QRect(0, 0, max(bar, fitted.width()) + 12, fitted.height() + 14)
        box.moveBottomRight(QPoint(drawn.width() - 5, drawn.height() - 5))
        painter.fillRect(box, QColor(0, 0, 0, 150))
        painter.setPen(QColor("white"))
        top = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop
        painter.drawText(box.adjusted(0, 2, 0, 0), top, self.scale_words)
        left, line = box.center().x() - bar // 2, box.bottom() - 7
        painter.fillRect(QRect(left, line, bar, 4), QColor("white"))
        painter.end()

    def _draw_low_scale(self, painter: QPainter, drawn: QPixmap, bar: int) -> None:
        font = painter.font()
        font.setPixelSize(9)
        painter.setFont(font)
        fitted = painter.fontMetrics().boundingRect(self.scale_words)
        box = QRect(0, 0, bar + fitted.width() + 9, fitted.height())
        box.moveBottomRight(QPoint(drawn.width() - 1, drawn.height() - 1))
        painter.fillRect(box, QColor(0, 0, 0, 150))
        painter.setPen(QColor("white"))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box.adjusted(3, 0, 0, 0), left, self.scale_words)
        line = QRect(box.right() - bar - 2, box.center().y() - 1, bar, 3)
        painter.fillRect(line, QColor("white"))


def inner_limits(image: np.ndarray) -> tuple[float, float]:
    """Return contrast limits from the inscribed ellipse; edges would spoil them."""
    height, width = image.shape
    y, x = np.ogrid[:height, :width]
    inside = ((2 * y + 1) / height - 1) ** 2 + ((2 * x + 1) / width - 1) ** 2 < 0.94
    values = image[inside & np.isfinite(image)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, [0.005, 0.995])
    return float(low), float(high if high > low else low + 1)
