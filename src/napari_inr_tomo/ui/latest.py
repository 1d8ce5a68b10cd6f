"""Work that follows a slider or a mouse: only the newest wish is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget


class Latest:
    """Runs one call at a time in a worker thread; of those that wait, the last.

    ``done`` gets the result and ``failed`` the error, in the GUI thread, unless
    `forget` was called meanwhile or ``owner`` is gone.
    """

    def __init__(
        self,
        owner: QWidget,
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._done, self._failed = done, failed
        owner.destroyed.connect(self.forget)
        self._worker: Any = None
        self._next: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
        self._wanted = 0
        self._running = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is computed or waits."""
        return self._worker is None

    def ask(self, function: Callable[..., Any], *args: Any) -> None:
        """Compute ``function(*args)``, now or when the present call has ended."""
        self._next = (function, args)
        self._wanted += 1
        if self._worker is None:
            self._start()

    def forget(self, *_: Any) -> None:
        """Drop what waits; what is being computed is not handed over."""
        self._next = None
        self._wanted += 1

    def _start(self) -> None:
        from napari.qt.threading import create_worker

        assert self._next is not None  # noqa: S101 - the callers look
        function, args = self._next
        self._next = None
        self._running = self._wanted
        self._worker = create_worker(_caught, function, args)
        self._worker.returned.connect(self._returned)
        self._worker.finished.connect(self._finished)
        self._worker.start()

    def _returned(self, result: Any) -> None:
        if self._running != self._wanted:
            return
        if isinstance(result, _Problem):
            self._failed(result.error)
        else:
            self._done(result)

    def _finished(self) -> None:
        self._worker = None
        if self._next is not None:
            self._start()


class _Problem:
    def __init__(self, error: Exception) -> None:
        self.error = error


def _caught(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001 - shown where the picture would be
        return _Problem(error)
