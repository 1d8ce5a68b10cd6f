"""SIRT, TV and FBP as runs: previews, stop, cancel, resume, residual per tilt."""

from __future__ import annotations

import numpy as np
import torch

from napari_inr_tomo.classic.fbp import fbp
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.engine.classic_state import ClassicState
from napari_inr_tomo.engine.job import Job, Outcome
from napari_inr_tomo.engine.residual import residual_rms
from napari_inr_tomo.engine.sharded import ShardedProjector
from napari_inr_tomo.engine.tv_weight import classical_tv
from napari_inr_tomo.engine.watch import Watch


def run_classic(job: Job) -> Outcome:
    """Reconstruct with the classical method the settings name, at the start poses."""
    settings, method = job.config.classic, job.config.method
    projector = ShardedProjector(
        job.ranks, job.spec.angles_deg, job.spec.poses, job.shape_yx, job.depth_px
    )
    images = torch.from_numpy(np.array(job.images)).to(job.ranks.device) / job.scale
    valid = None if job.valid is None else torch.from_numpy(np.array(job.valid))
    state = None if method == "fbp" else ClassicState(job)
    watch = Watch(job, settings.iterations, state)
    if state is None:
        job.reporter.phase("FBP")
        volume = fbp(projector, images, settings.filter, valid)
        watch.done = 1
    elif method == "tv":
        volume, _ = classical_tv(job, "TV", projector, images, watch, valid)
    else:
        job.reporter.phase("SIRT", watch.before)
        volume = sirt(
            projector,
            images,
            iterations=watch.left,
            positivity=settings.positivity,
            relaxation=settings.relaxation,
            valid=valid,
            start=state.arrays.get("volume"),
            callback=watch,
        )
    rms = residual_rms(projector, volume, images, valid) * job.scale
    return Outcome(
        volume=volume * job.scale,
        poses=job.spec.poses,
        residual=rms,
        step=watch.done,
        stopped=watch.stopped,
        loss=watch.loss,
    )
