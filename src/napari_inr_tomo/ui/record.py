"""The numbers of a run so far, as the curves and the Monitor show them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_inr_tomo import events
from napari_inr_tomo.events import PHASES, count_in_words, duration
from napari_inr_tomo.ui.live import LiveUpdate, PoseTable

STARTS = ("classical start", "learning the start")
"""The phases in which a network takes over a classical volume."""


@dataclass(eq=False)
class Curve:
    """Loss against step of one phase; hold-out is NaN where there is none."""

    steps: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    holdouts: list[float] = field(default_factory=list)


@dataclass(eq=False)
class RunRecord:
    """Everything said by a run so far."""

    name: str = ""
    method: str = "inr"
    device: str = ""
    ranks: int = 0
    shape_zyx: tuple[int, int, int] | None = None
    voxel_nm: float | None = None
    planned: int = 0
    """Epochs or iterations of the last phase."""
    total: int = 0
    """The same of the present one; 0: not known yet."""
    position: float = 0.0
    phase: str = ""
    elapsed_s: float | None = None
    """Seconds of work so far, those before it was taken up again included."""
    before_s: float = 0.0
    eta_s: float | None = None
    checkpoint_step: int | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    poses: PoseTable | None = None
    end: events.Finished | events.Cancelled | events.Failed | None = None

    @property
    def finished_all(self) -> bool:
        """Whether the run went to its planned end."""
        return isinstance(self.end, events.Finished) and not self.end.stopped

    @property
    def loss_words(self) -> str:
        """What is to be known of the loss that is plotted, or nothing."""
        if "rays" not in self.curves or not {*self.curves} & {*STARTS}:
            return ""
        return (
            "The network began from a classical volume that fits the images already: "
            "its loss usually rises with the learning rate at first, and comes back."
        )

    def take(self, update: LiveUpdate) -> None:
        """Add what one update says."""
        for earlier in update.earlier:
            self.take(earlier)
        if update.started is not None:
            self._start(update.started)
        if update.phase is not None:
            self._begin(update.phase)
        for epoch in update.epochs:
            self._epoch(epoch)
        if update.poses is not None:
            self.poses = update.poses
        if update.checkpoint_step is not None:
            self.checkpoint_step = update.checkpoint_step
        if update.ended_s is not None:
            self.elapsed_s = self.before_s + update.ended_s
        if update.end is not None:
            self.end, self.eta_s = update.end, None
            if isinstance(update.end, events.Finished):
                self.elapsed_s = self.before_s + update.end.elapsed_s

    def _start(self, started: events.Started) -> None:
        self.method, self.device = started.method, started.device
        self.ranks, self.planned = started.ranks, started.total
        self.total = started.total
        self.shape_zyx, self.voxel_nm = started.shape_zyx, started.voxel_nm
        self.end = None
        self.before_s = self.elapsed_s or 0.0
        if started.resumed_at:  # what came after the checkpoint is done again
            for phase, curve in self.curves.items():
                last = self._is_last(phase)
                keep = [not last or s <= started.resumed_at for s in curve.steps]
                for name in ("steps", "losses", "holdouts"):
                    values = getattr(curve, name)
                    kept = [v for v, k in zip(values, keep, strict=True) if k]
                    setattr(curve, name, kept)

    def _begin(self, phase: str) -> None:
        self.phase, self.position, self.eta_s = phase, 0.0, None
        self.total = self.planned if self._is_last(phase) else 0

    def _is_last(self, phase: str) -> bool:
        """Whether no other phase follows."""
        return phase in (self.method.upper(), "rays")

    def _epoch(self, epoch: events.Epoch) -> None:
        position = epoch.step if epoch.position is None else epoch.position
        curve = self.curves.setdefault(epoch.phase, Curve())
        if curve.steps and position < curve.steps[-1]:  # begun anew
            self.curves[epoch.phase] = curve = Curve()
        curve.steps.append(position)
        curve.losses.append(epoch.loss)
        curve.holdouts.append(np.nan if epoch.holdout is None else epoch.holdout)
        self.position, self.total, self.phase = position, epoch.total, epoch.phase
        self.elapsed_s, self.eta_s = self.before_s + epoch.elapsed_s, epoch.eta_s

    @property
    def progress_words(self) -> str:
        """The present phase and how far it is, e.g. ``Learning from the images: 50 %``.

        With the number of epochs or iterations where there are several.
        """
        name = PHASES.get(self.phase, self.phase or "starting")
        count = count_in_words(self.phase, self.position, self.total)
        return f"{name}: {100 * self.share:.0f} %" + f", {count}" * bool(count)

    @property
    def time_words(self) -> str:
        """How long it has run and will, e.g. ``Running for 40 s, about 20 s left``."""
        if self.elapsed_s is None:
            return ""
        if self.end is not None:
            return f"Ran for {duration(self.elapsed_s)}"
        left = f", {self.left_words}" if self.left_words else ""
        return f"Running for {duration(self.elapsed_s)}{left}"

    @property
    def left_words(self) -> str:
        """What is left, of the present phase where others follow; empty if unknown."""
        if not self.eta_s:
            return ""
        part = "" if self._is_last(self.phase) else " of this step"
        return f"about {duration(self.eta_s)} left{part}"

    @property
    def share(self) -> float:
        """How much of the present phase is done, 0 to 1."""
        return min(self.position / self.total, 1.0) if self.total else 0.0
