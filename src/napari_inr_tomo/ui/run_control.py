"""Starting, following and ending the run of a session; no widgets, no computing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_inr_tomo import events
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui import live
from napari_inr_tomo.ui.activity import Activity
from napari_inr_tomo.ui.live_layers import LiveLayers
from napari_inr_tomo.ui.pose_layers import zoom_between
from napari_inr_tomo.ui.record import RunRecord
from napari_inr_tomo.ui.run_work import (
    create_and_launch,
    open_folder,
    read_result,
    relaunch,
    reopen,
)
from napari_inr_tomo.ui.turns import later

if TYPE_CHECKING:
    from napari_inr_tomo.config import ReconstructionConfig
    from napari_inr_tomo.planes import Plane
    from napari_inr_tomo.runs import RunFolder
    from napari_inr_tomo.types import Poses
    from napari_inr_tomo.ui.session import Session

OTHER_SERIES = "The current tilt series is not the one of the run"
NO_RUN = "No reconstruction is open: start one or open a run folder"


class RunState(Enum):
    """Where the run stands, in the words of the Monitor."""

    IDLE = "no reconstruction"
    WAITING = "waiting in the queue"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"


ALIVE = (RunState.STARTING, RunState.RUNNING, RunState.STOPPING)
BEFORE = (RunState.STARTING, RunState.WAITING)
NOT_BEGUN = "Its job has not begun: take it out of the queue with scancel"


class RunControl:
    """The one run a session follows."""

    changed = Signal()
    """The state, the message or the run itself changed."""
    updated = Signal(object)
    """A `LiveUpdate` was taken in."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.state = RunState.IDLE
        self.message = ""
        self.run: RunFolder | None = None
        self.record = RunRecord()
        self.layers = LiveLayers(session)
        self.live = threading.Event()
        self.live.set()
        self._stop = threading.Event()
        self._worker: Any = None
        self._activity = Activity()

    @property
    def alive(self) -> bool:
        """Whether a run is going on."""
        return self.state in ALIVE

    # what may be done, and why not -----------------------------------------

    def why_not_start(self) -> str | None:
        """Return why no run can start now, or None."""
        if self.state in ALIVE:
            return "A reconstruction is going on: stop or cancel it first"
        return self.session.why_not_step()

    def why_not_stop(self) -> str | None:
        """Return why there is nothing to stop, or None."""
        if self.run is None:
            return NO_RUN
        if self.state is RunState.STOPPING:
            return "Stopping already: the result is being written"
        if self.state is RunState.WAITING:
            return NOT_BEGUN
        return None if self.state in ALIVE else "The reconstruction has ended"

    def why_not_cancel(self) -> str | None:
        """Return why there is nothing to cancel, or None."""
        if self.run is None:
            return NO_RUN
        if self.state is RunState.WAITING:
            return NOT_BEGUN
        return None if self.state in ALIVE else "The reconstruction has ended"

    def why_not_resume(self) -> str | None:
        """Return why the open run cannot be taken up again, or None."""
        if self.run is None:
            return NO_RUN
        if self.state in ALIVE:
            return "The reconstruction is going on"
        if self.state is RunState.WAITING:
            return "Its job has not begun yet"
        if self.record.finished_all:
            return "The reconstruction is complete"
        return None

    def why_not_open(self) -> str | None:
        """Return why no other run folder can be opened now, or None."""
        if self.session.busy:
            return f"Busy: {self.session.busy}"
        return "A reconstruction is being followed" if self.state in ALIVE else None

    @property
    def of_current(self) -> bool:
        """Whether the run is of the current series, as angles and images tell."""
        return self._zoom() is not None

    def _zoom(self) -> float | None:
        """Return how many pixels of the current series one of the run is, or None.

        Not 1 where the series was binned since; None where it is another series.
        """
        series = self.session.series
        if self.run is None or series is None:
            return None
        angles = self.run.spec.original_angles_deg
        same = len(angles) == len(series)
        if not same or not np.allclose(angles, series.angles_deg, atol=1e-3):
            return None
        return zoom_between(self.run.spec.shape[1:], series.images.shape[1:])

    def of_another(self) -> str:
        """Return what the run is of where that is not the current series, or nothing.

        Another name with the same angles may be the same series: that is no refusal.
        """
        series = self.session.series
        if self.run is None or series is None:
            return ""
        name = self.run.spec.name
        shown = f"What is shown here is of '{name}', run {self.record.name}."
        if not self.of_current:
            return f"{OTHER_SERIES}. {shown}"
        return "" if series.name == name else shown

    def fitting_poses(self) -> live.PoseTable | None:
        """Return the poses of the run in pixels of the current series, if it is its."""
        zoom, table = self._zoom(), self.record.poses
        return None if zoom is None or table is None else table.scaled(zoom)

    def first_poses(self) -> Poses | None:
        """Return the poses the run began with, as `fitting_poses` those it found."""
        zoom = self._zoom()
        return None if zoom is None else self.run.spec.original_poses.scaled(zoom)

    def newest_poses(self) -> live.PoseTable | None:
        """Return `fitting_poses`, unless the series was aligned anew since."""
        table, first = self.fitting_poses(), self.first_poses()
        if table is None or first is None:
            return None
        own = self.session.series.start_poses.as_array()
        known = (first.as_array(), table.poses().as_array())
        return table if any(np.allclose(own, k, atol=1e-6) for k in known) else None

    def ask_slices(self, name: str, planes: Sequence[Plane]) -> bool:
        """Ask the network for slices; False where none learns just now."""
        learning = self.state is RunState.RUNNING and self.record.phase == "rays"
        if self.run is None or not learning:
            return False
        self.run.ask_slices(name, planes)
        return True

    # actions ------------------------------------------------------------------

    def begin(self, folder: Path, config: ReconstructionConfig) -> None:
        """Write a run folder from the current series and start the processes."""
        from napari_inr_tomo.ui.jobs import start_job

        reason = self.why_not_start() or self.session.unused
        if reason:
            again = "Then press Start again"
            raise UserError("The reconstruction cannot start", reason, again)
        series = self.session.series
        self.detach()  # from a run that waits
        self._enter(RunState.STARTING, "Writing the run folder")
        start_job(
            self.session,
            "Starting the reconstruction",
            create_and_launch,
            folder,
            series,
            config,
            done=self._launched,
            failed=self._not_started,
            bar=False,
        )

    def resume(self) -> None:
        """Start the processes of the open run folder again."""
        from napari_inr_tomo.ui.jobs import start_job

        self._enter(RunState.STARTING, "Starting again from the last checkpoint")
        start_job(
            self.session,
            "Resuming the reconstruction",
            relaunch,
            self.run,
            done=self._launched,
            failed=self._not_started,
            bar=False,
        )

    def resume_folder(self, folder: Path) -> None:
        """Open a run folder and start its processes again."""
        from napari_inr_tomo.ui.jobs import start_job

        self._enter(RunState.STARTING, "Starting again from the last checkpoint")
        start_job(
            self.session,
            "Resuming the reconstruction",
            reopen,
            Path(folder),
            done=self._launched,
            failed=self._not_started,
            bar=False,
        )

    def open(self, folder: Path, same_layers: bool = False) -> None:
        """Open a run folder, going on or ended, and follow it.

        same_layers: show it in the layers of the run before.
        """
        from napari_inr_tomo.ui.jobs import start_job

        start_job(
            self.session,
            "Opening the run folder",
            open_folder,
            Path(folder),
            done=self._opened_in_place if same_layers else self._opened,
        )

    def request(self, what: str) -> None:
        """Ask the run to "stop" (keeping the result), "cancel" or "save-now"."""
        if self.run is None or self.state not in ALIVE:
            return
        self.run.request(what)
        if what == "stop":
            self._enter(RunState.STOPPING, "Stopping: the result is being written")
        elif what == "cancel":
            self._enter(RunState.STOPPING, "Cancelling")

    def leave(self) -> None:
        """Let the follower end by itself; the run itself is not touched."""
        self._stop.set()

    def follow_again(self) -> None:
        """Follow a run that goes on but is not followed any more."""
        followed = self.state in (*ALIVE, RunState.WAITING)
        if self.run is not None and followed and self._worker is None:
            self._attach(self.run, "Reading the run folder")

    def detach(self) -> None:
        """Stop following; the run itself is not touched."""
        self._stop.set()
        if self._worker is not None:
            self._worker.quit()
            self._worker = None
        self._activity.close()

    def load_result(self) -> None:
        """Put the result of the open run into a layer again."""
        from napari_inr_tomo.ui.jobs import start_job

        def done(volume: Any) -> None:
            self.layers.bring_back()
            self.layers.show_result(volume, self.record)

        start_job(self.session, "Reading the result", read_result, self.run, done=done)

    # from the workers, in the GUI thread --------------------------------------

    def _launched(self, run: RunFolder) -> None:
        self._attach(run, "The processes are starting (this takes some seconds)")

    def _opened(self, run: RunFolder) -> None:
        self._attach(run, "Reading the run folder")

    def _opened_in_place(self, run: RunFolder) -> None:
        self._attach(run, "Reading the run folder", again=True)

    def _not_started(self, error: Exception) -> None:
        self._enter(RunState.FAILED, str(error))

    def _attach(self, run: RunFolder, message: str, again: bool = False) -> None:
        from superqt.utils import create_worker

        from napari_inr_tomo.ui.worker import QuietWorker

        self.detach()
        again |= self.run is not None and Path(self.run.path) == Path(run.path)
        self.run = run
        if not again:
            self.layers.reset()
        self.record = RunRecord(name=Path(run.path).name)
        self._stop = threading.Event()
        # not napari's create_worker: closing napari leaves the run alone, so there is
        # nothing to confirm
        worker = create_worker(
            live.follow, run, self.live, self._stop, _worker_class=QuietWorker
        )
        worker.yielded.connect(self._take)
        worker.errored.connect(self._lost)
        self._worker = worker
        self._enter(RunState.STARTING, message)
        worker.start()

    def _lost(self, error: Exception) -> None:
        self._worker = None
        self._activity.close()
        self._enter(RunState.FAILED, f"The run can no longer be followed: {error}")

    def _take(self, update: live.LiveUpdate | None) -> None:
        """Take in one update: record, layers, progress, state."""
        if update is None or self.session.viewer is None or self._stop.is_set():
            return
        self.record.take(update)
        self.layers.take(update, self.record)
        for warning in update.warnings:
            _notify("warning", f"{warning.what}: {warning.why}. {warning.do}.")
        if update.end is not None:
            self._ended(update)
        elif update.waiting:
            self._enter(RunState.WAITING, f"{update.waiting}.")
        elif self.state in BEFORE and (update.started or update.epochs):
            self._enter(RunState.RUNNING, "")
        if update.end is None:
            self._activity.show(self.record)
            later(lambda: self._tell(update))
        else:
            self.updated.emit(update)

    def _tell(self, update: live.LiveUpdate) -> None:
        """Tell the docks of an update, in another turn than that of the layers."""
        if self.session.viewer is not None:
            self.updated.emit(update)

    def _ended(self, update: live.LiveUpdate) -> None:
        self._worker = None
        self._activity.close()
        end = update.end
        if isinstance(end, events.Finished):
            told = self.record.elapsed_s, self.record.phase, self.record.total
            self._enter(RunState.DONE, end.in_words(*told))
        elif isinstance(end, events.Cancelled):
            try:
                self._enter(RunState.IDLE, self.run.status().message)
            except UserError as error:  # its folder has gone at once
                self._enter(RunState.FAILED, str(error))
        else:
            text = f"{end.what}: {end.why}. {end.do}."
            self._enter(RunState.FAILED, text)
            _notify("error", text)

    def _enter(self, state: RunState, message: str) -> None:
        self.state, self.message = state, message
        self.changed.emit()


def _notify(kind: str, text: str) -> None:
    from napari.utils import notifications

    getattr(notifications, f"show_{kind}")(text)
