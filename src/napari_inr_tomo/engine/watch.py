"""What happens between two iterations of a classical method."""

from __future__ import annotations

import time

from torch import Tensor

from napari_inr_tomo.engine.classic_state import ClassicState
from napari_inr_tomo.engine.job import Cancelled, Job
from napari_inr_tomo.engine.preview import binned, coarseness
from napari_inr_tomo.engine.reporter import CANCEL, STOP


class Watch:
    """Reports, shows and listens; the callback of SIRT, TV and the choice of a weight.

    total: iterations expected.  state: what is saved between them; ``total`` counts
    those it has behind it.  loss: the last relative residual; done: iterations;
    stopped: the user asked to stop, and every later call says so again.
    """

    def __init__(self, job: Job, total: int, state: ClassicState | None = None) -> None:
        self.job, self.total, self.state = job, total, state
        self.before = 0 if state is None else state.done
        self.loss, self.done, self.stopped = float("nan"), self.before, False

    @property
    def left(self) -> int:
        """Iterations to be made."""
        return self.total - self.before

    def __call__(self, iteration: int, volume: Tensor, residual: float) -> bool:
        """Return whether to stop; raises `Cancelled`."""
        job, iteration = self.job, iteration + self.before
        self.loss, self.done = residual, iteration
        asked = job.ranks.agree(job.reporter.poll())
        last = iteration == self.total
        job.reporter.progress(iteration, self.total, residual, force=last)
        if job.reporter.preview_due() or iteration == 1:
            began = time.monotonic()
            step = coarseness(volume.shape, job.config.compute.preview_voxels)
            shown = binned(volume, step) * job.scale
            job.reporter.preview(shown, float(step), iteration)
            job.reporter.rest(time.monotonic() - began)
        if self.state is not None and iteration:
            self.state.after(iteration, volume, asked)
        if asked == CANCEL:
            raise Cancelled(iteration)
        self.stopped = self.stopped or asked == STOP
        return self.stopped

    def go_on(self, iteration: int, volume: Tensor, residual: float) -> None:
        """Do the same, but end for a cancel only: a stop has been obeyed before."""
        self(iteration, volume, residual)
