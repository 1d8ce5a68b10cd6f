"""What happens between two iterations of a classical method."""

from __future__ import annotations

import time

from torch import Tensor

from napari_inr_tomo.engine.job import Cancelled, Job
from napari_inr_tomo.engine.reporter import CANCEL, STOP


class Watch:
    """Reports, shows and listens; the callback of SIRT, TV and the choice of a weight.

    total: iterations expected.  loss: the last relative residual; done: iterations;
    stopped: the user asked to stop, and every later call says so again.
    """

    def __init__(self, job: Job, total: int) -> None:
        self.job, self.total = job, total
        self.loss, self.done, self.stopped = float("nan"), 0, False

    def __call__(self, iteration: int, volume: Tensor, residual: float) -> bool:
        """Return whether to stop; raises `Cancelled`."""
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
        self.stopped = self.stopped or asked == STOP
        return self.stopped

    def go_on(self, iteration: int, volume: Tensor, residual: float) -> None:
        """Do the same, but end for a cancel only: a stop has been obeyed before."""
        self(iteration, volume, residual)
