"""The training loop: network and poses against the measured pixels (section 4.1.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_inr_tomo.config import USUAL_RAYS, ReconstructionConfig
from napari_inr_tomo.engine import schedule as plan
from napari_inr_tomo.engine.chunk import points_per_chunk
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.gradient import Drawn, StepGradient
from napari_inr_tomo.engine.memory import in_pieces
from napari_inr_tomo.engine.optimisers import Optimisers
from napari_inr_tomo.engine.readback import Readback
from napari_inr_tomo.engine.recorded import MARGIN, Recorder, Work
from napari_inr_tomo.engine.sampling import PixelSampler
from napari_inr_tomo.geometry import samples_through
from napari_inr_tomo.inr import Box, Field, LearnedPoses

TV_WEIGHT = 1e-4
"""Weight of the total variation where neither settings nor data say (the paper's)."""

HOLDOUT_RAYS = 20_000
"""At most this many held-out pixels are looked at after an epoch."""


class Diverged(Exception):
    """The loss or a gradient stopped being a number."""


@dataclass
class Progress:
    """Where training stands; what a checkpoint must remember besides tensors."""

    epoch: int = 0
    step: int = 0
    best_loss: float = float("inf")
    best_epoch: int = -1
    worse: int = 0

    def position(self, steps: int) -> float:
        """Return the epochs done so far, with the fraction of the present one."""
        return self.epoch + self.step / steps


@dataclass(frozen=True)
class StepReport:
    """What every rank knows after a step: epochs done, mean loss, a request (or 0)."""

    position: float
    loss: float
    request: int


def _nothing() -> None:
    return None


class Trainer:
    """Trains a field and poses on a normalised stack; N ranks equal one."""

    def __init__(
        self,
        stack: Stack,
        field: Field,
        poses: LearnedPoses,
        box: Box,
        occupied: Tensor | None,
        config: ReconstructionConfig,
        ranks: Ranks,
        tv_weight: float | None = None,
        scaled_for: int | None = None,
    ) -> None:
        """tv_weight: alpha of equation 6; none: the setting's, else `TV_WEIGHT`.

        scaled_for: processes that batch and rates are meant for; none: those there are.
        """
        self.stack, self.field, self.poses = stack, field, poses
        self.box, self.occupied = box, occupied
        angles = poses.angles_deg.cpu().numpy()
        self.full_samples = samples_through(angles, poses.origin, box.shape_zyx)
        self.config, self.inr, self.ranks = config, config.inr, ranks
        set_weight = self.inr.loss.tv_weight
        if tv_weight is None:
            tv_weight = TV_WEIGHT if set_weight is None else set_weight
        self.tv_weight = tv_weight
        self.gradient = StepGradient(
            stack, field, poses, box, occupied, self.inr.loss, ranks, config.seed,
            tv_weight,
        )  # fmt: skip
        self.recorder = Recorder(ranks.device)
        self.points_per_chunk = points_per_chunk(ranks.device, self.inr.field)
        schedule = self.inr.schedule
        factor = (scaled_for or ranks.size) if schedule.scale_with_ranks else 1
        self.scaled_for = factor
        self.sampler = PixelSampler(
            stack.pixels,
            (schedule.batch_rays or USUAL_RAYS) * factor,
            config.seed,
            self.inr.holdout.fraction,
            ranks.device,
        )
        self.optimisers = Optimisers(field, poses, self.inr, factor**0.5)
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self._readback = Readback(ranks.device)
        self.between: Callable[[], None] = _nothing
        """Called between the pieces of a step; nothing is learnt meanwhile."""
        self.residual_rms: Tensor | None = None

    def run(
        self,
        poll: Callable[[], int],
        after_step: Callable[[StepReport], bool],
        after_epoch: Callable[[float | None], None],
    ) -> None:
        """Train to the end of the schedule, or until ``after_step`` returns True.

        Whatever ends it, `keep_best` then puts back the best state.
        poll: asked on rank 0 for a pending request (a small number, 0 for none); it
        travels with the gradients, so all ranks learn of it at the same step.
        after_step: called on every rank with the same report of every step, on a GPU
        some steps later.  It must not keep anything that is not `sound`.
        after_epoch: called with the hold-out loss (None without hold-out).
        """
        while self.progress.epoch < plan.epochs(self.inr.schedule):
            while self.progress.step < self.sampler.steps:
                for report in self._step(poll() if self.ranks.first else 0):
                    if after_step(report):
                        self.settle()
                        return
            for reading in self._readback.rest():
                if after_step(self._checked(*reading)):
                    return
            self.progress.step = 0
            self.progress.epoch += 1
            loss = self._finished_epoch()
            after_epoch(loss)
            if self.out_of_patience:
                return

    def settle(self) -> None:
        """Wait for the steps whose reports are not due yet; raises `Diverged`."""
        for reading in self._readback.ahead():
            self._checked(*reading)

    def sound(self) -> bool:
        """Wait for the steps whose reports are not due yet; whether all went well.

        One rank may ask alone: what is wrong is raised on all ranks when it is due.
        """
        try:
            self.settle()
        except Diverged:
            return False
        return True

    def _step(self, request: int) -> list[StepReport]:
        """Take a step; return the reports that are due; raises `Diverged`."""
        progress, schedule = self.progress, self.inr.schedule
        position = progress.position(self.sampler.steps)
        moving = self.inr.poses.refine and position >= self.inr.poses.start_epoch
        self.optimisers.set_rates(
            plan.network_factor(schedule, position),
            plan.pose_factor(schedule, self.inr.poses.start_epoch, position),
        )
        for parameter in self.poses.parameters():
            parameter.requires_grad_(moving and self.optimisers.wants(parameter))
        samples = plan.samples_per_ray(schedule, position, self.full_samples)
        pixels = self.sampler.step(progress.epoch, progress.step)
        drawn = self.gradient.draw(pixels, progress.epoch, progress.step)
        numbers = self.recorder.step(
            (samples, moving),
            drawn,
            request,
            lambda: self._work(drawn, samples, moving),
        )
        played = numbers is not None
        if played:
            self.between()
        if numbers is None:
            loss, left_out = self._gradient(drawn, samples)
            asked = torch.full_like(loss, float(request))
            self._total([loss, asked])
            numbers = torch.stack([loss, asked, left_out, *self.optimisers.clip()])
        progress.step += 1
        self._readback.put(progress.position(self.sampler.steps), numbers)
        reports = [self._checked(*reading) for reading in self._readback.due()]
        if not played:
            self._move(moving)
        return reports

    def _checked(self, position: float, numbers: list[float]) -> StepReport:
        """Return the report of a step; raises `Diverged` unless all are finite."""
        loss, asked, left_out, *norms = numbers
        if not all(map(math.isfinite, [loss, *norms])):
            what = "a gradient" if math.isfinite(loss) else "the loss"
            raise Diverged(f"{what} is no number after {position:.2f} epochs")
        if left_out:
            self.recorder.forget()  # it had too little room
        return StepReport(position, loss, round(asked))

    def _work(self, drawn: Drawn, samples: int, moving: bool) -> Work:
        """Return what such a step does, as it can be recorded."""
        share = min(1.0, MARGIN * self.gradient.occupied_share(drawn, samples))
        points = self.points_per_chunk

        def gradient(drawn: Drawn) -> tuple[Tensor, Tensor]:
            self.optimisers.zero_grad()
            return self.gradient.add(drawn, samples, points, share)

        def update(loss: Tensor, asked: Tensor, left_out: Tensor) -> Tensor:
            numbers = torch.stack([loss, asked, left_out, *self.optimisers.clip()])
            self._move(moving)
            return numbers

        return Work(gradient, self._total, update)

    def _total(self, numbers: list[Tensor]) -> None:
        """Add up gradients and numbers over all ranks."""
        self.ranks.sum([*self.optimisers.gradients(), *numbers])

    def _move(self, moving: bool) -> None:
        self.optimisers.step(moving)
        if moving:
            self.poses.pin()

    def _gradient(self, drawn: Drawn, samples: int) -> tuple[Tensor, Tensor]:
        """Return this rank's share of the loss and add its gradient.

        The pieces become smaller where memory runs out; their sum stays the same.
        """
        noted = self.tilt_error.clone()

        def work(points: int) -> tuple[Tensor, Tensor]:
            self.points_per_chunk = points
            self.tilt_error.copy_(noted)
            self.optimisers.zero_grad()
            return self.gradient.add(drawn, samples, points, between=self.between)

        return in_pieces(work, self.points_per_chunk)[0]

    @property
    def tilt_error(self) -> Tensor:
        """(2, tilt): squared residuals and weights since the epoch began."""
        return self.gradient.tilt_error

    def _finished_epoch(self) -> float | None:
        """Note the residuals and the hold-out loss, and keep the best state."""
        self.ranks.sum([self.tilt_error])
        self.residual_rms = (
            self.tilt_error[0] / self.tilt_error[1].clamp(min=1)
        ) ** 0.5
        self.tilt_error.zero_()
        loss = self.holdout_loss()
        if loss is None:
            return None
        progress = self.progress
        if loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = loss, progress.epoch
            progress.worse = 0
            self.best = {k: v.detach().clone() for k, v in self._tensors().items()}
        elif progress.epoch > self.inr.schedule.warmup_epochs:
            progress.worse += 1
        return loss

    @property
    def out_of_patience(self) -> bool:
        """Whether the loss on the held-out pixels has not improved for too long."""
        return self.progress.worse >= self.inr.holdout.patience

    def keep_best(self) -> tuple[int, float] | None:
        """Put back the epoch best on the held-out pixels; return it and its loss.

        None, and nothing changes, where no epoch was judged by such pixels.
        """
        if not self.best:
            return None
        for name, tensor in self._tensors().items():
            tensor.data.copy_(self.best[name])
        return self.progress.best_epoch, self.progress.best_loss

    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, module in (("field", self.field), ("poses", self.poses)):
            tensors |= {f"{name}/{k}": v for k, v in module.named_parameters()}
        return tensors

    @torch.no_grad()
    def holdout_loss(self) -> float | None:
        """Return the mean loss on the held-out pixels, None where there are none."""
        if self.inr.holdout.fraction == 0:
            return None
        sums = torch.zeros(2, dtype=torch.float64, device=self.ranks.device)
        for pixels in self.sampler.holdout_batches(HOLDOUT_RAYS):
            share = pixels[self.ranks.rank :: self.ranks.size]
            sums += self.gradient.middle_loss(share, self.points_per_chunk)
        self.ranks.sum([sums])
        return float(sums[0] / sums[1]) if sums[1] > 0 else None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything a resume needs: tensors and JSON-able numbers."""
        arrays = self._tensors() | self.optimisers.arrays()
        arrays |= {f"best/{k}": v for k, v in self.best.items()}
        info = dict(vars(self.progress))
        info["best_loss"] = min(info["best_loss"], 1e300)
        return arrays, {"progress": info}

    def restore(self, arrays: dict[str, Tensor], info: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self._readback = Readback(self.ranks.device)
        self.recorder.forget()
        for name, tensor in self._tensors().items():
            tensor.data.copy_(arrays[name])
        self.optimisers.restore(arrays)
        self.best = {
            k.removeprefix("best/"): v.to(self.ranks.device)
            for k, v in arrays.items()
            if k.startswith("best/")
        }
        self.progress = Progress(**info["progress"])
