"""Watching a run in a terminal until it ends."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from napari_inr_tomo.cli.common import note
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.runs import RunFolder, RunStatus

POLL_S = 0.2
PLAIN_EVERY_S = 10.0


class Display(Protocol):
    """Where the state of a run is shown."""

    def show(self, status: RunStatus) -> None:
        """Show the present state."""

    def line(self, text: str) -> None:
        """Print a line that stays."""


class PlainDisplay:
    """Lines for a log: at every new phase, and now and then."""

    def __init__(self) -> None:
        self._phase, self._last = "", 0.0

    def show(self, status: RunStatus) -> None:
        """Print a line if there is something new to say."""
        now = time.monotonic()
        if status.phase == self._phase and now - self._last < PLAIN_EVERY_S:
            return
        self._phase, self._last = status.phase, now
        self.line(in_words(status))

    def line(self, text: str) -> None:
        """Print a line."""
        note(text)


class BarDisplay:
    """A progress bar, for a terminal."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def show(self, status: RunStatus) -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            description=_doing(status),
            completed=status.step,
            total=status.total or None,
        )

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)


def _doing(status: RunStatus) -> str:
    """Return what a run does, in the words of the Monitor."""
    from napari_inr_tomo.events import PHASES

    return PHASES.get(status.phase, status.phase) or status.state


def in_words(status: RunStatus) -> str:
    """Return the state of a run in one line."""
    from napari_inr_tomo.events import count_in_words
    from napari_inr_tomo.runs.timing import in_seconds

    parts = [_doing(status)]
    if status.total > 1:
        counted = count_in_words(status.phase, status.step, status.total)
        parts.append(counted or f"{status.step} of {status.total}")
    if status.loss is not None:
        parts.append(f"loss {status.loss:.4g}")
    if status.holdout is not None:
        parts.append(f"hold-out {status.holdout:.4g}")
    if status.eta_s is not None:
        parts.append(f"about {in_seconds(status.eta_s)} left")
    return ", ".join(parts)


@contextmanager
def display() -> Iterator[Display]:
    """Give a progress bar where the error output is a terminal, else plain lines."""
    if not sys.stderr.isatty():
        yield PlainDisplay()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield BarDisplay(progress)


@contextmanager
def on_interrupt(act: Callable[[int], None]) -> Iterator[None]:
    """Call ``act`` with 1, 2, ... at each Ctrl-C, in place of the usual exception."""
    count = 0

    def pressed(*_: object) -> None:
        nonlocal count
        count += 1
        act(count)

    before = signal.signal(signal.SIGINT, pressed)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def watch(run: RunFolder, mine: bool) -> RunStatus:
    """Show a run until it ends, and return how it ended.

    mine: Ctrl-C stops the run (its result is kept) and a second one cancels it; else
    Ctrl-C only ends the watching.  The run itself lives on either way, see `launch`.
    """
    from napari_inr_tomo.events import Warned
    from napari_inr_tomo.runs import Follower

    left = False

    def interrupted(count: int) -> None:
        nonlocal left
        if not mine or count > 2:
            left = True
            return
        run.request("stop" if count == 1 else "cancel")
        screen.line(_STOPPING if count == 1 else _CANCELLING)

    follower = Follower(run)
    with display() as screen, on_interrupt(interrupted):
        while True:
            status = run.status()
            for event in follower.poll():
                if isinstance(event, Warned):
                    screen.line(f"Warning: {event.what}: {event.why}. {event.do}.")
            if left or not (status.active or status.state == "waiting"):
                break
            screen.show(status)
            time.sleep(POLL_S)
    return status


_STOPPING = "Stopping; the result so far is kept. Press Ctrl-C again to cancel."
_CANCELLING = "Cancelling; the run can be resumed. Press Ctrl-C again to leave it."


def require_result(run: RunFolder, status: RunStatus) -> None:
    """Raise `UserError` where the run has not ended with a result."""
    from napari_inr_tomo.events import Failed

    if status.has_result:
        return
    if status.active:
        raise UserError(
            "The run goes on, but nobody waits for it any more",
            f"it works in {run.path}",
            f"Watch it with: inr-tomo follow {run.path}",
        )
    if status.state == "failed":
        for event in reversed(run.events()):
            if isinstance(event, Failed):
                raise UserError(event.what, event.why, event.do)
    raise UserError(
        f"The run ended without a result ({status.state})",
        status.message or in_words(status),
        f"Go on with: inr-tomo resume {run.path}",
    )
