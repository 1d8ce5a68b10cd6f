"""How much total variation: for the classical volume and for the network's loss."""

from __future__ import annotations

from torch import Tensor

from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.classic.tv import START_ITERATIONS, tv
from napari_inr_tomo.classic.tv_weight import (
    MOST_ITERATIONS,
    USUAL,
    WEIGHTS,
    choose_weight,
    natural_strength,
)
from napari_inr_tomo.engine.job import Job
from napari_inr_tomo.engine.sharded import ShardedProjector
from napari_inr_tomo.engine.watch import Watch

TV_SHARE = 0.15
"""The network's TV weight against the one that would make its loss that of the
classical TV: the network is smooth by itself.  Factors of 3 hardly matter."""


def classical_tv(
    job: Job,
    phase: str,
    projector: ShardedProjector,
    images: Tensor,
    watch: Watch,
    valid: Tensor | None = None,
    support: Tensor | None = None,
) -> tuple[Tensor, float]:
    """Return the classical TV volume and its weight: the setting, or chosen.

    phase: what the run is said to be in after the choice.  watch: its iterations are
    made, from its state if it has one; a stop asked for during the choice is handed on
    to it.  All ranks work on the same numbers and agree on the answer.
    """
    weight, start, state = job.config.classic.tv_weight, None, watch.state
    positivity = job.config.classic.positivity or job.config.method == "inr"
    if state is not None and state.weight is not None:
        weight = state.weight
        job.reporter.chosen["classic.tv_weight"] = weight
    elif weight is None:
        job.reporter.phase("choosing the TV weight")
        choosing = Watch(job, MOST_ITERATIONS)
        shown = start = sirt(
            projector,
            images,
            START_ITERATIONS,
            positivity,
            valid=valid,
            callback=lambda _, *rest: choosing(0, *rest),
            momentum=True,
            support=support,
        )

        def watched(iteration: int, volume: Tensor, residual: float) -> bool:
            """Show the whole volume where the search looks at a slab of it."""
            whole = volume if volume.shape == shown.shape else shown
            return choosing(iteration, whole, residual)

        weight = WEIGHTS[USUAL]
        if not choosing.stopped:
            weight = choose_weight(
                projector,
                images,
                valid,
                support,
                watched,
                job.config.seed,
                positivity,
            )
        watch.stopped = choosing.stopped
        if watch.stopped:  # half a choice is nothing to go on from
            watch.state = state = None
        job.reporter.chosen["classic.tv_weight"] = weight
    if state is not None:
        state.weight = weight
    job.reporter.phase(phase, watch.before)
    volume = tv(
        projector,
        images,
        watch.left,
        weight,
        valid,
        callback=watch,
        support=support,
        start=start,
        state=None if state is None else state.arrays,
        positivity=positivity,
    )
    return volume, weight


def network_weight(job: Job, images: Tensor, valid: Tensor | None) -> float:
    """Return the weight of the network's loss that goes with a classical weight of 1.

    Both losses, written as ``sum |r|^2 / 2 + w TV(voxels)``, with the mean over pixels,
    1 / (2 beta) before the squares and gradients in normalised coordinates undone.
    """
    loss, box = job.config.inr.loss, job.box
    beta = loss.beta if loss.kind == "smooth_l1" else 0.5
    strength = natural_strength(images, valid)
    share = box.shape_zyx[0] * box.unit**2 / (beta * len(images))
    return TV_SHARE * strength * share
