"""What a run will need, before it starts.

Memory per process, in bytes of float32 (T tilts of Y x X pixels, depth D), the larger
of the two phases, on top of the program itself:

- classical (also the start of the network): stacks and volumes held at once, a stack
  and a volume being that of the plane in which the tilt axis lies along x; and the
  projector's matrices, each with its transpose, 16 bytes per entry: 1.6 T D Y entries
  of the rays, 36 per pixel of a turned plane, and X^2 numbers for every shifted tilt.
- rays: the network with gradients and two moments, 16 bytes per weight; the points that
  are in work at once with what they keep for the gradient
  (`FieldSettings.bytes_per_point`); and the stack, the volume and copies of both.

On a GPU the chunk of points is larger and adapts to the card's free memory
(`napari_inr_tomo.engine.chunk`); these numbers are those of a CPU.  The constants were
fitted to measured peaks (docs/performance.md).

Disk: the input, three checkpoints (two kept, one being written) and two volumes (the
result and a preview).
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_inr_tomo.config import USUAL_RAYS, FieldSettings, ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import default_depth
from napari_inr_tomo.types import Poses

PROGRAM_BYTES = 310_000_000
"""Python, torch and this package."""
OPTIMISER_BYTES = 100_000_000
"""What torch's optimisers import, and what the allocator keeps."""
POINTS = 1 << 14
"""Points in work at once on a CPU (`napari_inr_tomo.engine.chunk`)."""
SLACK = 1.6
"""Share for what passes for a moment and what the allocator cannot reuse."""
HELD = {"fbp": (6, 5), "sirt": (10, 9), "tv": (13, 20)}
"""Stacks and volumes that a classical method holds at once."""
SAVED = {"fbp": (0, 0), "sirt": (0, 1), "tv": (2, 5)}
"""Stacks and volumes in a checkpoint of a classical method."""


@dataclass(frozen=True)
class Estimate:
    """The needs of a run, in bytes, and the shape (z, y, x) of its volume."""

    shape_zyx: tuple[int, int, int]
    memory_bytes: int
    """Of one process; on a GPU, of its memory."""
    input_bytes: int
    checkpoint_bytes: int
    volume_bytes: int

    @property
    def disk_bytes(self) -> int:
        """Space the run folder will take."""
        return self.input_bytes + 3 * self.checkpoint_bytes + 2 * self.volume_bytes


def estimate(
    config: ReconstructionConfig,
    shape_tyx: tuple[int, int, int],
    poses: Poses | None = None,
    processes: int = 1,
) -> Estimate:
    """Return what a run on a stack of ``shape_tyx`` needs; see the module's formulas.

    poses: the poses to start from, of the used views; none: all zero.
    """
    tilts, rows, columns = shape_tyx
    poses = Poses.zeros(tilts) if poses is None else poses
    field = default_depth((rows, columns), poses.axis_deg)
    depth = config.depth_px or field
    stack, volume = 4 * tilts * rows * columns, 4 * depth * rows * columns
    memory = float(PROGRAM_BYTES)
    if config.method != "inr":
        stacks, volumes = SAVED[config.method]
        checkpoint = stacks * stack + volumes * volume
        memory += _classic(config.method, (tilts, rows, columns), depth, poses)
    else:
        inr = config.inr
        weights = _weights(inr.field, max(depth, rows, columns))
        batch = inr.schedule.batch_rays or USUAL_RAYS
        samples = max(depth, field)  # of a ray, at most
        points = min(POINTS, math.ceil(batch / processes) * samples)
        if inr.schedule.scale_with_ranks:
            points = min(POINTS, batch * samples)
        points = max(points, min(POINTS, depth * rows * columns))
        rays = SLACK * points * inr.field.bytes_per_point() + 3 * stack + 4 * volume
        start = 0.0
        if inr.warm_start != "none":
            found = inr.poses.refine and inr.poses.coarse
            method = inr.warm_start
            start = _classic(method, shape_tyx, depth, poses, found)
        memory += OPTIMISER_BYTES + 16 * weights + max(rays, start)
        checkpoint = 16 * weights + 128 * tilts
    return Estimate(
        shape_zyx=(depth, rows, columns),
        memory_bytes=int(memory),
        input_bytes=stack,
        checkpoint_bytes=checkpoint,
        volume_bytes=volume,
    )


def _classic(
    method: str,
    shape_tyx: tuple[int, int, int],
    depth: int,
    poses: Poses,
    found: bool = False,
) -> float:
    """Return what a classical method holds; found: at poses that are yet to be found.

    Found poses have some turn of the tilt axis and shifts of their own.
    """
    tilts, rows, columns = shape_tyx
    turns = np.unique(np.concatenate([poses.z1_deg, poses.z3_deg]))
    turns = turns[turns != 0]
    moved = tilts if found or poses.dx_px.any() or poses.dy_px.any() else 0
    height, width = rows, columns
    if found or len(turns):
        angle = np.deg2rad(turns if len(turns) else [1.0])
        c, s = np.abs(np.cos(angle)), np.abs(np.sin(angle))
        height = int((rows * c + columns * s).max()) + 4
        width = int((columns * c + rows * s).max()) + 4
    matrices = 16 * 1.6 * tilts * min(height * depth, height**2)
    matrices += 16 * 36 * rows * columns * max(len(turns), 2 * found)
    matrices += 4 * moved * width**2
    stacks, volumes = HELD[method]
    plane = 4 * height * width
    return matrices + plane * (stacks * tilts + volumes * depth)


def _weights(field: FieldSettings, side: int) -> int:
    """Return about how many numbers the network has."""
    layers = field.hidden_layers * field.width**2 + 8 * field.width
    planes = 3 * 32 * side**2 if field.kind == "triplane" else 0
    return layers + planes


def check_space(folder: Path, need_bytes: int) -> None:
    """Raise `UserError` where the disk of ``folder`` has not ``need_bytes`` free."""
    folder = Path(folder).absolute()
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(
            f"The disk of {folder} cannot be used",
            f"it does not answer ({error.strerror or error})",
            "Check the letter of the drive and the connection, or choose a folder on "
            "another disk",
        ) from None
    if free < need_bytes:
        missing = need_bytes - free
        raise UserError(
            f"The disk of {folder} is too full for this run",
            f"it needs {in_words(need_bytes)} and {in_words(free)} are free, "
            f"{missing} bytes too few",
            "Free some space or choose a run folder on another disk",
        )


def in_words(count: float) -> str:
    """Return a number of bytes for people, e.g. ``1.4 GB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
