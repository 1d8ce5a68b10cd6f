"""A part of a dock that is folded away at first."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QWidget
from superqt import QCollapsible

CLOSED, OPEN = "\u25b8", "\u25be"


class Fold(QCollapsible):
    """A titled part with a triangle that points right while it is folded away."""

    def __init__(self, title: str, content: QWidget | None = None) -> None:
        # the icons of superqt do not take the colours of napari's themes; an icon of
        # nothing at all is none for PySide6
        clear = QPixmap(1, 1)
        clear.fill(Qt.GlobalColor.transparent)
        super().__init__(title, expandedIcon=QIcon(clear), collapsedIcon=QIcon(clear))
        self.toggleButton().setIconSize(QSize(0, 0))
        self._title = title
        self.setDuration(0)
        self.toggled.connect(self._mark)
        if content is not None:
            self.fill(content)

    def fill(self, content: QWidget) -> None:
        """Put the content in, folded away."""
        self.setContent(content)
        self.collapse(animate=False)
        self._mark()

    def _mark(self, *_: object) -> None:
        self.setText(f"{OPEN if self.isExpanded() else CLOSED} {self._title}")
