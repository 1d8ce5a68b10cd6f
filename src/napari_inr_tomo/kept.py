"""What was done to the tilt series of a file, kept for when the file is opened again.

After a crash, or next week, the steps need not be found again by hand.  One small JSON
file a stack, in the user's folder for what can be made again, holds the history and
what it led to: angles, poses and views, never pixels.  `napari_inr_tomo.replay` does
the steps again.  Whoever keeps steps has a name (``keeper``); another keeper's last
steps on the same file stay until they are forgotten.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo import atomic, provenance, remembered
from napari_inr_tomo.types import (
    BoolArray,
    FloatArray,
    IntArray,
    Poses,
    Step,
    TiltSeries,
)

FILES = 100
"""So many files' steps are kept; those not touched for longest go."""
_LARGEST = 20_000_000
_OF_EXPLORER = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, eq=False)
class KeptSteps:
    """The history of a tilt series and what it led to.

    when: of the last step, ISO 8601 with time zone.  original_angles_deg (tilt,),
    original_poses, original_used (tilt,), original_group (tilt,) or None: of all tilts
    of the stack, in its order, as in `napari_inr_tomo.layout.RunSpec`.
    """

    when: str
    name: str
    angle_source: str
    pixel_size_nm: float | None
    history: tuple[Step, ...]
    original_angles_deg: FloatArray
    original_poses: Poses
    original_used: BoolArray
    original_group: IntArray | None

    @classmethod
    def of(cls, series: TiltSeries, when: str) -> KeptSteps:
        """Return the steps behind a series."""
        return cls(
            when,
            series.name,
            series.angle_source,
            series.pixel_size_nm,
            series.history,
            series.angles_deg,
            series.start_poses,
            series.mask,
            series.group,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        group = self.original_group
        return {
            "when": self.when,
            "name": self.name,
            "angle_source": self.angle_source,
            "pixel_size_nm": self.pixel_size_nm,
            "history": [step.to_json() for step in self.history],
            "angles_deg": self.original_angles_deg.tolist(),
            "poses": self.original_poses.as_array().tolist(),
            "used": self.original_used.tolist(),
            "group": None if group is None else group.tolist(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> KeptSteps:
        """Build it; raises KeyError, TypeError, ValueError or UserError."""
        group = value["group"]
        return cls(
            str(value["when"]),
            str(value["name"]),
            str(value["angle_source"]),
            value["pixel_size_nm"],
            tuple(Step.from_json(step) for step in value["history"]),
            np.array(value["angles_deg"], np.float64),
            Poses.from_array(value["poses"]),
            np.array(value["used"], bool),
            None if group is None else np.array(group, np.int64),
        )


def keep(stack: Path, series: TiltSeries | None, keeper: str) -> None:
    """Keep the steps behind a series of ``stack``; None: the keeper has taken none.

    A full disk, or a history that JSON cannot hold, costs what was to be kept.
    """
    file, stamp = _file(stack), _stamp(stack)
    if stamp is None:
        return
    found = _read(file, stamp)
    others = [entry for entry in found if entry["keeper"] != keeper][-1:]
    entries = others
    if series is not None:
        steps = KeptSteps.of(series, provenance.now()).to_json()
        entries = [*others, {"keeper": keeper, "steps": steps}]
    if entries == found:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(file, {"stamp": stamp, "entries": entries})
    except (OSError, TypeError, ValueError):
        return
    _clear_out(file.parent)


def recall(stack: Path, keeper: str) -> KeptSteps | None:
    """Return the last steps that another keeper took on ``stack``, if it is unchanged.

    None as well where they cannot be read.
    """
    for entry in reversed(_read(_file(stack), _stamp(stack))):
        if entry["keeper"] != keeper:
            try:
                return KeptSteps.from_json(entry["steps"])
            except Exception:  # noqa: BLE001 - written by another version, say
                return None
    return None


def forget(stack: Path, keeper: str) -> None:
    """Forget the steps that others took on ``stack``."""
    file, stamp = _file(stack), _stamp(stack)
    own = [entry for entry in _read(file, stamp) if entry["keeper"] == keeper]
    try:
        if own:
            atomic.write_json(file, {"stamp": stamp, "entries": own})
        else:
            atomic.removed(file)
    except OSError:
        return


def _file(stack: Path) -> Path:
    path = os.path.normcase(stack.absolute())
    name = hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest()[:24]
    return remembered.file("steps") / f"{name}.json"


def _stamp(stack: Path) -> list[int] | None:
    """Return what changes with the contents of a file, or of the files in a folder."""
    try:
        files = sorted(stack.iterdir()) if stack.is_dir() else [stack]
        files = [file for file in files if not _of_a_browser(file)]
        facts = [file.stat() for file in files]
    except OSError:
        return None
    sizes, times = (
        (fact.st_size for fact in facts),
        (fact.st_mtime_ns for fact in facts),
    )
    return [len(files), sum(sizes), max(times, default=0)]


def _of_a_browser(file: Path) -> bool:
    """Tell whether Finder or Explorer put a file where somebody has looked."""
    return file.name.startswith(".") or file.name.lower() in _OF_EXPLORER


def _read(file: Path, stamp: list[int] | None) -> list[dict[str, Any]]:
    """Return what is kept for a stack, unless the stack was written since."""
    try:
        value = atomic.read_json(file, _LARGEST)
        if stamp is None or value["stamp"] != stamp:
            return []
        return [
            entry for entry in value["entries"] if {"keeper", "steps"} <= set(entry)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _clear_out(folder: Path) -> None:
    for file in list(_newest_first(folder))[FILES:]:
        atomic.removed(file)


def _newest_first(folder: Path) -> Iterator[Path]:
    times = {}
    for file in folder.glob("*.json"):
        try:
            times[file] = file.stat().st_mtime_ns
        except OSError:
            continue
    yield from sorted(times, key=times.__getitem__, reverse=True)
