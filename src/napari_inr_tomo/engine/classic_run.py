"""SIRT, TV and FBP as runs: previews, stop, cancel, residual per tilt."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from napari_inr_tomo.classic.fbp import fbp
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.classic.tv import tv
from napari_inr_tomo.engine.job import Cancelled, Job, Outcome
from napari_inr_tomo.engine.reporter import CANCEL, STOP
from napari_inr_tomo.engine.sharded import ShardedProjector


class _Watcher:
    """The callback of an iterative method."""

    def __init__(self, job: Job, total: int) -> None:
        self.job, self.total = job, total
        self.loss, self.done, self.stopped = float("nan"), 0, False

    def __call__(self, iteration: int, volume: Tensor, residual: float) -> bool:
        job, self.loss, self.done = self.job, residual, iteration
        asked = job.ranks.agree(job.reporter.poll())
        last = iteration == self.total
        job.reporter.progress(iteration, self.total, residual, force=last)
        if job.reporter.preview_due() or iteration == 1:
            began = time.monotonic()
            job.reporter.preview(volume * job.scale, 1.0, iteration)
            job.reporter.rest(time.monotonic() - began)
        if asked == CANCEL:
            raise Cancelled(iteration)
        self.stopped = asked == STOP
        return self.stopped


def run_classic(job: Job) -> Outcome:
    """Reconstruct with the classical method the settings name, at the start poses."""
    settings, method = job.config.classic, job.config.method
    projector = ShardedProjector(
        job.ranks, job.spec.angles_deg, job.spec.poses, job.shape_yx, job.depth_px
    )
    images = torch.from_numpy(np.array(job.images)).to(job.ranks.device) / job.scale
    valid = None if job.valid is None else torch.from_numpy(np.array(job.valid))
    watcher = _Watcher(job, settings.iterations)
    job.reporter.phase(method.upper())
    if method == "fbp":
        volume = fbp(projector, images, filter=settings.filter)
        watcher.done = 1
    elif method == "tv":
        volume = tv(
            projector,
            images,
            iterations=settings.iterations,
            weight=settings.tv_weight,
            valid=valid,
            callback=watcher,
        )
    else:
        volume = sirt(
            projector,
            images,
            iterations=settings.iterations,
            positivity=settings.positivity,
            relaxation=settings.relaxation,
            valid=valid,
            callback=watcher,
        )
    error = (projector.forward(volume) - images) ** 2
    rms = error.mean(dim=(1, 2)).sqrt().double().cpu().numpy() * job.scale
    return Outcome(
        volume=volume * job.scale,
        poses=job.spec.poses,
        residual=rms,
        step=watcher.done,
        stopped=watcher.stopped,
        loss=watcher.loss,
    )
