"""What makes a run doubtful though it can be done: a warning each, nothing refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from napari_inr_tomo.engine import schedule
from napari_inr_tomo.engine.job import Job
from napari_inr_tomo.errors import UserError


def doubts(job: Job) -> Iterator[UserError]:
    """Yield what the user should know before the work begins."""
    inr = job.config.inr
    if job.config.method == "inr" and inr.poses.refine:
        epochs, first = schedule.epochs(inr.schedule), inr.poses.start_epoch
        if epochs <= first:
            yield UserError(
                "The rays will not refine the poses",
                f"poses may move after {first:g} epochs (inr.poses.start_epoch) and "
                f"the run has {epochs}",
                f"Give it more than {first:g} epochs or set inr.poses.start_epoch "
                "lower; if the poses are to stay, switch their refinement off",
            )
    mean = _mean(job)
    if not mean > 0:
        yield UserError(
            "The images are not above zero on average",
            f"the mean of their pixels is {mean:.4g}, and matter has to be brighter "
            "than nothing: the contrast seems inverted, or too much background was "
            "taken off",
            "Turn the images round (a constant minus the images) where matter is dark, "
            "or take off less background; else little or nothing will be in the volume",
        )


def _mean(job: Job) -> float:
    """Return the mean of the pixels that count; 0 where none does."""
    total, count = 0.0, 0
    for tilt, image in enumerate(job.images):
        counted = image if job.valid is None else image[job.valid[tilt]]
        total += float(np.sum(counted, dtype=np.float64))
        count += counted.size
    return total / max(count, 1)


def of_result(volume: Tensor) -> Iterator[UserError]:
    """Yield what the user should know about a (z, y, x) result."""
    if not bool(volume.any()):
        yield UserError(
            "The volume is empty",
            "every voxel is 0: nothing above zero explains the images",
            "See whether matter is bright in the images and how much background was "
            "taken off, then start again",
        )
