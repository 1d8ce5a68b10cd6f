"""A head start for the network: poses, occupied voxels and a classical volume.

The network first learns to reproduce a classical volume; the rays then teach it what
the classical method could not know.  Section 2.1 of the paper suggests pre-training on
a converged SIRT; TV is the better teacher (docs/method.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from napari_inr_tomo.classic.hull import carved_share, hull
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.classic.tv import START_ITERATIONS
from napari_inr_tomo.engine.earlier import Earlier
from napari_inr_tomo.engine.job import Cancelled, Job
from napari_inr_tomo.engine.pose_search import find_poses
from napari_inr_tomo.engine.preview import from_axis_frame
from napari_inr_tomo.engine.readback import Readback
from napari_inr_tomo.engine.reporter import CANCEL, STOP
from napari_inr_tomo.engine.sampling import generator
from napari_inr_tomo.engine.schedule import rise_and_fall
from napari_inr_tomo.engine.sharded import ShardedProjector
from napari_inr_tomo.engine.tv_weight import classical_tv, network_weight
from napari_inr_tomo.engine.watch import Watch
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.inr import Field, Muon
from napari_inr_tomo.types import Poses

BATCH = 8192
"""Voxels per step of learning to reproduce a volume."""
NOTICEABLE = 0.01
"""A hull that carves more than this share of the mass is told of."""


@dataclass(frozen=True)
class Start:
    """poses to start from; occupied (z, y, x) bool or None; classical volume or None.

    volume: (z, y, x), normalised intensity per voxel.
    tv_weight: of the network's loss, where the data say; none: the setting's.
    stopped: the user asked to stop meanwhile.
    """

    poses: Poses
    occupied: Tensor | None
    volume: Tensor | None
    tv_weight: float | None = None
    stopped: bool = False


def prepare_start(job: Job, dtype: torch.dtype = torch.float32) -> Start:
    """Find poses, occupied voxels and a classical volume, as the settings ask.

    Somebody who stops before there is a volume gets one of a few SIRT iterations.
    dtype: of the classical volume.
    """
    inr = job.config.inr
    if job.earlier is not None:
        return _go_on(job, job.earlier, dtype)
    poses, stopped = job.spec.poses, False
    if inr.poses.refine and inr.poses.coarse and len(job.spec.angles_deg) > 2:
        poses, stopped = _coarse_poses(job)
    start = Start(poses, None, None, stopped=stopped)
    if inr.warm_start == "none" and not stopped:
        return start
    projector = ShardedProjector(
        job.ranks, job.spec.angles_deg, poses, job.shape_yx, job.depth_px, dtype
    )
    images, valid = _on_device(job)
    occupied = hull(projector, images, valid) if inr.hull else None
    iterations = START_ITERATIONS if stopped else inr.warm_start_iterations
    watch = Watch(job, iterations)
    weight = inr.loss.tv_weight
    if inr.warm_start == "tv" and not stopped:
        volume, classic_weight = classical_tv(
            job, "classical start", projector, images, watch, valid, occupied
        )
        if weight is None:
            weight = classic_weight * network_weight(job, images, valid)
    else:
        job.reporter.phase("classical start")
        volume = sirt(
            projector,
            images,
            iterations=iterations,
            valid=valid,
            callback=watch.go_on if stopped else watch,
            momentum=True,
            support=occupied,
        )
    if occupied is not None and not (stopped or watch.stopped):
        shown = partial(watch, 0, volume, watch.loss)
        _check_hull(job, projector, images, valid, occupied, shown)
    return replace(
        start,
        occupied=occupied,
        volume=volume,
        tv_weight=weight,
        stopped=stopped or watch.stopped,
    )


def _check_hull(
    job: Job,
    projector: ShardedProjector,
    images: Tensor,
    valid: Tensor | None,
    occupied: Tensor,
    watch: Callable[[], bool],
) -> None:
    """Tell of a noticeable share of the mass in the voxels that were carved.

    watch: asked after each iteration whether to stop.
    """
    job.reporter.phase("checking the hull")
    stopped = False

    def callback(*_: object) -> bool:
        nonlocal stopped
        stopped = stopped or watch()
        return stopped

    share = carved_share(projector, images, occupied, valid, callback)
    if share > NOTICEABLE and not stopped:
        job.reporter.warn(
            UserError(
                "Weak matter may be missing",
                f"voxels that hold about {share:.1%} of the mass were taken for empty: "
                "what several rays through them measured is hardly more than noise",
                "If a thin film or shell belongs to the specimen, reconstruct again "
                "with the setting inr.hull off; if not, subtract the background first",
            )
        )


def _go_on(job: Job, earlier: Earlier, dtype: torch.dtype) -> Start:
    """Return the start of a run that goes on with the network of an earlier one.

    The poses are those of ``run.json``, where the known tilts have what was found.  A
    voxel is occupied where the earlier run had matter and more tilts still allow it.
    """
    weight = job.config.inr.loss.tv_weight
    if weight is None:
        weight = earlier.tv_weight_for(job.spec.shape[0])
    occupied = earlier.occupied if job.config.inr.hull else None
    if occupied is not None:
        occupied = occupied.to(job.ranks.device)
        projector = ShardedProjector(
            job.ranks,
            job.spec.angles_deg,
            job.spec.poses,
            job.shape_yx,
            job.depth_px,
            dtype,
        )
        images, valid = _on_device(job)
        now = hull(projector, images, valid)
        if now is not None and bool((now & occupied).any()):
            occupied = now & occupied
    return Start(job.spec.poses, occupied, None, weight)


def _on_device(job: Job) -> tuple[Tensor, Tensor | None]:
    """Return the normalised images and which of their pixels count."""
    images = torch.from_numpy(np.array(job.images)).to(job.ranks.device) / job.scale
    if job.valid is None:
        return images, None
    return images, torch.from_numpy(np.array(job.valid)).to(job.ranks.device)


def _coarse_poses(job: Job) -> tuple[Poses, bool]:
    """Find poses on rank 0 and share them."""
    job.reporter.phase("coarse poses")
    answer = torch.zeros(len(job.spec.angles_deg) + 1, 4, dtype=torch.float64)
    request = 0

    def report(
        poses: Poses, volume: Tensor, voxel_px: float, residual: float, done: int
    ) -> bool:
        nonlocal request
        job.reporter.progress(done, max(40, done), residual)
        if job.reporter.preview_due():
            began = time.monotonic()
            step = max(1, round(voxel_px))
            turn = float(poses.z1_deg.mean())
            shown = from_axis_frame(volume, voxel_px, turn, job.box, step)
            job.reporter.preview(shown * (job.scale / voxel_px), float(step), done)
            job.reporter.poses(poses, done)
            job.reporter.rest(time.monotonic() - began)
        request = job.reporter.poll() or request
        return request in (STOP, CANCEL)

    if job.ranks.first:
        found = find_poses(
            np.asarray(job.images) / np.float32(job.scale),
            job.spec.angles_deg,
            job.spec.poses,
            job.reference,
            job.depth_px,
            job.valid,
            job.ranks.device,
            report,
            frozen=job.frozen,
            carve=job.config.inr.hull,
        )
        answer[:-1] = torch.from_numpy(found.as_array())
        answer[-1] = request
    answer = job.ranks.share(answer.to(job.ranks.device)).cpu()
    poses = Poses.from_array(answer[:-1].numpy())
    if answer[-1, 0] == CANCEL:
        raise Cancelled(0)
    job.reporter.poses(poses, 0)
    return poses, bool(answer[-1, 0] == STOP)


def learn_volume(
    job: Job, field: Field, volume: Tensor, occupied: Tensor | None, dtype: torch.dtype
) -> bool:
    """Teach the field a (z, y, x) volume of normalised intensity per voxel.

    Voxel centres are drawn at random from the occupied ones; squared error.  Returns
    whether the user asked to stop meanwhile; raises `Cancelled`.
    """
    inr, ranks, box = job.config.inr, job.ranks, job.box
    job.reporter.phase("learning the start")
    wanted = (volume / box.unit).reshape(-1).to(dtype)
    depth, height, width = box.shape_zyx
    places = (
        torch.arange(wanted.numel(), device=ranks.device)
        if occupied is None
        else occupied.reshape(-1).nonzero()[:, 0]
    )
    centre = torch.tensor([width - 1, height - 1, depth - 1], device=ranks.device) / 2
    matrices = field.matrices()
    ids = {id(p) for p in matrices}
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.Adam([p for p in field.parameters() if id(p) not in ids], lr=1e-3)
    ]
    if matrices:
        optimisers.append(Muon(matrices, lr=2e-3))
    heights = [1e-3, 2e-3]
    readback = Readback(ranks.device)
    for step in range(inr.warm_start_steps):
        factor = rise_and_fall(step + 1, 10, inr.warm_start_steps, 0.05)
        for optimiser, height_ in zip(optimisers, heights, strict=False):
            optimiser.param_groups[0]["lr"] = height_ * factor
        random = generator(ranks.device, job.config.seed, 29, step)
        drawn = torch.randint(
            len(places), (BATCH,), generator=random, device=ranks.device
        )
        mine = places[drawn[ranks.rank :: ranks.size]]
        index = torch.stack(
            [mine % width, (mine // width) % height, mine // (height * width)], -1
        )
        points = ((index - centre) * box.unit).to(dtype)
        for parameter in field.parameters():
            parameter.grad = torch.zeros_like(parameter)
        loss = ((field(points) - wanted[mine]) ** 2).sum() / BATCH
        loss.backward()
        loss = loss.detach()
        asked = torch.full_like(loss, float(job.reporter.poll()))
        gradients = [p.grad for p in field.parameters() if p.grad is not None]
        ranks.sum([*gradients, loss, asked])
        for optimiser in optimisers:
            optimiser.step()
        readback.put(step + 1, torch.stack([loss, asked]))
        for reading in readback.due():
            if _stopped(job, *reading):
                return True
    return any(_stopped(job, *reading) for reading in readback.rest())


def _stopped(job: Job, step: float, numbers: list[float]) -> bool:
    """Tell of a step of learning the start; whether to stop; raises `Cancelled`."""
    loss, asked = numbers
    job.reporter.progress(step, job.config.inr.warm_start_steps, loss)
    if asked == CANCEL:
        raise Cancelled(0)
    return asked == STOP
