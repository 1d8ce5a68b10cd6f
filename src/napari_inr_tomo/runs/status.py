"""How a run stands, from its events, its lock and its launcher."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, replace
from os.path import exists  # False where a network disk is away, unlike that of a Path
from typing import Any, Literal

from napari_inr_tomo import atomic, lock
from napari_inr_tomo.events import (
    Cancelled,
    Epoch,
    Event,
    Failed,
    Finished,
    Phase,
    Started,
    Warned,
)
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.restarts import newest_checkpoint, requeued

State = Literal[
    "created",
    "waiting",
    "running",
    "stopping",
    "finished",
    "stopped",
    "cancelled",
    "failed",
    "interrupted",
]

SUBMITTED = "submit.sbatch"
"""The script in the run folder that was given to SLURM."""

FOREIGN_SILENCE_S = 300.0
_LOG_TAIL = 1 << 14
"""A run on another computer, whose lock may be invisible, counts as alive until its
events have been silent for this long."""


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    state: created (never started), waiting (submitted, its job has not begun, or has
    gone back into the queue), running, stopping (asked to stop or cancel), finished,
    stopped (early, with a result), cancelled, failed, or interrupted (ended without a
    word: killed, or the computer went down; it can be resumed).
    step, total: epochs or iterations; phase: what is being done.
    loss, holdout: of the last step, at the end of the network that is kept; eta_s:
    seconds; elapsed_s: seconds of work, those before the run was taken up again
    included.
    warning: the last warning, a sentence; message: what to tell about the state.
    reason: why it ended early where nobody asked for it; kept: the epoch whose network
    is kept, where held-out pixels decide.
    """

    state: State = "created"
    step: int = 0
    total: int = 0
    phase: str = ""
    loss: float | None = None
    holdout: float | None = None
    eta_s: float | None = None
    elapsed_s: float = 0.0
    warning: str | None = None
    message: str = ""
    reason: str | None = None
    kept: int | None = None
    method: str = ""
    device: str = ""
    ranks: int = 0

    @property
    def active(self) -> bool:
        """Whether workers are at it."""
        return self.state in ("running", "stopping")

    @property
    def has_result(self) -> bool:
        """Whether it ended with a result."""
        return self.state in ("finished", "stopped")


@dataclass(frozen=True)
class Told:
    """What the events alone tell: a status, and the event that ended the run."""

    status: RunStatus = RunStatus()
    end: Finished | Cancelled | Failed | None = None
    begun: int | None = None
    """Number of the event with which the workers last said that they run."""
    before_s: float = 0.0
    """Seconds of work before the workers last started."""
    planned: Started | None = None
    """What the workers said when they last started."""

    def after(self, event: Event) -> Told:
        """Return what is known after one more event."""
        status, end, begun = self.status, self.end, self.begun
        before, planned = self.before_s, self.planned
        match event:
            case Started():
                begun, before, planned = event.seq, status.elapsed_s, event
                status = RunStatus(
                    step=event.resumed_at,
                    total=event.total,
                    phase="starting",
                    elapsed_s=before,
                    method=event.method,
                    device=event.device,
                    ranks=event.ranks,
                )
                end = None
            case Phase():
                status = _begun(status, event.name, planned)
            case Epoch():
                status = replace(
                    status,
                    step=event.step,
                    total=event.total,
                    phase=event.phase,
                    loss=event.loss,
                    holdout=event.holdout,
                    eta_s=event.eta_s,
                    elapsed_s=before + event.elapsed_s,
                )
            case Warned():
                status = replace(status, warning=_sentence(event))
            case Finished():
                elapsed = before + event.elapsed_s
                status = replace(
                    status,
                    step=event.step,
                    elapsed_s=elapsed,
                    holdout=status.holdout if event.holdout is None else event.holdout,
                    reason=event.reason,
                    kept=event.kept,
                )
                end = event
            case Cancelled() | Failed():
                end = event
        return Told(status, end, begun, before, planned)


def _begun(status: RunStatus, phase: str, planned: Started | None) -> RunStatus:
    """Return the status at the beginning of a phase.

    How long it is was planned for the last phase alone; others say so as they go.
    """
    step = total = 0
    if planned is not None and phase in ("rays", planned.method.upper()):
        step, total = planned.resumed_at, planned.total
    return replace(
        status, phase=phase, step=step, total=total, loss=None, holdout=None, eta_s=None
    )


def judge(told: Told, alive_after: int | None, paths: RunPaths) -> RunStatus:
    """Return the status.

    alive_after: what `alive_after` said *before* the events were read: a worker that
    ends between the two looks has written its last event by the second.
    """
    status, end = told.status, told.end
    if alive_after is not None and (end is None or end.seq <= alive_after):
        asked = any(exists(paths.control(name)) for name in ("stop", "cancel"))
        state: State = "stopping" if asked else "running"
        if told.begun is None or told.begun <= alive_after:  # not heard of yet
            return RunStatus(state, total=status.total, phase="starting")
        return replace(status, state=state)
    status = replace(status, eta_s=None)
    launched = _launcher(paths)
    died = launched is not None and end is not None and end.seq <= launched["after"]
    if not isinstance(end, Finished) and exists(requeued(paths)):
        return replace(status, state="waiting", message=_REQUEUED)
    if end is not None and not died:
        return replace(
            status, state=_ended(end), message=_last_words(end, status, paths)
        )
    if told.begun is None and launched is None:
        if exists(paths.folder / SUBMITTED):
            return replace(status, state="waiting", message=_WAITING)
        return replace(status, state="created", message="Not started yet")
    return replace(status, state="interrupted", message=_interrupted(paths))


_WAITING = (
    "Submitted; its job has not begun. If the queue does not list it any more, look "
    "into the logs folder of the run"
)


_REQUEUED = (
    "The time of its job was up, or a process had died: the job is back in the queue "
    "and goes on from the last checkpoint. If the queue does not list it any more, "
    "submit it again or resume the run"
)


def _ended(end: Finished | Cancelled | Failed) -> State:
    if isinstance(end, Finished):
        return "stopped" if end.stopped else "finished"
    return "cancelled" if isinstance(end, Cancelled) else "failed"


def _last_words(
    end: Finished | Cancelled | Failed, status: RunStatus, paths: RunPaths
) -> str:
    if isinstance(end, Failed):
        return _sentence(end)
    if isinstance(end, Cancelled):
        if newest_checkpoint(paths) < 0:
            return f"Cancelled at step {end.step}; resumed, it begins anew"
        return f"Cancelled at step {end.step}; it can be resumed from its checkpoint"
    return end.in_words(status.elapsed_s, status.phase, status.total)


def _sentence(event: Warned | Failed) -> str:
    return f"{event.what}: {event.why}. {event.do}."


def _interrupted(paths: RunPaths) -> str:
    words = "The workers ended without a word; the run can be resumed"
    try:
        with open(paths.launcher_log, "rb") as handle:
            handle.seek(max(0, paths.launcher_log.stat().st_size - _LOG_TAIL))
            lines = handle.read(_LOG_TAIL).decode(errors="replace").splitlines()
    except OSError:
        return words
    said = (line.strip() for line in reversed(lines) if not line.startswith("INFO:"))
    last = next(filter(None, said), "")
    return (
        f"{words}. Last line of {paths.launcher_log}: {last[:300]}" if last else words
    )


def alive_after(paths: RunPaths) -> int | None:
    """Return the number of the last event before those of the workers at work now.

    -1: there was none; None: no workers are at work.
    """
    who, launched = lock.holder(paths.lock), _launcher(paths)
    if who is not None and (who.pid or launched is None):
        return who.after
    # on some network disks nobody can read what the holder of a lock has written
    if launched is not None and (who is not None or process_alive(launched)):
        return int(launched["after"])
    last = lock.last_holder(paths.lock)
    if last is not None and not last.here and _silence_s(paths) < FOREIGN_SILENCE_S:
        return last.after
    return None


def _silence_s(paths: RunPaths) -> float:
    try:
        return time.time() - paths.events.stat().st_mtime
    except OSError:
        return float("inf")


def _launcher(paths: RunPaths) -> dict[str, Any] | None:
    """Return pid, host, born and the event before the last launch."""
    try:
        value = atomic.read_json(paths.launcher)
        numbers = {"pid": int(value["pid"]), "after": int(value.get("after", -1))}
        return numbers | {"host": str(value["host"]), "born": float(value["born"])}
    except (OSError, ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return None


def launcher_of(paths: RunPaths) -> dict[str, Any] | None:
    """Return the last launch if its process still lives on this computer."""
    launched = _launcher(paths)
    return launched if launched is not None and process_alive(launched) else None


def process_alive(launched: dict[str, Any]) -> bool:
    """Tell whether that very process (not a later one of its number) runs here."""
    import psutil

    if launched["host"] != socket.gethostname():
        return False
    try:
        process = psutil.Process(launched["pid"])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(abs(process.create_time() - launched["born"]) < 1.0)
    except psutil.Error:
        return False
