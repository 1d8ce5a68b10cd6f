"""A generator worker that may live for hours beside everything else.

superqt's workers (0.9) replace ``warnings.showwarning`` and the warning filters of the
whole process for as long as they run, and napari then shows every warning of every
thread as a notification, again and again.  That is right for a step of seconds and
wrong for a follower; this worker leaves the warnings alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.qt.threading import GeneratorWorker
from superqt.utils import create_worker

from napari_inr_tomo.errors import UserError


class QuietWorker(GeneratorWorker):
    """Napari's generator worker, but for the warnings."""

    def run(self) -> None:
        """Work, and say how it went (called by Qt's thread pool)."""
        try:
            self._work_and_tell()
        except RuntimeError:  # the signals are deleted: the application is ending
            return

    def _work_and_tell(self) -> None:
        self.started.emit()
        self._running = True
        try:
            result = self.work()
            if isinstance(result, Exception):
                raise result
            if not self.abort_requested:
                self.returned.emit(result)
        except Exception as error:  # noqa: BLE001 - handed to the GUI thread
            self.errored.emit(error)
        self._running = False
        self.finished.emit()
        self._finished.emit(self)


def quiet_worker(
    function: Callable[..., Any], *args: Any, failed: Callable[[str], None]
) -> QuietWorker:
    """Return a worker for a generator function; it is yet to be started.

    failed: called with what a `UserError` says, in the thread of the window; any other
    error is raised there as well, for napari to show with its trace.
    """
    worker = create_worker(
        function, *args, _worker_class=QuietWorker, _ignore_errors=True
    )

    def errored(error: Exception) -> None:
        failed(str(error))
        if not isinstance(error, UserError):
            raise error

    worker.errored.connect(errored)
    return worker
