"""A new run that goes on with the network and the poses of an earlier one.

For more tilts of the same specimen: the same images, a few more, the same box.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import default_depth
from napari_inr_tomo.runs.folder import RunFolder, create_run
from napari_inr_tomo.types import BoolArray, FloatArray, Poses, Step, TiltSeries

SAME_DEG = 0.02
"""Tilts this near to each other in angle are the same tilt."""
VISITS_SHARE = 0.3
"""Visits of a run that goes on, as a share of those from the beginning."""


def continue_run(
    folder: Path,
    series: TiltSeries,
    start: RunFolder,
    config: ReconstructionConfig | None = None,
    source_name: str | None = None,
) -> RunFolder:
    """Write a run folder whose network begins as that of ``start`` ended.

    The coarse search for poses, the classical volume and the learning of it fall away;
    the box and the scale of the intensities are those of ``start``.  Tilts that it had,
    told by their angle, begin with the poses it found (`known_poses`).

    config: its network must be that of ``start``; none: all settings of ``start``.
    Where the number of epochs is not set, they make `VISITS_SHARE` of the visits.
    Raises `UserError` where ``start`` is no INR run, has no checkpoint, or has images
    or a depth of another size, and as `create_run` does.
    """
    spec = start.spec
    if config is None:
        config = spec.config
    depth = spec.config.depth_px or default_depth(
        (spec.shape[1], spec.shape[2]), spec.poses.axis_deg
    )
    _check(series, start, config, depth)
    schedule = config.inr.schedule
    changes = {"visits": VISITS_SHARE * schedule.visits, "warmup_epochs": 0.0}
    if spec.started_from:  # of a run that went on itself
        changes["visits"] = schedule.visits
    poses = {"start_epoch": 0.0}
    config = config.merged(
        {"depth_px": depth, "inr": {"schedule": changes, "poses": poses}}
    )
    series = with_known_poses(series, start)
    return create_run(folder, series, config, source_name, start)


def _check(
    series: TiltSeries, start: RunFolder, config: ReconstructionConfig, depth: int
) -> None:
    """Raise `UserError` where the box, of ``depth``, or the network are others."""
    spec = start.spec
    why = ""
    if spec.config.method != "inr" or config.method != "inr":
        why = "only the network of one INR run can go on in another"
    elif series.images.shape[1:] != spec.shape[1:]:
        rows, columns = series.images.shape[1:]
        why = (
            f"its images have {spec.shape[1]} x {spec.shape[2]} pixels (y, x) and "
            f"these {rows} x {columns}"
        )
    elif config.depth_px not in (None, depth):
        why = (
            f"its network knows a box {depth} voxels deep, and {config.depth_px} are "
            "asked for"
        )
    elif config.inr.field != spec.config.inr.field:
        why = "its network has other settings (inr.field) than this run would have"
    if why:
        raise UserError(
            f"This run cannot go on from {start.path}",
            why,
            "Start from a run with the same method, network, depth and size of the "
            "images, or from the beginning",
        )


def with_known_poses(series: TiltSeries, start: RunFolder) -> TiltSeries:
    """Return the series with the poses of a run where it has the same tilts."""
    angles, found, used = start.poses()
    poses, known = known_poses(series, angles, found, used, start.spec.original_poses)
    step = Step(
        "poses_of_run",
        {"run": start.path.name, "tilts": np.flatnonzero(known).tolist()},
    )
    return series.evolve(step, poses=poses)


def known_poses(
    series: TiltSeries,
    angles_deg: FloatArray,
    found: Poses,
    used: BoolArray,
    began: Poses,
) -> tuple[Poses, BoolArray]:
    """Return start poses of a series, taken over by angle, and which tilts were known.

    angles_deg, found, used, began: (tilt,) of the earlier run, its poses at the end and
    at the start.  A tilt it did not have keeps its own pose, moved and turned by as
    much as the known tilt next to it in angle was.  Of tilts with one angle the first
    new one takes the first earlier one's pose.
    """
    earlier = np.flatnonzero(used)
    rows = np.array(series.start_poses.as_array())
    known = np.zeros(len(series), bool)
    if not len(earlier):
        return series.start_poses, known
    free = list(earlier)
    after, before = found.as_array(), began.as_array()
    for tilt, angle in enumerate(series.angles_deg):
        near = [e for e in free if abs(angles_deg[e] - angle) <= SAME_DEG]
        if near:
            rows[tilt], known[tilt] = after[near[0]], True
            free.remove(near[0])
            continue
        next_to = earlier[np.argmin(np.abs(angles_deg[earlier] - angle))]
        rows[tilt] += after[next_to] - before[next_to]
    return Poses.from_array(rows), known
