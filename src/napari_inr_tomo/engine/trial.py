"""What a step costs: a few steps of every phase of a run, on its own images.

``python -m napari_inr_tomo.engine.trial RUN OUT.json`` writes one JSON object and
nothing into the run folder.  The functions timed are those the run itself calls.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_inr_tomo import atomic
from napari_inr_tomo.classic.fbp import fbp
from napari_inr_tomo.classic.hull import hull
from napari_inr_tomo.classic.sirt import prepare, sirt
from napari_inr_tomo.classic.slab import densest_slab
from napari_inr_tomo.classic.tv import tv
from napari_inr_tomo.engine import precision, schedule
from napari_inr_tomo.engine.chunk import points_per_chunk
from napari_inr_tomo.engine.distributed import connect, disconnect
from napari_inr_tomo.engine.job import Job, device_name
from napari_inr_tomo.engine.pose_search import STAGES, find_poses
from napari_inr_tomo.engine.preview import coarseness
from napari_inr_tomo.engine.reporter import NOTHING, STOP, Reporter
from napari_inr_tomo.engine.sharded import ShardedProjector
from napari_inr_tomo.engine.slices import read_volume
from napari_inr_tomo.engine.training import Trainer
from napari_inr_tomo.engine.warm_start import learn_volume
from napari_inr_tomo.geometry import samples_through
from napari_inr_tomo.inr import LearnedPoses, build_field
from napari_inr_tomo.layout import DEVICE_VARIABLE, RunPaths, read_run
from napari_inr_tomo.types import Poses

LEAST, MOST, ENOUGH_S = 4, 60, 0.4
"""Fewest and most steps of a kind that are timed; the seconds that are enough."""
CHUNKS = (1, 3)
"""A large batch is timed at two smaller sizes, in chunks, and extrapolated."""


class _Clock(Reporter):
    """Says nothing; notes when steps were done, and asks for an end after a few."""

    def __init__(self, spec: Any) -> None:
        super().__init__(None, spec)
        self.times = [time.perf_counter()]

    def __call__(self, *_: Any) -> bool:
        """Note a step; return whether there were enough."""
        self.times.append(time.perf_counter())
        return self.enough

    @property
    def enough(self) -> bool:
        """Whether enough steps were noted."""
        count, spent = len(self.times) - 1, self.times[-1] - self.times[0]
        slow = count >= 2 and spent > 5 * ENOUGH_S
        return count >= MOST or slow or (count >= LEAST and spent > ENOUGH_S)

    @property
    def usual_s(self) -> float:
        """The usual time between two steps; the first one, which warms up, is none."""
        gaps = np.diff(self.times[1:] if len(self.times) > 2 else self.times)
        return float(median(gaps)) if len(gaps) else 0.0

    def progress(self, *_: Any, **__: Any) -> bool:
        self()
        return True

    def poll(self) -> int:
        return STOP if self.enough else NOTHING


def measure(job: Job) -> dict[str, float]:
    """Return seconds by the name of what was timed, for one process.

    ``start`` (program, images), ``poses 0`` .. ``poses 2`` (one step of each stage of
    the search), ``projector``, ``hull``, ``iteration`` (SIRT or TV), ``weight
    iteration`` (of the search for the TV weight), ``fbp``, ``lesson`` (a step of
    learning the start), ``ray step`` and ``first ray step`` (with the samples per ray
    of the end and of the beginning), ``preview``, ``volume``.
    """
    costs = {"start": time.time() - _born()}
    if job.config.method == "inr":
        costs |= _network(job)
    else:
        costs |= _classical(job, job.config.method, job.spec.poses)[0]
    return costs


def _born() -> float:
    import psutil

    return float(psutil.Process().create_time())


def _timed(work: Callable[[], Any], job: Job) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    if job.ranks.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began, result


def _classical(
    job: Job, method: str, poses: Poses
) -> tuple[dict[str, float], Tensor, Tensor | None]:
    """Time a classical method; return costs, a volume, the occupied voxels."""
    spec = job.spec
    carve = job.config.method == "inr" and job.config.inr.hull
    costs: dict[str, float] = {}
    costs["projector"], projector = _timed(
        lambda: ShardedProjector(
            job.ranks, spec.angles_deg, poses, job.shape_yx, job.depth_px
        ),
        job,
    )
    device = job.ranks.device
    images = torch.from_numpy(np.array(job.images)).to(device) / job.scale
    valid = None if job.valid is None else torch.from_numpy(np.array(job.valid))
    valid = None if valid is None else valid.to(device)
    occupied = None
    if carve:
        costs["hull"], occupied = _timed(lambda: hull(projector, images, valid), job)
    if method == "fbp":
        costs["fbp"], volume = _timed(lambda: fbp(projector, images, valid=valid), job)
        return costs, volume, occupied
    clock = _Clock(spec)
    if method == "tv":
        volume = tv(
            projector, images, MOST, valid=valid, callback=clock, support=occupied,
            start_iterations=1,
        )  # fmt: skip
    else:
        volume = sirt(
            projector, images, MOST, valid=valid, callback=clock, support=occupied
        )
    costs["iteration"] = clock.usual_s
    if method == "tv":
        slab = densest_slab(projector, *prepare(projector, images, valid), occupied)
        share = 1.0 if slab is None else slab.images.numel() / images.numel()
        costs["weight iteration"] = share * clock.usual_s
    return costs, volume, occupied


def _network(job: Job) -> dict[str, float]:
    costs: dict[str, float] = {}
    inr, start = job.config.inr, job.spec.poses
    if inr.poses.refine and inr.poses.coarse and len(job.spec.angles_deg) > 2:
        images = np.asarray(job.images) / np.float32(job.scale)
        for number, (size, iterations, _) in enumerate(STAGES):
            costs[f"poses {number}"], start = _timed(
                lambda stage=(size, iterations, 1): find_poses(  # type: ignore[misc]
                    images, job.spec.angles_deg, job.spec.poses, job.reference,
                    job.depth_px, job.valid, job.ranks.device, stages=[stage],
                    carve=inr.hull,
                ),
                job,
            )  # fmt: skip
        del images
    occupied = volume = None
    if inr.warm_start != "none":
        found, volume, occupied = _classical(job, inr.warm_start, start)
        costs |= found
    dtype, hidden = precision.types(job.config.compute, job.ranks, inr.field)
    device = job.ranks.device
    field = build_field(inr.field, max(job.box.shape_zyx), job.config.seed, hidden)
    field = field.to(device, dtype)
    if volume is not None and inr.warm_start_steps:
        changed = job.config.merged({"inr": {"warm_start_steps": MOST}})
        clock = _Clock(job.spec)
        lesson = replace(job, spec=replace(job.spec, config=changed), reporter=clock)
        learn_volume(lesson, field, volume, occupied, dtype)
        costs["lesson"] = clock.usual_s
        del volume
    poses = LearnedPoses(job.spec.angles_deg, start, job.reference, job.frozen)
    poses = poses.to(device)
    stack = job.stack(dtype)

    def trainer(batch: int) -> Trainer:
        smaller = job.config.merged({"inr": {"schedule": {"batch_rays": batch}}})
        return Trainer(stack, field, poses, job.box, occupied, smaller, job.ranks)

    costs["ray step"] = _ray_step(job, trainer, late=True)
    if inr.schedule.ramp_epochs > 0:
        costs["first ray step"] = _ray_step(job, trainer, late=False)
    costs |= _reading(job, field, dtype, occupied)
    return costs


def _ray_step(job: Job, trainer: Callable[[int], Trainer], late: bool) -> float:
    """Return the seconds of one step; late: with all samples, the poses moving."""
    plan = job.config.inr.schedule
    full = samples_through(job.spec.angles_deg, job.spec.poses, job.box.shape_zyx)
    position = schedule.epochs(plan) if late else 0.0
    samples = schedule.samples_per_ray(plan, position, full)
    rays = max(1, points_per_chunk(job.ranks.device, job.config.inr.field) // samples)
    small, large = (count * rays for count in CHUNKS)
    batch = plan.batch_rays or large
    if batch <= large:
        return _steps(trainer(batch), late)
    short, long = _steps(trainer(small), late), _steps(trainer(large), late)
    slope = max(0.0, long - short) / (large - small)
    return long + slope * (batch - large)


def _steps(trainer: Trainer, late: bool) -> float:
    """Return the usual seconds of one of a few steps."""
    total = schedule.epochs(trainer.inr.schedule)
    moving = max(trainer.inr.schedule.ramp_epochs, trainer.inr.poses.start_epoch)
    if late:
        trainer.progress.epoch = max(0, min(math.ceil(moving), total - 1))
        trainer.progress.step = trainer.sampler.steps // 2
    clock = _Clock(None)
    trainer.run(lambda: NOTHING, clock, lambda _: None)
    return clock.usual_s


def _reading(job: Job, field: Any, dtype: Any, occupied: Any) -> dict[str, float]:
    """Return the seconds of a live volume and of the whole one, read out."""
    voxels = math.prod(job.box.shape_zyx)
    step = coarseness(job.box.shape_zyx, job.config.compute.preview_voxels)
    chunk = points_per_chunk(job.ranks.device, job.config.inr.field)
    like = torch.zeros(1, dtype=dtype, device=job.ranks.device)
    seconds, coarse = _timed(
        lambda: read_volume(field, job.box, step, like, occupied, chunk), job
    )
    return {"preview": seconds, "volume": seconds * voxels / coarse.numel()}


def peak_bytes(device: torch.device) -> int:
    """Return the most memory this process has held: of the GPU where it uses one."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(folder: str, out: str) -> int:
    """Time the run in ``folder``, write what was found; return the exit status."""
    spec = read_run(RunPaths(Path(folder)))
    device = os.environ.get(DEVICE_VARIABLE, spec.config.compute.device)
    ranks = connect(device)
    try:
        job = Job(RunPaths(Path(folder)), spec, ranks, _Clock(spec))
        found = {
            "seconds": measure(job),
            "memory_bytes": peak_bytes(ranks.device),
            "device": device_name(ranks.device),
            "batch_rays": job.config.inr.schedule.batch_rays,
        }
    finally:
        disconnect(ranks)
    atomic.write_json(Path(out), found)
    return 0


if __name__ == "__main__":
    from napari_inr_tomo.guard import guard

    guard()
    sys.exit(main(*sys.argv[1:3]))
