"""How learning rates and samples per ray change over the epochs (section 4.1.2)."""

from __future__ import annotations

import math

from napari_inr_tomo.config import ScheduleSettings


def epochs(schedule: ScheduleSettings) -> int:
    """Return the epochs of resolved settings (`ReconstructionConfig.resolved`)."""
    if schedule.epochs is None:
        raise ValueError("the number of epochs has not been filled in")
    return schedule.epochs


def rise_and_fall(
    position: float, rise: float, total: float, final_fraction: float
) -> float:
    """Return the factor on a learning rate: linear warm-up, then a cosine.

    position: epochs so far; rise: epochs of warm-up; total: epochs in all.
    """
    if position < rise:
        return max(position / rise, 1e-3)
    along = min((position - rise) / max(total - rise, 1e-9), 1.0)
    return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * along))


def network_factor(schedule: ScheduleSettings, position: float) -> float:
    """Return the factor on the network's learning rates after ``position`` epochs."""
    return rise_and_fall(
        position, schedule.warmup_epochs, epochs(schedule), schedule.final_fraction
    )


def pose_factor(schedule: ScheduleSettings, start: float, position: float) -> float:
    """Return the factor on the poses' learning rates; 0 before they may move."""
    if position < start:
        return 0.0
    total = max(epochs(schedule) - start, 1e-9)
    return rise_and_fall(position - start, 0.0, total, schedule.final_fraction)


def samples_per_ray(schedule: ScheduleSettings, position: float, full: int) -> int:
    """Return the samples of a ray: few at first, ``full`` in the end.

    full: one per voxel of the longest ray (`napari_inr_tomo.geometry.samples_through`).
    """
    if schedule.ramp_epochs <= 0:
        return full
    along = min(position / schedule.ramp_epochs, 1.0)
    share = schedule.first_samples + (1 - schedule.first_samples) * along
    return max(2, round(share * full))
