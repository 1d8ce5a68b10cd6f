"""The implicit representation as a run: start, rays, previews, checkpoints, result."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_inr_tomo.engine import checkpoint, precision, schedule
from napari_inr_tomo.engine.checkpoint import fitting
from napari_inr_tomo.engine.chunk import points_per_chunk
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.job import Cancelled, Job, Outcome
from napari_inr_tomo.engine.memory import is_full
from napari_inr_tomo.engine.preview import coarseness
from napari_inr_tomo.engine.recovery import ATTEMPTS, Recovery
from napari_inr_tomo.engine.reporter import CANCEL, SAVE, STOP
from napari_inr_tomo.engine.residual import residual_at
from napari_inr_tomo.engine.slices import read_plane, read_volume
from napari_inr_tomo.engine.training import Diverged, StepReport, Trainer
from napari_inr_tomo.engine.warm_start import Start, learn_volume, prepare_start
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.inr import LearnedPoses, build_field
from napari_inr_tomo.types import Poses


class InrRun:
    """Everything that happens between the start of an INR run and its outcome."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.loaded = job.saved
        decided = self.loaded[1].get("precision") if self.loaded else None
        self.dtype, hidden = precision.types(
            job.config.compute, job.ranks, job.config.inr.field, decided
        )
        self.precision = precision.name(self.dtype, hidden)
        job.reporter.chosen["compute.precision"] = self.precision
        self.config = job.config
        if self.loaded and "suited" in self.loaded[1]:  # to whatever device it was on
            suited = self.loaded[1]["suited"]
            self.config = self.config.merged({"inr": {"schedule": suited}})
        for name, value in self._suited.items():
            if value is not None:
                job.reporter.chosen[f"inr.schedule.{name}"] = value
        self.chunk = points_per_chunk(job.ranks.device, job.config.inr.field)
        self.field = build_field(
            job.config.inr.field, max(job.box.shape_zyx), job.config.seed, hidden
        ).to(job.ranks.device, self.dtype)
        self.stack: Stack = job.stack(self.dtype)
        self.stopped = False
        self.reason: str | None = None
        self._next_save = time.monotonic() + job.config.compute.checkpoint_seconds
        self._last = StepReport(0.0, float("nan"), 0)
        self._losses: list[float] = []
        self._mean = float("nan")
        self.holdout: float | None = None
        self.kept: int | None = None

    @property
    def _suited(self) -> dict[str, Any]:
        """Batch and learning rates; as they are set, a stack changes nothing."""
        return self.config.inr.schedule.suited(0, False)

    def outcome(self) -> Outcome:
        """Run to the end and return the volume and the poses."""
        job = self.job
        loaded = self.loaded
        start = (
            prepare_start(job, self.dtype)
            if loaded is None
            else fitting(_start_from, loaded, job)
        )
        self.occupied = start.occupied
        self.poses = LearnedPoses(
            job.spec.angles_deg, start.poses, job.reference, job.frozen
        ).to(job.ranks.device)
        self.start, self.stopped = start, start.stopped
        if loaded is None and job.earlier is not None:
            fitting(job.earlier.into, self.field)
        elif loaded is None and start.volume is not None and not self.stopped:
            self.stopped = learn_volume(
                job, self.field, start.volume, start.occupied, self.dtype
            )
        self.trainer = Trainer(
            self.stack,
            self.field,
            self.poses,
            job.box,
            self.occupied,
            self.config,
            job.ranks,
            start.tv_weight,
            None if loaded is None else fitting(_scaled_for, loaded[1]),
        )
        self.trainer.between = self._show_slices  # a step on a CPU takes seconds
        halved = (0, 0)
        if loaded is not None:
            fitting(_check_state, self.trainer, loaded)
            fitting(self.trainer.restore, loaded[0], loaded[1])
            halved = loaded[1].get("halved", halved)
        known = (loaded, job.earlier, start.volume)
        taught = any(thing is not None for thing in known)
        self.recovery = Recovery(self.trainer, taught, halved)
        if self.stopped and start.volume is not None:
            return self._finish(start.volume)
        trainer = self.trainer
        job.reporter.phase("rays", trainer.progress.position(trainer.sampler.steps))
        self._show(force=True)
        while not self._trained():
            pass
        self.poses.pin()
        if job.ranks.first:
            self._save()  # another run may go on from here
        self._keep_best()
        return self._finish(self._read(1))

    def _keep_best(self) -> None:
        """Take the epoch best on the held-out pixels, and say where it ended early."""
        trainer, settings = self.trainer, self.config.inr
        best = trainer.keep_best()
        if best is None:
            return
        self.kept, self.holdout = best
        self.poses.pin()
        early = trainer.progress.epoch < schedule.epochs(settings.schedule)
        if early and trainer.out_of_patience and not self.stopped:
            self.reason = (
                "The loss on the held-out pixels has not improved for "
                f"{settings.holdout.patience} epochs"
            )

    def _read(self, step: int) -> Tensor:
        known = self._like, self.occupied, self.chunk, self._show_slices
        return read_volume(self.field, self.job.box, step, *known)

    def _trained(self) -> bool:
        """Train to an end; False where it has to go on from an earlier state."""
        try:
            self.trainer.run(
                self.job.reporter.poll, self._after_step, self._after_epoch
            )
        except Diverged as error:
            again = self.recovery.roll_back()
            if not (again or self.recovery.shows_something):
                raise
            if not again:
                self.reason = f"It diverged: {error}; the last good volume is kept"
                self.stopped = True
            epoch = self.trainer.progress.epoch
            self.job.reporter.warn(
                UserError(
                    "The reconstruction diverged",
                    f"{error}; it is taken back to epoch {epoch}",
                    "Nothing: it goes on at half the learning rates"
                    if again
                    else "Look at the result, which is the last good one, then lower "
                    "the learning rates or check the angles and the alignment",
                )
            )
            return not again
        return True

    @property
    def _like(self) -> Tensor:
        return torch.zeros(1, dtype=self.dtype, device=self.job.ranks.device)

    def _after_step(self, report: StepReport) -> bool:
        job, self._last = self.job, report
        self.recovery.after_step(report.loss)
        self._losses.append(report.loss)
        self._progress(report.position)
        self._show()
        due = time.monotonic() >= self._next_save
        if job.ranks.first and (due or report.request in (SAVE, CANCEL, STOP)):
            self._save()
        if report.request == CANCEL:
            raise Cancelled(self.trainer.progress.epoch)
        self.stopped = report.request == STOP
        return self.stopped

    def _after_epoch(self, holdout: float | None) -> None:
        self.holdout = holdout
        epoch = self.trainer.progress.epoch
        self._rein_in_poses()
        self.recovery.keep()
        self._progress(epoch, force=True)
        self.job.reporter.poses(self.poses.poses(), epoch, self._residual())

    def _rein_in_poses(self) -> None:
        far = self.recovery.rein_in_poses()
        if far is None:
            return
        tilt, turn, shift = far[np.argmax(far[:, 1])]
        frozen = self.recovery.pose_halvings >= ATTEMPTS
        self.job.reporter.warn(
            UserError(
                "The poses ran away",
                f"{len(far)} tilts moved too far, tilt {tilt:.0f} by {turn:.0f} "
                f"degrees and {shift:.0f} pixels",
                "Check the alignment; the poses start again where they began"
                + (" and stay there" if frozen else ", at half the learning rate"),
            )
        )

    def _progress(self, position: float, force: bool = False) -> None:
        """Report the mean loss since the last report."""
        if self._losses:  # else no step came since: one alone would be off the curve
            self._mean = float(np.mean(self._losses))
        mean = self._mean
        said = self.job.reporter.progress(
            position,
            schedule.epochs(self.job.config.inr.schedule),
            mean,
            force=force,
            holdout=self.holdout,
            learning_rate=self.trainer.optimisers.learning_rate,
        )
        if said:
            self._losses.clear()

    def _residual(self) -> Any:
        rms = self.trainer.residual_rms
        return None if rms is None else rms.cpu().numpy() * self.job.scale

    def _show(self, force: bool = False) -> None:
        """Show a live volume if one is due; coarser where the box is large."""
        job = self.job
        due = (force or job.reporter.preview_due()) and job.reporter.paths is not None
        if not due or not self.trainer.sound():
            return
        began = time.monotonic()
        step = coarseness(job.box.shape_zyx, job.config.compute.preview_voxels)
        try:
            volume = self._read(step)
        except (MemoryError, RuntimeError) as error:
            if not is_full(error):
                raise
            job.reporter.rest(time.monotonic() - began)
            return
        epoch = self.trainer.progress.epoch
        job.reporter.preview(volume * job.scale, float(step), epoch)
        job.reporter.poses(self.poses.poses(), epoch, self._residual())
        job.reporter.rest(time.monotonic() - began)

    def _show_slices(self) -> None:
        """Read the slices out of the network that somebody asked for."""
        job = self.job
        request = job.reporter.slices_asked()
        if request is None:
            return
        began = time.monotonic()
        known = self._like, self.occupied, self.chunk
        images = [
            read_plane(self.field, job.box, plane, *known) * job.scale
            for plane in request.planes
        ]
        epoch = self.trainer.progress.epoch
        job.reporter.slices(request, images, epoch, time.monotonic() - began)

    def _save(self) -> None:
        """Write a checkpoint, unless the last steps went wrong."""
        job = self.job
        if not self.trainer.sound():
            return
        arrays, info = self.trainer.state()
        info["halved"] = self.recovery.told
        info["precision"] = self.precision
        info["suited"] = self._suited
        info["scale"] = job.scale
        info["scaled_for"] = self.trainer.scaled_for
        arrays["start/poses"] = torch.from_numpy(self.start.poses.as_array().copy())
        arrays["start/tv_weight"] = torch.tensor(
            self.trainer.tv_weight, dtype=torch.float64
        )
        if self.occupied is not None:
            arrays["start/occupied"] = self.occupied
        progress = self.trainer.progress
        number = progress.epoch * self.trainer.sampler.steps + progress.step
        self._next_save = time.monotonic() + job.config.compute.checkpoint_seconds
        job.save(number, arrays, info)

    def _finish(self, volume: Tensor) -> Outcome:
        job, poses, residual = self.job, self.poses.poses(), self._residual()
        if residual is None:  # it ended before an epoch did
            known = self.stack.images, self.stack.weight
            residual = residual_at(job, poses, volume, *known)
        return Outcome(
            volume=volume * job.scale,
            poses=poses,
            residual=residual,
            step=self.trainer.progress.epoch,
            stopped=self.stopped,
            loss=self._last.loss,
            holdout=self.holdout,
            reason=self.reason,
            kept=self.kept,
        )


def _scaled_for(info: dict[str, Any]) -> int | None:
    """Return the processes whose batch a checkpoint counts its steps in."""
    found = info.get("scaled_for")
    if found is None or (isinstance(found, int) and found > 0):
        return found
    raise ValueError(f"its batch is that of {found!r} processes")


def _check_state(trainer: Trainer, loaded: tuple[dict[str, Tensor], Any, Any]) -> None:
    arrays, info, _ = loaded
    checkpoint.same_shapes(trainer.state()[0], arrays)
    progress = info["progress"]
    if set(progress) != set(vars(trainer.progress)):
        raise ValueError(f"its progress speaks of {sorted(progress)}")
    for name, kind in (("epoch", int), ("step", int), ("worse", int)):
        if not isinstance(progress[name], kind) or progress[name] < 0:
            raise ValueError(f"its {name} is {progress[name]!r}")
    rates, poses = info.get("halved", (0, 0))
    if not {rates, poses} <= set(range(ATTEMPTS + 1)):
        raise ValueError(f"its learning rates were halved {info['halved']!r} times")


def _start_from(loaded: tuple[dict[str, Tensor], Any, list[str]], job: Job) -> Start:
    """Return the start a checkpoint remembers."""
    arrays = loaded[0]
    occupied = arrays.get("start/occupied")
    wanted = {"start/poses": torch.empty(job.spec.shape[0], 4)}
    if occupied is not None:
        wanted["start/occupied"] = torch.empty(job.box.shape_zyx, dtype=torch.bool)
    checkpoint.same_shapes(wanted, arrays)
    return Start(
        Poses.from_array(arrays["start/poses"].numpy()),
        None if occupied is None else occupied.to(job.ranks.device),
        None,
        float(arrays["start/tv_weight"]),
    )


def run_inr(job: Job) -> Outcome:
    """Reconstruct with the implicit representation."""
    return InrRun(job).outcome()
