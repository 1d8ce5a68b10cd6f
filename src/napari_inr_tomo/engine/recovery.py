"""Going back to the last good state where training leaves the rails.

Snapshots are taken every so many steps and after every epoch, the same on all ranks,
and kept only where every number in them is finite and the loss of the steps after them
has not exploded: that of the step that led to one was measured before the step.  Else
training goes back to the newest one kept at half the learning rates; again without a
new one in between, to the one before.  In the end the snapshot with the least loss is
what remains.  Poses that run away are put back on their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_inr_tomo import geometry
from napari_inr_tomo.engine.training import Diverged, Trainer
from napari_inr_tomo.types import FloatArray, Poses

EVERY_STEPS = 500
"""Steps between two snapshots within an epoch."""
ATTEMPTS = 3
"""So often training, and the poses, are taken back; then they end as they were."""
EXPLODED = 30.0
"""A mean loss so many times the least one so far is none that training may have."""
GOOD = 3.0
"""A state proves good by a mean loss of at most so many times the least one so far."""
FAR_DEG = 20.0
"""A pose that has turned this much from where it started has run away."""
FAR_SHARE = 0.2
"""The same for a shift, as a share of the shorter side of the images."""


@dataclass(frozen=True)
class Snapshot:
    """A state of training: what `Trainer.state` returned, copied to main memory.

    loss: the mean over the steps after it, until the next one; infinite before them.
    """

    arrays: dict[str, Tensor]
    info: dict[str, Any]
    loss: float = math.inf

    @classmethod
    def of(cls, trainer: Trainer) -> Snapshot:
        """Copy the present state."""
        arrays, info = trainer.state()
        copied = {k: v.detach().to("cpu", copy=True) for k, v in arrays.items()}
        return cls(copied, info)

    @property
    def finite(self) -> bool:
        """Whether every number is finite."""
        return all(bool(torch.isfinite(v).all()) for v in self.arrays.values())


class Recovery:
    """The snapshots of one run.

    taught: the network knew a classical volume before the first step, so that even the
    first snapshot shows the specimen.  earlier: `told` of the run that is resumed.
    """

    def __init__(
        self, trainer: Trainer, taught: bool, earlier: Sequence[int] = (0, 0)
    ) -> None:
        self.trainer, self.taught = trainer, taught
        self.halvings = self.pose_halvings = 0
        self._steps = 0
        self._losses: list[float] = []
        self._least = math.inf
        self._kept = [Snapshot.of(trainer)]
        self._unproven: Snapshot | None = None
        self._best: Snapshot | None = None
        for _ in range(earlier[0]):
            self._halve()
        for _ in range(earlier[1]):
            self._halve_poses()

    @property
    def told(self) -> list[int]:
        """How often the learning rates, and those of the poses alone, were halved."""
        return [self.halvings, self.pose_halvings]

    def after_step(self, loss: float) -> None:
        """Note the loss of a step; keep a snapshot now and then.

        Raises `Diverged` where the loss has exploded.
        """
        self._steps += 1
        self._losses.append(loss)
        self._least = min(self._least, loss) if self._steps == 1 else self._least
        if self._steps % EVERY_STEPS == 0:
            self.keep()

    def keep(self) -> None:
        """Keep the last state if it proved good, and take the present one.

        The first stays, and the last two.  Raises `Diverged` where the loss has
        exploded.
        """
        if self._losses:
            self._judge(sum(self._losses) / len(self._losses))
            self._losses.clear()
        snapshot = Snapshot.of(self.trainer)
        if snapshot.finite:
            self._unproven = snapshot

    def _judge(self, loss: float) -> None:
        if not loss <= EXPLODED * self._least:
            raise Diverged(f"the loss rose from {self._least:.3g} to {loss:.3g}")
        self._least = min(self._least, loss)
        if self._unproven is not None and loss <= GOOD * self._least:
            proven = replace(self._unproven, loss=loss)
            self._kept = [*self._kept[:1], *self._kept[1:][-1:], proven]
            self._unproven = None
            if self._best is None or loss <= self._best.loss:
                self._best = proven

    def roll_back(self) -> bool:
        """Go back to the newest snapshot, which is used up; whether to go on.

        After `ATTEMPTS` the best snapshot is put back, and it is over.
        """
        self._losses.clear()
        self._unproven = None
        again = self.halvings < ATTEMPTS and bool(self._kept)
        if again:
            last = self._kept.pop() if len(self._kept) > 1 else self._kept[0]
            self._restore(last)
            self._halve()
        elif self._best is not None or self._kept:
            self._restore(self._best or self._kept[0])
        return again

    @property
    def shows_something(self) -> bool:
        """Whether what `roll_back` put back in the end is worth a volume."""
        return self._best is not None or (self.taught and bool(self._kept))

    def _halve(self) -> None:
        self.halvings += 1
        optimisers = self.trainer.optimisers
        optimisers.heights[:] = [height / 2 for height in optimisers.heights]
        optimisers.pose_heights[:] = [height / 2 for height in optimisers.pose_heights]

    def _halve_poses(self) -> None:
        self.pose_halvings += 1
        factor = 0.5 if self.pose_halvings < ATTEMPTS else 0.0
        heights = self.trainer.optimisers.pose_heights
        heights[:] = [height * factor for height in heights]

    def _restore(self, snapshot: Snapshot) -> None:
        trainer = self.trainer
        trainer.restore(snapshot.arrays, snapshot.info)
        trainer.tilt_error.zero_()

    def rein_in_poses(self) -> FloatArray | None:
        """Put poses that have run away back to where they started; None if none has.

        Returns the tilts with their turn (degrees) and shift (pixels), (n, 3).  After
        `ATTEMPTS` times the poses are no longer refined.
        """
        trainer = self.trainer
        rows, columns = trainer.stack.images.shape[1:]
        far = runaways(
            trainer.poses.angles_deg.cpu().numpy(),
            trainer.poses.origin,
            trainer.poses.poses(),
            FAR_SHARE * min(rows, columns),
        )
        if not len(far):
            return None
        self._halve_poses()
        for parameter in trainer.poses.parameters():
            parameter.data.zero_()
        trainer.optimisers.pose_optimiser.state.clear()
        trainer.recorder.forget()
        return far


def runaways(
    angles_deg: FloatArray, start: Poses, now: Poses, far_px: float
) -> FloatArray:
    """Return (n, 3): tilt, turn in degrees and shift in px of poses that went too far.

    The turn is the angle of the rotation between the two poses: at low tilts z1 and z3
    may drift apart without turning anything.
    """
    before, after = (
        geometry.object_to_detector(poses.z1_deg, angles_deg, poses.z3_deg)
        for poses in (start, now)
    )
    trace = np.einsum("tij,tij->t", before, after)
    turn = np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    shift = np.hypot(now.dx_px - start.dx_px, now.dy_px - start.dy_px)
    far = np.flatnonzero((turn > FAR_DEG) | (shift > far_px))
    return np.column_stack([far, turn[far], shift[far]])
