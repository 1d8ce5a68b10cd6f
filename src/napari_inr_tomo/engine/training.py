"""The training loop: network and poses against the measured pixels (section 4.1.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import schedule as plan
from napari_inr_tomo.engine.chunk import points_per_chunk
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.memory import in_pieces
from napari_inr_tomo.engine.optimisers import Optimisers
from napari_inr_tomo.engine.readback import Readback
from napari_inr_tomo.engine.sampling import PixelSampler, generator
from napari_inr_tomo.inr import Box, Field, LearnedPoses, pixel_loss, render
from napari_inr_tomo.inr.losses import total_variation
from napari_inr_tomo.inr.rendering import Rays, occupied_at, ray_offsets, sample_points

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


def _checked(position: float, numbers: list[float]) -> StepReport:
    """Return the report of a step; raises `Diverged` unless all numbers are finite."""
    loss, asked, *norms = numbers
    if not all(map(math.isfinite, [loss, *norms])):
        what = "a gradient" if math.isfinite(loss) else "the loss"
        raise Diverged(f"{what} is no number after {position:.2f} epochs")
    return StepReport(position, loss, round(asked))


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
    ) -> None:
        """tv_weight: alpha of equation 6; none: the setting's, else `TV_WEIGHT`."""
        self.stack, self.field, self.poses = stack, field, poses
        self.box, self.occupied = box, occupied
        self.config, self.inr, self.ranks = config, config.inr, ranks
        set_weight = self.inr.loss.tv_weight
        if tv_weight is None:
            tv_weight = TV_WEIGHT if set_weight is None else set_weight
        self.tv_weight = tv_weight
        self.compact = ranks.device.type == "cpu"
        """Leave out empty points of the total variation: on a GPU finding them would
        take longer than their evaluation."""
        self.points_per_chunk = points_per_chunk(ranks.device, self.inr.field)
        schedule = self.inr.schedule
        factor = ranks.size if schedule.scale_with_ranks else 1
        self.sampler = PixelSampler(
            stack.pixels,
            schedule.batch_rays * factor,
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
        self.tilt_error = torch.zeros(
            2, stack.tilts, dtype=torch.float64, device=ranks.device
        )
        self.residual_rms: Tensor | None = None

    def run(
        self,
        poll: Callable[[], int],
        after_step: Callable[[StepReport], bool],
        after_epoch: Callable[[float | None], None],
    ) -> None:
        """Train to the end of the schedule, or until ``after_step`` returns True.

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
                if after_step(_checked(*reading)):
                    return
            self.progress.step = 0
            self.progress.epoch += 1
            loss = self._finished_epoch()
            after_epoch(loss)
            if self.progress.worse >= self.inr.holdout.patience:
                break
        self._restore_best()

    def settle(self) -> None:
        """Wait for the steps whose reports are not due yet; raises `Diverged`."""
        for reading in self._readback.ahead():
            _checked(*reading)

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
        position = self.progress.position(self.sampler.steps)
        schedule = self.inr.schedule
        moving = self.inr.poses.refine and position >= self.inr.poses.start_epoch
        self.optimisers.set_rates(
            plan.network_factor(schedule, position),
            plan.pose_factor(schedule, self.inr.poses.start_epoch, position),
        )
        for parameter in self.poses.parameters():
            parameter.requires_grad_(moving and self.optimisers.wants(parameter))
        pixels = self.sampler.step(self.progress.epoch, self.progress.step)
        loss = self._gradient(pixels, position)
        asked = torch.full_like(loss, float(request))
        self.ranks.sum([*self.optimisers.gradients(), loss, asked])
        norms = self.optimisers.clip()
        self.progress.step += 1
        after = self.progress.position(self.sampler.steps)
        self._readback.put(after, torch.stack([loss, asked, *norms]))
        reports = [_checked(*reading) for reading in self._readback.due()]
        self.optimisers.step(moving)
        if moving:
            self.poses.pin()
        return reports

    def _gradient(self, pixels: Tensor, position: float) -> Tensor:
        """Return this rank's share of the loss and add its gradient.

        The pieces become smaller where memory runs out; their sum stays the same.
        """
        noted = self.tilt_error.clone()

        def work(points: int) -> Tensor:
            self.points_per_chunk = points
            self.tilt_error.copy_(noted)
            self.optimisers.zero_grad()
            loss = self._pixel_gradient(pixels, position)
            if self.tv_weight > 0 and self.inr.loss.tv_points > 0:
                self._variation_gradient(pixels)
            return loss

        return in_pieces(work, self.points_per_chunk)[0]

    def _pixel_gradient(self, pixels: Tensor, position: float) -> Tensor:
        """Add the gradient of the mean pixel loss of this rank's share; return it."""
        count = plan.samples_per_ray(self.inr.schedule, position, self.box.shape_zyx[0])
        random = generator(
            self.ranks.device, self.config.seed, self.progress.epoch, self.progress.step
        )
        fractions = ray_offsets(len(pixels), count, random, self.stack.images)
        mine = slice(self.ranks.rank, None, self.ranks.size)
        total = torch.zeros((), dtype=torch.float64, device=self.ranks.device)
        rays, target, weight = self.stack.rays(pixels[mine])
        fractions = fractions[mine]
        for part in self._chunks(len(rays), count):
            predicted = render(
                self.field,
                self.poses,
                rays[part],
                self.box,
                fractions[part],
                self.occupied,
            )
            residual = predicted - target[part]
            losses = weight[part] * pixel_loss(
                residual, self.inr.loss.kind, self.inr.loss.beta
            )
            loss = losses.sum() / max(len(pixels), 1)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            self._note_residual(rays[part], residual.detach(), weight[part])
            self.between()
        return total

    def _chunks(self, rays: int, samples: int) -> Iterator[slice]:
        size = max(1, self.points_per_chunk // samples)
        for start in range(0, rays, size):
            yield slice(start, start + size)

    def _variation_gradient(self, pixels: Tensor) -> None:
        """Add the gradient of the weighted total variation of this rank's share.

        The points lie at random places on random rays of the global batch; the mean is
        over all of them, points in empty voxels counting as zero.
        """
        if len(pixels) == 0:
            return
        count = self.inr.loss.tv_points
        device = self.ranks.device
        random = generator(
            device, self.config.seed, 17, self.progress.epoch, self.progress.step
        )
        chosen = torch.randint(len(pixels), (count,), generator=random, device=device)
        fractions = torch.rand(
            count, 1, generator=random, dtype=self.stack.dtype, device=device
        )
        mine = slice(self.ranks.rank, None, self.ranks.size)
        rays, _, _ = self.stack.rays(pixels[chosen[mine]])
        with torch.no_grad():
            points, _ = sample_points(self.poses, rays, self.box, fractions[mine])
            points = points[:, 0]
            share = torch.ones_like(points[:, 0])
            if self.occupied is not None:
                inside = occupied_at(self.occupied, points, self.box)
                if self.compact:
                    points, share = points[inside], share[inside]
                else:
                    share = inside.to(share)
        size = max(1, self.points_per_chunk // 3)
        for start in range(0, len(points), size):
            part = slice(start, start + size)
            lengths = share[part] * total_variation(self.field, points[part])
            weighted = self.tv_weight * lengths.sum() / count
            weighted.backward()  # type: ignore[no-untyped-call]
            self.between()

    def _note_residual(self, rays: Rays, residual: Tensor, weight: Tensor) -> None:
        squares = weight.double() * residual.double() ** 2
        self.tilt_error[0].index_add_(0, rays.tilt, squares)
        self.tilt_error[1].index_add_(0, rays.tilt, weight.double())

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

    def _restore_best(self) -> None:
        if self.best:
            for name, tensor in self._tensors().items():
                tensor.data.copy_(self.best[name])

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
        depth = self.box.shape_zyx[0]
        for pixels in self.sampler.holdout_batches(HOLDOUT_RAYS):
            share = pixels[self.ranks.rank :: self.ranks.size]
            rays, target, weight = self.stack.rays(share)
            for part in self._chunks(len(rays), depth):
                middle = torch.full(
                    (len(rays[part]), depth),
                    0.5,
                    dtype=self.stack.dtype,
                    device=self.ranks.device,
                )
                predicted = render(
                    self.field, self.poses, rays[part], self.box, middle, self.occupied
                )
                losses = pixel_loss(
                    predicted - target[part], self.inr.loss.kind, self.inr.loss.beta
                )
                sums[0] += (weight[part] * losses).sum()
                sums[1] += weight[part].sum()
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
        for name, tensor in self._tensors().items():
            tensor.data.copy_(arrays[name])
        self.optimisers.restore(arrays)
        self.best = {
            k.removeprefix("best/"): v.to(self.ranks.device)
            for k, v in arrays.items()
            if k.startswith("best/")
        }
        self.progress = Progress(**info["progress"])
