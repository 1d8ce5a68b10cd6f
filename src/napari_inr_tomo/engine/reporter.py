"""What rank 0 tells the run folder, and what the folder asks of it."""

from __future__ import annotations

import logging
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_inr_tomo import atomic, events
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import write_poses
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import RunPaths, RunSpec
from napari_inr_tomo.plain import still_there
from napari_inr_tomo.planes import SliceRequest, write_slices
from napari_inr_tomo.types import Poses

log = logging.getLogger(__name__)

NOTHING, STOP, CANCEL, SAVE = 0, 1, 2, 3
_REQUESTS = {"cancel": CANCEL, "stop": STOP, "save-now": SAVE}

POLL_S = 0.2
"""Seconds between two looks for a request."""
REPORT_S = 0.5
"""Least seconds between two loss reports within an epoch."""
PREVIEW_SHARE = 0.1
"""Live volumes may take this share of the time of a run."""
SLICE_POLL_S = 0.05
"""Seconds between two looks for a request for slices: somebody drags a line."""
SLICE_SHARE = 0.7
"""Slices may take this share of the time while somebody asks for them."""


class Reporter:
    """Writes events and previews; a silent one (``paths`` None) serves other ranks."""

    def __init__(self, paths: RunPaths | None, spec: RunSpec) -> None:
        self.paths, self.spec = paths, spec
        self.writer = EventWriter(paths.events) if paths else None
        self.began = time.monotonic()
        self.phase_name = ""
        self._phase_began, self._phase_done = self.began, 0.0
        self._next_poll = self._next_report = self._next_preview = 0.0
        self._next_slices = 0.0
        self._signalled = self._end = NOTHING
        self.chosen: dict[str, float | str] = {}
        """What the run chose by itself, for the record."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since this process began."""
        return time.monotonic() - self.began

    def say(self, event: events.Event) -> None:
        """Append an event; a full disk costs the event, not the run."""
        if self.writer is None:
            return
        try:
            self.writer.write(event)
        except OSError as error:
            log.error("an event could not be written (%s): %s", error, event)

    def warn(self, problem: UserError) -> None:
        """Append a warning."""
        self.say(events.Warned(what=problem.what, why=problem.why, do=problem.do))

    def phase(self, name: str, done: float = 0.0) -> None:
        """Say that a new stage begins; done: epochs or iterations made before."""
        self.phase_name = name
        self._phase_began, self._phase_done = time.monotonic(), done
        self.say(events.Phase(name=name))

    def listen(self) -> None:
        """Let SIGTERM ask for a checkpoint and an end, SIGUSR1 for a checkpoint."""
        signal.signal(signal.SIGTERM, lambda *_: self._signal(CANCEL))
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, lambda *_: self._signal(SAVE))

    def _signal(self, request: int) -> None:
        self._signalled = request

    def poll(self) -> int:
        """Return a pending request; one to end is returned at every later look too.

        So it is not lost with a step that is taken back, nor between two stages.  A
        silent one has none: a signal reaches all ranks, and rank 0 speaks for them.
        """
        asked = self._look()
        if asked in (STOP, CANCEL):
            self._end = max(asked, self._end)
        return asked if asked == SAVE else self._end

    def _look(self) -> int:
        """Return a new request once; looks at the folder a few times a second."""
        if self.paths is None:
            return NOTHING
        if self._signalled:
            request, self._signalled = self._signalled, NOTHING
            return request
        now = time.monotonic()
        if now < self._next_poll:
            return NOTHING
        self._next_poll = now + POLL_S
        still_there(self.paths.folder)
        for name, request in _REQUESTS.items():
            path = self.paths.control(name)
            # unlike that of a Path, this is False where a network disk is away
            if os.path.exists(path) and self._taken(path, request):
                return request
        return NOTHING

    def _taken(self, path: Path, request: int) -> bool:
        """Take a request out of the folder; False where it is to be looked at again."""
        assert self.paths is not None  # noqa: S101 - the caller looks
        if request == SAVE:
            return atomic.removed(path)
        try:  # should a process die now: it is over all the same
            atomic.patiently(partial(path.replace, self.paths.obeyed))
        except OSError as error:
            log.warning("the sign of a request could not be left: %s", error)
        return True

    def progress(
        self,
        position: float,
        total: float,
        loss: float,
        force: bool = False,
        **more: Any,
    ) -> bool:
        """Report a loss, at most every `REPORT_S` unless forced; say whether it did.

        position of total: epochs or iterations of the present stage.
        """
        now = time.monotonic()
        if not force and now < self._next_report:
            return False
        self._next_report = now + REPORT_S
        spent, done = now - self._phase_began, position - self._phase_done
        eta = spent * (total - position) / done if done > 0 else None
        self.say(
            events.Epoch(
                step=int(position),
                total=int(np.ceil(total)),
                position=position,
                phase=self.phase_name,
                loss=loss,
                elapsed_s=self.elapsed_s,
                eta_s=eta,
                **more,
            )
        )
        return True

    def preview_due(self) -> bool:
        """Return whether a new live volume may be shown now."""
        return self.paths is not None and time.monotonic() >= self._next_preview

    def preview(self, volume: Tensor, voxel_px: float, step: int) -> None:
        """Replace the live volume: (z, y, x), intensity per pixel-sized voxel."""
        if self.paths is None:
            return
        data = volume.detach().to("cpu", torch.float32).numpy()
        try:
            atomic.write_npy(self.paths.preview_volume, data)
        except OSError as error:
            self.warn(
                UserError(
                    "The live volume could not be written",
                    str(error),
                    "Free some disk space; the run goes on",
                )
            )
            return
        depth, height, width = data.shape
        self.say(
            events.Preview(
                step=step,
                file=self.paths.preview_volume.relative_to(
                    self.paths.folder
                ).as_posix(),
                shape_zyx=(depth, height, width),
                voxel_px=voxel_px,
            )
        )

    def rest(self, took_s: float) -> None:
        """Put off the next live volume by what the last one cost."""
        gap = max(self.spec.config.compute.preview_seconds, took_s / PREVIEW_SHARE)
        self._next_preview = time.monotonic() + gap

    def slices_asked(self) -> SliceRequest | None:
        """Return a request for slices, once, and no sooner than the run can afford."""
        now = time.monotonic()
        if self.paths is None or now < self._next_slices:
            return None
        self._next_slices = now + SLICE_POLL_S
        return SliceRequest.take(self.paths.slice_request)

    def slices(
        self, request: SliceRequest, images: list[Tensor], step: int, took_s: float
    ) -> None:
        """Answer a request: (row, column) each, intensity per pixel-sized voxel."""
        if self.paths is None:
            return
        self._next_slices = time.monotonic() + took_s * (1 / SLICE_SHARE - 1)
        arrays = [image.detach().to("cpu", torch.float32).numpy() for image in images]
        try:
            write_slices(self.paths.preview_slices, arrays)
        except OSError:  # a full disk; whoever looks has the live volume
            return
        file = self.paths.preview_slices.relative_to(self.paths.folder).as_posix()
        self.say(events.Slices(step=step, name=request.name, file=file))

    def poses(self, poses: Poses, step: int, residual: Any = None) -> None:
        """Replace the live poses (used tilts in, all tilts of the stack out)."""
        if self.paths is None:
            return
        try:
            self.write_poses(self.paths.preview_poses, poses, residual)
        except UserError as error:
            self.warn(error)
            return
        file = self.paths.preview_poses.relative_to(self.paths.folder).as_posix()
        self.say(events.PosesUpdated(step=step, file=file))

    def write_poses(self, path: Any, poses: Poses, residual: Any = None) -> None:
        """Write poses.csv of the whole original stack."""
        spec = self.spec
        whole = np.full(len(spec.original_used), np.nan)
        if residual is not None:
            whole[spec.tilts] = np.asarray(residual, np.float64)
        write_poses(
            path,
            spec.original_angles_deg,
            spec.restore(poses),
            spec.original_used,
            None if residual is None else whole,
        )
