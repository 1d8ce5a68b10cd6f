"""What a run will need, before it starts.

Memory per process, in bytes of float32 (T tilts of Y x X pixels, depth D):

- ``program``: about 0.4 GB for Python and torch.
- classical methods: four stacks (measured, projected, residual, weights) and six
  volumes (TV keeps three for its gradient), 4 (4 T Y X + 6 D Y X).
- the network: weights, gradients and two moments, 16 bytes per weight, and what one
  step keeps for the gradient, two values per neuron and sample:
  8 (rays per process) D width (layers + 1).  Its warm start is classical, so the larger
  of the two counts.

Disk: the input, three checkpoints (two kept, one being written) and two volumes (the
result and a preview).
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_inr_tomo.config import FieldSettings, ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import default_depth

PROGRAM_BYTES = 400_000_000


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
    axis_deg: float = 0.0,
    processes: int = 1,
) -> Estimate:
    """Return what a run on a stack of ``shape_tyx`` needs; see the module's formulas.

    axis_deg: angle of the tilt axis; the default depth is the extent across it.
    """
    tilts, rows, columns = shape_tyx
    depth = config.depth_px or default_depth((rows, columns), axis_deg)
    stack, volume = 4 * tilts * rows * columns, 4 * depth * rows * columns
    memory = 4 * stack + 6 * volume
    checkpoint = volume
    if config.method == "inr":
        field, schedule = config.inr.field, config.inr.schedule
        weights = _weights(field, max(depth, rows, columns))
        rays = schedule.batch_rays
        rays = rays if schedule.scale_with_ranks else math.ceil(rays / processes)
        kept = 8 * rays * depth * field.width * (field.hidden_layers + 1)
        memory = max(memory, 16 * weights + kept + stack + 2 * volume)
        checkpoint = 16 * weights + 128 * tilts
    return Estimate(
        shape_zyx=(depth, rows, columns),
        memory_bytes=PROGRAM_BYTES + memory,
        input_bytes=stack,
        checkpoint_bytes=checkpoint,
        volume_bytes=volume,
    )


def _weights(field: FieldSettings, side: int) -> int:
    """Return about how many numbers the network has."""
    layers = field.hidden_layers * field.width**2 + 8 * field.width
    planes = 3 * 32 * side**2 if field.kind == "triplane" else 0
    return layers + planes


def check_space(folder: Path, need_bytes: int) -> None:
    """Raise `UserError` where the disk of ``folder`` has not ``need_bytes`` free."""
    folder = Path(folder).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
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
