"""The weight of the total variation, chosen on pixels the reconstruction never saw."""

from __future__ import annotations

import math

import numpy as np
import torch

from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import Callback, prepare, sirt
from napari_inr_tomo.classic.slab import densest_slab
from napari_inr_tomo.classic.tv import START_ITERATIONS, STRENGTH, noise_level, tv

WEIGHTS = (10.0, 3.0, 1.0, 0.3, 0.1)
"""Weights tried, from smooth to sharp; half a decade apart is fine enough."""

USUAL = WEIGHTS.index(1.0)
"""The one tried first."""

HELD_OUT = 0.1
"""Share of the pixels kept back, drawn pixel by pixel."""

ITERATIONS = 40
"""Iterations per weight: enough to rank them, not enough to finish."""

MOST_ITERATIONS = (len(WEIGHTS) - 1) * ITERATIONS
"""Iterations of the longest search; most end before."""


def choose_weight(
    projector: Projector,
    images: torch.Tensor,
    valid: torch.Tensor | None = None,
    support: torch.Tensor | None = None,
    callback: Callback | None = None,
    seed: int = 0,
    positivity: bool = True,
) -> float:
    """Return the weight for `tv` whose volume predicts held-out pixels best.

    From the usual one towards smoother ones, or where the next is no better towards
    sharper ones, until the error on the held-out pixels rises: too smooth a volume
    misses structure, too sharp a one has learnt the noise of the other pixels.
    Of a large volume the densest slab is looked at (`densest_slab`).
    images, valid, support, positivity: as for `tv`.  callback: see `Callback`; its
    volume is that slab; iterations count on from weight to weight, up to
    `MOST_ITERATIONS`; True ends the search with the best weight so far.
    """
    data, usable = prepare(projector, images, valid)
    noise_ratio = 1.0
    slab = densest_slab(projector, data, usable, support)
    if slab is not None:
        # the weight counts in units of the noise, and that is to be the whole's
        noise = noise_level(slab.images, slab.usable)
        noise_ratio = noise_level(data, usable) / noise if noise else 1.0
        projector, support = slab.projector, slab.support
        data, usable = slab.images, slab.usable
    random = torch.Generator().manual_seed(seed)
    drawn = torch.rand(data.shape, generator=random).to(data.device) < HELD_OUT
    by_angle = np.argsort(projector.angles_deg, kind="stable")
    held = torch.empty_like(drawn)
    held[torch.from_numpy(by_angle).to(data.device)] = drawn  # in whatever order
    seen = usable.bool() & ~held
    judged = usable.bool() & held
    norm = float((data[judged] ** 2).sum()) ** 0.5 or 1.0
    watch = _Counted(callback)
    start = sirt(
        projector,
        data,
        START_ITERATIONS,
        positivity,
        valid=seen,
        callback=watch,
        momentum=True,
        support=support,
    )
    watch.started = True

    def error(weight: float) -> float:
        """Return the error on the held-out pixels; infinite where it was stopped."""
        if watch.stopped:
            return math.inf
        volume = tv(
            projector,
            data,
            ITERATIONS,
            weight * noise_ratio,
            seen,
            watch,
            support,
            start=start,
            positivity=positivity,
        )
        watch.before += ITERATIONS
        if watch.stopped:
            return math.inf
        wrong = (projector.forward(volume) - data)[judged]
        return float(torch.linalg.vector_norm(wrong)) / norm

    best, least = USUAL, error(WEIGHTS[USUAL])
    for direction in (-1, 1):
        while 0 <= best + direction < len(WEIGHTS):
            found = error(WEIGHTS[best + direction])
            if not found < least:
                break
            best, least = best + direction, found
        if best != USUAL:
            break
    return WEIGHTS[best]


class _Counted:
    """Hands iterations on, counted on over the weights; remembers that it was to stop.

    The iterations of the start, before ``started``, count as 0.
    """

    def __init__(self, callback: Callback | None) -> None:
        self._callback, self.stopped = callback, False
        self.before, self.started = 0, False

    def __call__(self, iteration: int, volume: torch.Tensor, residual: float) -> bool:
        if self._callback is not None:
            count = self.before + iteration if self.started else 0
            asked = self._callback(count, volume, residual)
            self.stopped = self.stopped or bool(asked)
        return self.stopped


def natural_strength(images: torch.Tensor, usable: torch.Tensor | None = None) -> float:
    """Return the strength ``m`` of weight 1: `tv` minimises ``|r|^2 / 2 + w m TV(x)``.

    images: (tilt, y, x); the strength has their unit, x being in the same unit per
    voxel.  It is 0.4 times the noise that back-projection collects in a voxel.
    """
    whole = torch.ones_like(images) if usable is None else usable.to(images)
    noise: float = noise_level(images, whole)
    return STRENGTH * noise * math.sqrt(len(images))
