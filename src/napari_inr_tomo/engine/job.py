"""One run as a rank sees it: settings, data, other ranks, and the way to report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_inr_tomo import events, geometry
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import checkpoint
from napari_inr_tomo.engine.data import Stack, intensity_scale
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.earlier import Earlier, load_earlier
from napari_inr_tomo.engine.reporter import Reporter
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.inr import Box
from napari_inr_tomo.layout import RunPaths, RunSpec
from napari_inr_tomo.types import Poses


class Cancelled(Exception):
    """The user asked to end without a result."""

    def __init__(self, step: int) -> None:
        super().__init__(f"cancelled after step {step}")
        self.step = step


@dataclass(frozen=True)
class Outcome:
    """What a method returns.

    volume: (z, y, x), the input's intensity per voxel; poses of the used tilts;
    residual: (tilt,) rms of measured minus computed pixels, the input's intensity.
    reason: why it ended early where nobody asked for it.
    holdout: the loss on the held-out pixels of the network kept, which is that after
    the epoch ``kept``.
    """

    volume: Tensor
    poses: Poses
    residual: NDArray[np.float64]
    step: int
    stopped: bool
    loss: float
    holdout: float | None = None
    reason: str | None = None
    kept: int | None = None


@dataclass(frozen=True)
class Job:
    """A run on one rank."""

    paths: RunPaths
    spec: RunSpec
    ranks: Ranks
    reporter: Reporter

    @cached_property
    def config(self) -> ReconstructionConfig:
        """The settings, with what depends on the stack and the device filled in."""
        config = self.spec.config.resolved(self.spec.shape[0])
        on_gpu = self.ranks.device.type == "cuda"
        suited = config.inr.schedule.suited(math.prod(self.spec.shape), on_gpu)
        return config.merged({"inr": {"schedule": suited}})

    @cached_property
    def images(self) -> NDArray[np.float32]:
        """(tilt, y, x), memory-mapped."""
        return np.load(self.paths.input, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    @cached_property
    def valid(self) -> NDArray[np.bool_] | None:
        """(tilt, y, x), False where a pixel is to be ignored; None: all count."""
        if not self.paths.valid.exists():
            return None
        return np.load(self.paths.valid, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    @cached_property
    def saved(self) -> tuple[dict[str, Tensor], Any, list[str]] | None:
        """What this run left when it was interrupted (`checkpoint.load`), if it was."""
        if self.config.method == "inr":
            field, tilts = self.config.inr.field, self.spec.shape[0]
            most = checkpoint.largest(field, self.box, tilts)
        else:  # TV keeps five volumes and two stacks
            stack, volume = math.prod(self.spec.shape), math.prod(self.box.shape_zyx)
            most = 4 * (2 * stack + 5 * volume) + 1_000_000
        return checkpoint.load(self.paths.checkpoints, most)

    def save(self, number: int, arrays: dict[str, Tensor], info: Any) -> None:
        """Write a checkpoint; a full disk costs the checkpoint, not the run."""
        try:
            path = checkpoint.save(self.paths.checkpoints, number, arrays, info)
        except OSError as error:
            self.reporter.warn(
                UserError(
                    "A checkpoint could not be written",
                    str(error),
                    "Free some disk space; the run goes on and tries again",
                )
            )
            return
        file = path.relative_to(self.paths.folder).as_posix()
        self.reporter.say(events.Checkpoint(step=number, file=file))

    @property
    def resumed_at(self) -> int:
        """Epochs or iterations that are behind already; 0 where that is unclear."""
        try:
            done = self.saved[1]["progress"]["epoch"]  # type: ignore[index]
        except (TypeError, KeyError, IndexError):
            return 0
        return done if isinstance(done, int) and done > 0 else 0

    @cached_property
    def earlier(self) -> Earlier | None:
        """What the run this one goes on from had learnt, if there is one."""
        if not self.spec.started_from:
            return None
        return load_earlier(self.paths.start, self.config.inr.field, self.box)

    @cached_property
    def scale(self) -> float:
        """What intensities are divided by; a network that goes on keeps its own."""
        if self.earlier is not None:
            return self.earlier.scale
        return intensity_scale(self.images, self.valid)

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Size of the images."""
        return self.spec.shape[1], self.spec.shape[2]

    @property
    def reference(self) -> int:
        """Index of the used tilt nearest 0 degrees."""
        return int(np.argmin(np.abs(self.spec.angles_deg)))

    @property
    def frozen(self) -> NDArray[np.intp]:
        """Indices, among the used tilts, of those that keep their start pose."""
        return np.flatnonzero(np.isin(self.spec.tilts, self.config.inr.poses.frozen))

    @cached_property
    def depth_px(self) -> int:
        """Depth of the box: the setting, or the extent across the tilt axis."""
        return self.config.depth_px or geometry.default_depth(
            self.shape_yx, self.spec.poses.axis_deg
        )

    @property
    def box(self) -> Box:
        """The reconstructed box."""
        return Box((self.depth_px, *self.shape_yx))

    def stack(self, dtype: torch.dtype) -> Stack:
        """Return the normalised stack on this rank's device."""
        device, angles = self.ranks.device, self.spec.angles_deg
        return Stack.load(self.images, self.valid, device, dtype, self.scale, angles)

    def info(self) -> dict[str, Any]:
        """Return words about this run for the record."""
        return {"ranks": self.ranks.size, "device": device_name(self.ranks.device)}


def device_name(device: torch.device) -> str:
    """Return the device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"CPU ({threads} thread{'s' * (threads != 1)})"
