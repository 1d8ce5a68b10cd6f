"""Where SIRT or TV stands, so that an interrupted run goes on from there."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from napari_inr_tomo.classic.tv import state_like
from napari_inr_tomo.engine import checkpoint
from napari_inr_tomo.engine.job import Job
from napari_inr_tomo.engine.reporter import NOTHING

SHARE = 0.1
"""Checkpoints may take this share of the time of a run; those of TV are large."""


class ClassicState:
    """The state of a classical run: loaded where there is one, saved now and then.

    arrays: of SIRT the volume, of TV what `tv` keeps; empty at the beginning.
    done: iterations made before this process began.  weight: of TV, once it is chosen.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.arrays: dict[str, Tensor] = {}
        self.done = 0
        self.weight: float | None = None
        self._next_save = time.monotonic() + job.config.compute.checkpoint_seconds
        if job.saved is not None:
            checkpoint.fitting(self._restore, *job.saved[:2])

    def _restore(self, arrays: dict[str, Tensor], info: dict[str, Any]) -> None:
        job = self.job
        if info["method"] != job.config.method:
            raise ValueError(f"it is one of {info['method']!r}")
        done, weight = info["progress"]["epoch"], info["weight"]
        if not isinstance(done, int) or not 0 <= done <= job.config.classic.iterations:
            raise ValueError(f"it speaks of {done!r} iterations")
        if weight is not None and not 0 <= float(weight) < math.inf:
            raise ValueError(f"its weight is {weight!r}")
        shape = job.box.shape_zyx
        wanted = {"volume": torch.empty(shape, device="meta")}
        if job.config.method == "tv":
            wanted = state_like(shape, job.spec.shape)
        checkpoint.same_shapes(wanted, arrays)
        self.arrays = {
            name: arrays[name].to(job.ranks.device, like.dtype)
            for name, like in wanted.items()
        }
        self.done, self.weight = done, weight

    def after(self, done: int, volume: Tensor, asked: int) -> None:
        """Save if it is time to or somebody asked for anything; of rank 0 alone."""
        job = self.job
        if job.config.method == "sirt":
            self.arrays = {"volume": volume}
        began = time.monotonic()
        if not job.ranks.first or (asked == NOTHING and began < self._next_save):
            return
        told = {"method": job.config.method, "progress": {"epoch": done}}
        job.save(done, self.arrays, told | {"weight": self.weight})
        took = time.monotonic() - began
        gap = max(job.config.compute.checkpoint_seconds, took / SHARE)
        self._next_save = began + gap
