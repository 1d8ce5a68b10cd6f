"""Whether a run goes on by itself after one of its processes has died.

A process that is killed, crashes or loses its graphics card says nothing about the run:
the run starts again from its last checkpoint, a set number of times and only while
checkpoints come in between.  A run that ended by its own fault, or because somebody
asked for it, is never started again.  ``python -m napari_inr_tomo.restarts RUN WHY``
decides the same for a script: status 0 says go on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_inr_tomo import atomic
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Started,
    Warned,
    decode,
)
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import RunPaths, read_run
from napari_inr_tomo.lock import FolderLock

WATCHED_VARIABLE = "INR_TOMO_WATCHED"
"""Environment variable: who started the workers says what becomes of the run when one
of them dies, so the others leave that to it."""

WHAT = "A process of this run has died"
_RESUME = (
    "Look at logs/launcher.log in the run folder; a resumed run goes on from its last "
    "checkpoint, on another number of processes if need be"
)


@dataclass(frozen=True)
class _Memory:
    """How often the run was started again, and from which checkpoint (-1: none)."""

    count: int = 0
    step: int = -1


def forget(paths: RunPaths) -> None:
    """Give a run that somebody starts or resumes all of its restarts again."""
    atomic.patiently(partial(paths.restarts.unlink, missing_ok=True))


def requeued(paths: RunPaths) -> Path:
    """Return the sign of a job that is back in the queue, gone when it begins again."""
    return paths.controls / "requeued"


def go_on(paths: RunPaths, why: str, against: str = "", where: str = "") -> bool:
    """Decide, say so in the run's events, and return whether to start it again.

    To be called when all processes of the run have ended.  why: how the process died.
    against: a reason that forbids it, or nothing.  where: how it goes on, in words that
    follow "from its last checkpoint".
    """
    try:
        allowed = read_run(paths).config.compute.restarts
    except UserError:
        return False
    if not _died(paths):
        return False
    memory, step = _remembered(paths), newest_checkpoint(paths)
    against = against or _against(paths, memory, step, allowed)
    event: Event
    if against:
        event = Failed(what=WHAT, why=f"{why}; {against}", do=_RESUME)
    else:
        number = f"restart {memory.count + 1} of at most {allowed}"
        goes_on = "from its last checkpoint" if step >= 0 else "from the beginning"
        event = Warned(
            what=WHAT, why=why, do=f"Nothing: it goes on {goes_on}{where} ({number})"
        )
    try:
        with FolderLock(paths.lock):
            if not against:
                value = {"count": memory.count + 1, "step": step}
                atomic.write_json(paths.restarts, value)
            writer = EventWriter(paths.events)
            writer.write(event)
            writer.close()
    except (OSError, UserError):  # a full disk, or somebody else is at it already
        return False
    return not against


def newest_checkpoint(paths: RunPaths) -> int:
    """Return the number of the newest whole checkpoint, -1 where there is none."""
    found = (path.stem for path in paths.checkpoints.glob("step-*.sha256"))
    return max((int(stem[5:]) for stem in found if stem[5:].isdecimal()), default=-1)


def damaged_checkpoints(paths: RunPaths) -> list[Path]:
    """Return the checkpoints that are not as they were written, newest first.

    A resumed run passes them over.  One without a digest was never finished.  For a run
    that is not at work: there they change all the time.
    """
    folders = (paths.checkpoints, paths.start)
    found = [path for folder in folders for path in folder.glob("step-*.sha256")]
    return [
        path.with_suffix(".npz")
        for path in sorted(found, reverse=True)
        if not _as_written(path.with_suffix(".npz"), path)
    ]


def _as_written(path: Path, digest: Path) -> bool:
    try:
        return digest.read_text("ascii").strip() == atomic.sha256(path)
    except (OSError, ValueError):
        return False


def _against(paths: RunPaths, memory: _Memory, step: int, allowed: int) -> str:
    """Return what forbids another start, or nothing."""
    asked = (paths.control("stop"), paths.control("cancel"), paths.obeyed)
    if any(path.exists() for path in asked):
        return "it had been asked to end, so it is not started again"
    if memory.count >= allowed:
        return (
            f"it was started again {memory.count} times already"
            if memory.count
            else "the settings allow no restart"
        )
    if memory.count and step <= memory.step:
        return "no checkpoint was reached since it was started again"
    return ""


def _died(paths: RunPaths) -> bool:
    """Tell whether the workers began, and ended without having said how."""
    for event in _backwards(paths):
        if isinstance(event, Started):
            return True
        if isinstance(event, Failed):
            return event.lost
        if isinstance(event, Finished | Cancelled):
            return False
    return False


def _backwards(paths: RunPaths) -> Iterator[Event]:
    try:
        lines = paths.events.read_bytes().splitlines()
    except OSError:
        return
    for line in reversed(lines):
        try:
            yield decode(line)
        except ValueError:
            continue


def _remembered(paths: RunPaths) -> _Memory:
    try:
        value = atomic.read_json(paths.restarts)
        return _Memory(int(value["count"]), int(value["step"]))
    except FileNotFoundError:
        return _Memory()
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return _Memory(sys.maxsize)  # nobody knows how often: no more


def main(words: list[str]) -> int:
    """Return the exit status: 0 to start the run again, 1 not to."""
    folder, why = words
    return 0 if go_on(RunPaths(Path(folder)), why) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
