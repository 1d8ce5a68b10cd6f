"""Work in another turn of the event loop, so that the window answers in between."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

TURN_MS = 15
"""Long enough for the window to draw and to take in keys and clicks."""


_waiting: deque[Callable[[], object]] = deque()


def later(act: Callable[[], object]) -> None:
    """Call a function in a later turn of the event loop, one function a turn."""
    _waiting.append(act)
    if len(_waiting) == 1:
        QTimer.singleShot(TURN_MS, _next)


def idle() -> bool:
    """Whether nothing waits for its turn."""
    return not _waiting


def _next() -> None:
    """Call what waits longest; it stays first meanwhile: it may run the event loop."""
    try:
        _waiting[0]()
    finally:
        _waiting.popleft()
        if _waiting:
            QTimer.singleShot(TURN_MS, _next)


class Pieces:
    """Work in pieces, one a turn of the event loop.

    Asked for again before the first piece it is done once; later, once more; not at
    all once `forget` was called or ``owner`` is gone.
    """

    def __init__(self, owner: QWidget, *pieces: Callable[[], None]) -> None:
        self._pieces = pieces
        owner.destroyed.connect(self.forget)
        self._left: list[Callable[[], None]] = []
        self._again = False

    def __call__(self) -> None:
        """Ask for the work."""
        if self.waits:
            self._again = len(self._left) < len(self._pieces)
        else:
            self._begin()

    @property
    def waits(self) -> bool:
        """Whether some of the work is still to be done."""
        return bool(self._left) or self._again

    def forget(self, *_: Any) -> None:
        """Leave undone what still waits."""
        self._left, self._again = [], False

    def _begin(self) -> None:
        self._left, self._again = list(self._pieces), False
        later(self._next)

    def _next(self) -> None:
        if not self._left:
            return  # forgotten
        piece = self._left.pop(0)
        try:
            piece()
        finally:
            if self._left:
                later(self._next)
            elif self._again:
                self._begin()


def load_ahead() -> None:
    """Import in a thread what the layers of a run would import.

    pandas alone keeps all other threads waiting for a tenth of a second: better while a
    dock opens than in the first seconds of a run.
    """
    if "pandas" not in sys.modules:
        threading.Thread(target=_import, name="inr-tomo-import").start()


def _import() -> None:
    import pandas  # noqa: F401
