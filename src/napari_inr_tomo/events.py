"""What a run says while it runs: one typed JSON line each in ``events.jsonl``.

Large things (poses, volumes) are files in the run folder; their event names the file,
relative to the folder, so a line stays below 4 kB and is written in one piece.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
)


def _encodable(value: object) -> object:
    """Put "?" for characters no encoding knows (undecodable file names)."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return value


def stays_inside(relative: str) -> bool:
    """Tell whether a relative path cannot lead out of the folder it is joined to."""
    plain = PurePosixPath(relative.replace("\\", "/"))
    odd = plain.is_absolute() or ".." in plain.parts or not plain.parts
    return not (odd or "\0" in relative or ":" in relative or len(relative) > 255)


def _inside(relative: str) -> str:
    if not stays_inside(relative):
        raise ValueError("it points outside the run folder")
    return relative


CLASSICAL = ("SIRT", "TV", "FBP")
"""The phases in which a classical method makes the result."""

PHASES = {
    "coarse poses": "Finding the poses",
    "choosing the TV weight": "Choosing the TV weight",
    "classical start": "Classical start",
    "checking the hull": "Checking what was taken for empty",
    "learning the start": "Learning the start",
    "rays": "Learning from the images",
}
"""The phases of a run in words."""


def duration(seconds: float | None) -> str:
    """Return seconds as words, e.g. ``3 min 20 s``."""
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def count_in_words(phase: str, position: float, total: int) -> str:
    """Return e.g. ``epoch 2 of 30`` or ``iteration 7 of 20``; empty where none counts.

    position: epochs or iterations done, of ``total``.
    """
    if total <= 1 or phase not in (*CLASSICAL, "rays"):
        return ""
    unit = "epoch" if phase == "rays" else "iteration"
    return f"{unit} {min(int(position) + (phase == 'rays'), total)} of {total}"


Text = Annotated[str, BeforeValidator(_encodable)]
File = Annotated[Text, AfterValidator(_inside)]
"""Name of a file relative to the run folder, and inside it."""


class _Event(BaseModel):
    # NaN and infinity as strings: a diverged loss must not cost the line
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    seq: int = 0
    """Running number from 0; a gap means a lost line."""
    time: float = 0.0
    """Seconds since 1970, from the writing machine's clock."""


class Started(_Event):
    """The workers run; sent again after a resume."""

    type: Literal["started"] = "started"
    method: Text
    ranks: int
    device: Text
    pid: int
    tilts: int
    shape_zyx: tuple[int, int, int]
    voxel_nm: float | None = None
    total: int
    """Epochs or iterations planned in all."""
    resumed_at: int = 0


class Phase(_Event):
    """A new stage of the method began, e.g. "classical start" or "rays"."""

    type: Literal["phase"] = "phase"
    name: Text


class Epoch(_Event):
    """One epoch (INR) or iteration (SIRT, TV) is done."""

    type: Literal["epoch"] = "epoch"
    step: int
    """Epochs or iterations completed."""
    total: int
    position: float | None = None
    """Epochs so far with the fraction of the present one; none: equal to ``step``."""
    phase: Text
    loss: float
    """Mean training loss per pixel; for SIRT and TV the relative residual."""
    holdout: float | None = None
    """The same loss on the held-out pixels, where there are any."""
    learning_rate: float | None = None
    elapsed_s: float
    eta_s: float | None = None


class PosesUpdated(_Event):
    """New poses stand in ``file`` (poses.csv format, one row per tilt)."""

    type: Literal["poses"] = "poses"
    step: int
    file: File


class Preview(_Event):
    """A new volume stands in ``file``: .npy, (z, y, x) float32, maybe coarser."""

    type: Literal["preview"] = "preview"
    step: int
    file: File
    shape_zyx: tuple[int, int, int]
    voxel_px: float
    """Edge of a preview voxel in pixels of the input (1 = full resolution)."""


class Slices(_Event):
    """The slices of request ``name`` stand in ``file``, see `planes.read_slices`."""

    type: Literal["slices"] = "slices"
    step: int
    name: Text
    file: Text


class Checkpoint(_Event):
    """A checkpoint was written."""

    type: Literal["checkpoint"] = "checkpoint"
    step: int
    file: File


class Warned(_Event):
    """Something the user should know; the run goes on."""

    type: Literal["warning"] = "warning"
    what: Text
    why: Text
    do: Text


class Finished(_Event):
    """The result is complete in ``result/``; ``stopped``: early, on request.

    reason: why it ended early where nobody asked for it.
    kept, holdout: the epoch whose network is kept and its loss, where held-out pixels
    decide.
    """

    type: Literal["finished"] = "finished"
    step: int
    stopped: bool = False
    elapsed_s: float
    reason: Text | None = None
    kept: int | None = None
    holdout: float | None = None

    @property
    def another_kept(self) -> str:
        """Words to add where the network is not that of the last epoch, else none."""
        if self.kept is None or self.kept == self.step:
            return ""
        return f"; the network of epoch {self.kept} is kept"

    def in_words(self, elapsed_s: float, phase: str, total: int) -> str:
        """Return how the run ended: the same words in a list, a window, a terminal.

        elapsed_s: of all its work; phase, total: of the last step.
        """
        where = count_in_words(phase, self.step, total)
        after = f"after {duration(elapsed_s)}" + f", {where}" * bool(where)
        if self.reason:
            return f"Ended early {after}. {self.reason}{self.another_kept}"
        if self.stopped:
            return f"Finished early, as asked, {after}{self.another_kept}"
        return f"Finished after {duration(elapsed_s)}{self.another_kept}"


class Cancelled(_Event):
    """Ended on request without a result; can be resumed from its checkpoint."""

    type: Literal["cancelled"] = "cancelled"
    step: int


class Failed(_Event):
    """Ended by a problem: what, why, and what to do.

    lost: a process died, which is no fault of the run; it may go on by itself.
    """

    type: Literal["failed"] = "failed"
    what: Text
    why: Text
    do: Text
    lost: bool = False


Event = (
    Started
    | Phase
    | Epoch
    | PosesUpdated
    | Preview
    | Slices
    | Checkpoint
    | Warned
    | Finished
    | Cancelled
    | Failed
)

_LONGEST = 1 << 16

_ADAPTER: TypeAdapter[Event] = TypeAdapter(
    Annotated[Event, Field(discriminator="type")]
)


def encode(event: Event) -> bytes:
    """Return the event as one JSON line, newline included."""
    return event.model_dump_json().encode() + b"\n"


def decode(line: bytes) -> Event:
    """Read one line written by `encode`; raises ``ValueError`` on anything else."""
    if len(line) > _LONGEST:
        raise ValueError(f"a line of {len(line)} bytes is no event")
    return _ADAPTER.validate_json(line)
