"""Work in another turn of the event loop, so that the window answers in between."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable

from qtpy.QtCore import QTimer

TURN_MS = 15
"""Long enough for the window to draw and to take in keys and clicks."""


_waiting: deque[Callable[[], None]] = deque()


def later(act: Callable[[], None]) -> None:
    """Call a function in a later turn of the event loop, one function a turn."""
    _waiting.append(act)
    if len(_waiting) == 1:
        QTimer.singleShot(TURN_MS, _next)


def _next() -> None:
    """Call what waits longest; it stays first meanwhile: it may run the event loop."""
    try:
        _waiting[0]()
    finally:
        _waiting.popleft()
        if _waiting:
            QTimer.singleShot(TURN_MS, _next)


def load_ahead() -> None:
    """Import in a thread what the layers of a run would import.

    pandas alone keeps all other threads waiting for a tenth of a second: better while a
    dock opens than in the first seconds of a run.
    """
    if "pandas" not in sys.modules:
        threading.Thread(target=_import, name="inr-tomo-import").start()


def _import() -> None:
    import pandas  # noqa: F401
