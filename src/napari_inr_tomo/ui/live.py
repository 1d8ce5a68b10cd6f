"""Following a run: read its folder in a worker thread, merge, hand over now and then.

Nothing here touches Qt or layers.  `follow` is run by a napari worker; each thing it
yields is one `LiveUpdate` (or None, a place to quit at), at most a few a second.
"""

from __future__ import annotations

import csv
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from napari_inr_tomo import events
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.mapped import map_volume
from napari_inr_tomo.planes import read_slices
from napari_inr_tomo.types import Poses, Volume

if TYPE_CHECKING:
    from napari_inr_tomo.runs import RunFolder

POLL_S = 0.1
STATUS_S = 2.0
_LARGEST_TABLE = 1 << 25
POSE_COLUMNS = ("z1_deg", "z3_deg", "dx_px", "dy_px")


@dataclass(frozen=True, eq=False)
class PoseTable:
    """All tilts of the original stack: angle, pose, residual, used; (tilt,) each."""

    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["angle_deg"])

    def poses(self) -> Poses:
        """Return the poses alone."""
        return Poses(*(self.columns[name] for name in POSE_COLUMNS))

    def scaled(self, factor: float) -> PoseTable:
        """Return the poses for ``factor`` times as many pixels along an edge."""
        shifts = {name: factor * self.columns[name] for name in ("dx_px", "dy_px")}
        return PoseTable(self.columns | shifts)


def read_pose_table(path: Path) -> PoseTable:
    """Read a poses.csv with all its columns; an empty field is NaN."""
    if path.stat().st_size > _LARGEST_TABLE:
        raise ValueError(f"it is larger than {_LARGEST_TABLE} bytes")
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    names = ("tilt", "angle_deg", *POSE_COLUMNS, "residual", "used")
    columns = {
        name: np.array([_number(row.get(name)) for row in rows], np.float64)
        for name in names
    }
    if not np.isfinite(columns["tilt"]).all():
        raise ValueError("a line has no number of its tilt")
    columns["tilt"] = columns["tilt"].astype(int)
    columns["used"] = columns["used"] != 0
    return PoseTable(columns)


def _number(text: str | None) -> float:
    return float(text) if text not in (None, "") else np.nan


@dataclass(eq=False)
class LiveUpdate:
    """What happened since the last update: every loss, only the newest of the rest."""

    started: events.Started | None = None
    phase: str | None = None
    epochs: list[events.Epoch] = field(default_factory=list)
    poses: PoseTable | None = None
    preview: np.ndarray | None = None
    preview_event: events.Preview | None = None
    slices: list[np.ndarray] | None = None
    slices_event: events.Slices | None = None
    warnings: list[events.Warned] = field(default_factory=list)
    checkpoint_step: int | None = None
    waiting: str | None = None
    """What to tell of a run that was submitted and has not begun."""
    end: events.Finished | events.Cancelled | events.Failed | None = None
    earlier: list[LiveUpdate] = field(default_factory=list)
    """What earlier starts of the run did, where all of it is read at once."""
    ended_s: float | None = None
    """Seconds an earlier start had worked when it ended, of a run taken up again."""
    result: Volume | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing happened."""
        return not (
            self.started
            or self.waiting
            or self.phase
            or self.epochs
            or self.warnings
            or self.poses
            or self.preview_event
            or self.slices_event
            or self.checkpoint_step is not None
            or self.end
        )


def merge(run_path: Path, new: list[Any], told: set[str] | None = None) -> LiveUpdate:
    """Put a list of events into one update and read the newest files they name.

    A file that is there and cannot be read becomes a warning, once for all updates that
    share ``told``.
    """
    update = LiveUpdate()
    poses: events.PosesUpdated | None = None
    for event in new:
        match event:
            case events.Started():
                update.started, update.end = event, None
            case events.Phase():
                update.phase = event.name
            case events.Epoch():
                update.epochs.append(event)
            case events.PosesUpdated():
                poses = event
            case events.Preview():
                update.preview_event = event
            case events.Slices():
                update.slices_event = event
            case events.Checkpoint():
                update.checkpoint_step = event.step
            case events.Warned():
                update.warnings.append(event)
            case events.Finished() | events.Cancelled() | events.Failed():
                update.end = event
    told = set() if told is None else told

    def reading(read: Any, file: str) -> Any:
        try:
            return _reading(read, run_path / file)
        except (ValueError, MemoryError) as error:
            if file not in told:
                update.warnings.append(_unreadable(file, error))
                told.add(file)
            return None

    if poses is not None:
        update.poses = reading(read_pose_table, poses.file)
    if update.preview_event is not None:
        update.preview = reading(_load_npy, update.preview_event.file)
    if update.slices_event is not None:
        update.slices = reading(read_slices, update.slices_event.file)
    return update


def _unreadable(file: str, error: Exception) -> events.Warned:
    """Return the warning about a file of the run that holds something strange."""
    why = " ".join(str(error).split())[:200] or "it claims more than the memory holds"
    return events.Warned(
        what=f"{file} of this run cannot be shown",
        why=why,
        do="Nothing: the run goes on, and so does the rest of the live view",
    )


def _load_npy(path: Path) -> np.ndarray:
    """Return a volume; ValueError where it is none, or the memory cannot hold it."""
    mapped = map_volume(path)
    if mapped.nbytes > psutil.virtual_memory().available / 2:
        raise ValueError(f"it holds {mapped.nbytes} bytes, more than the memory can")
    return np.array(mapped)


def _reading(read: Any, path: Path) -> Any:
    """Return what ``read`` gives, or None where the file has just gone."""
    try:
        return read(path)
    except OSError:
        return None


def follow(
    run: RunFolder, live: threading.Event, stop: threading.Event
) -> Iterator[LiveUpdate | None]:
    """Yield what happens in a run until it ends; None where nothing did.

    live: set while previews are wanted; stop: set to leave early.
    """
    try:
        yield from _followed(run, live, stop)
    except UserError as error:  # its folder has gone
        end = events.Failed(what=error.what, why=error.why, do=error.do)
        yield LiveUpdate(end=end)


def _followed(
    run: RunFolder, live: threading.Event, stop: threading.Event
) -> Iterator[LiveUpdate | None]:
    from napari_inr_tomo.runs import Follower

    follower = Follower(run)
    path = Path(run.path)
    at_first = run.status()
    waits = at_first.state == "waiting"
    if waits:
        yield LiveUpdate(waiting=at_first.message)
    checked, told = time.monotonic(), set[str]()
    while not stop.is_set():
        new = follower.poll()
        if not live.is_set():
            new = [event for event in new if not isinstance(event, events.Preview)]
        *earlier, new = _starts(new)
        update = merge(path, new, told)
        update.earlier = [_earlier(path, part) for part in earlier]
        told_before = [w for part in update.earlier for w in part.warnings]
        update.warnings = told_before + update.warnings
        waits = waits and update.started is None
        if update.end is not None or time.monotonic() - checked > STATUS_S:
            checked, status = time.monotonic(), run.status()
            if status.active or status.state == "waiting":
                _go_on(update)  # the end before a resume
            elif update.end is None:
                update.end = _silent_end(status, path, follower, update)
            if status.state == "waiting" and not waits:
                waits = True
                yield update  # of an earlier attempt
                update = LiveUpdate(waiting=status.message)
        if update.end is not None:
            update = _completed(run, update)
            yield update
            return
        yield None if update.empty else update
        stop.wait(POLL_S)


def _starts(new: list[Any]) -> list[list[Any]]:
    """Return the events in parts, every start of a run that was taken up again its own.

    Told in one, the epochs of an earlier start would count to the last.
    """
    parts: list[list[Any]] = [[]]
    for event in new:
        if isinstance(event, events.Started) and parts[-1]:
            parts.append([])
        parts[-1].append(event)
    return parts


def _earlier(path: Path, part: list[Any]) -> LiveUpdate:
    """Return what an earlier start did; the files are those of the last one."""
    files = (events.Preview, events.Slices, events.PosesUpdated)
    update = merge(path, [event for event in part if not isinstance(event, files)])
    _go_on(update)
    return update


def _go_on(update: LiveUpdate) -> None:
    """Take the end out of an update: the run was taken up again."""
    if isinstance(update.end, events.Finished):
        update.ended_s = update.end.elapsed_s
    update.end = None


def _silent_end(status: Any, path: Path, follower: Any, update: LiveUpdate) -> Any:
    """Return an end for a run whose processes are gone without having said so."""
    last = merge(path, follower.poll())
    update.epochs.extend(last.epochs)
    if last.end is not None:
        return last.end
    if status.state == "created":
        return events.Cancelled(step=0)
    return events.Failed(
        what="The reconstruction was interrupted",
        why=status.message,
        do="Press Resume to go on from the last checkpoint",
    )


def _completed(run: RunFolder, update: LiveUpdate) -> LiveUpdate:
    """Add the result and its poses to the last update of a finished run."""
    from napari_inr_tomo import io

    if not isinstance(update.end, events.Finished):
        return update
    try:
        result = Path(run.result())
        update.result = io.read_volume(result)
    except UserError as error:
        update.end = events.Failed(what=error.what, why=error.why, do=error.do)
        return update
    poses = result.parent / "poses.csv"
    try:
        update.poses = _reading(read_pose_table, poses) or update.poses
    except (ValueError, MemoryError) as error:
        update.warnings.append(_unreadable("result/poses.csv", error))
    return update
