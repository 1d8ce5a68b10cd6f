"""Angles of tilts that are still to come: by their place in the order, or by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angle_spec import (
    AngleSpec,
    angle_in_name,
    changed,
    given_angles,
)
from napari_inr_tomo.io.angles import Angles
from napari_inr_tomo.io.folder import angles_from_names
from napari_inr_tomo.types import FloatArray

_ONE_BY_ONE = ("radians", "negated")
_MOST_TILTS = 100_000


@dataclass(frozen=True, eq=False)
class ExpectedAngles:
    """What is known beforehand of the angles.

    in_order: (tilt,) degrees in the order of arrival.  pattern: its first group is the
    angle in a name.  only_names: the names count and nothing else.  words: changes of
    an angle that is found in a name.
    """

    in_order: FloatArray | None = None
    pattern: re.Pattern[str] | None = None
    only_names: bool = False
    words: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, angles: Angles | None, pattern: str | None, in_folder: bool
    ) -> ExpectedAngles:
        """Return them; see `watch` for the arguments.

        in_folder: there is one file a tilt, so that a name can hold an angle.
        Raises `UserError` for what is not understood or needs to know all tilts.
        """
        if angles is None:
            return cls(None, _compiled(pattern), bool(pattern))
        if pattern:
            raise UserError(
                "Angles and a pattern cannot be used together",
                "each of them says where the angles come from",
                "Leave one of them out",
            )
        if not isinstance(angles, str | Path):
            return cls(given_angles(angles)[0])
        spec = AngleSpec.parse(str(angles))
        if not (spec.endless or (spec.by_name and in_folder)):
            return cls(given_angles(angles)[0])
        for word in spec.words:
            if word not in _ONE_BY_ONE:
                raise UserError(
                    f"+{word} cannot be used with {spec.source} here",
                    "it is about a whole list, and how many tilts will come is not "
                    "known",
                    "Write the angles as start:stop:step, or leave it out",
                )
        if spec.endless:
            return cls(given_angles(angles, _MOST_TILTS)[0])
        return cls(None, _compiled(spec.pattern), True, spec.words)

    def in_name(self, name: str, others: list[str]) -> float | None:
        """Return the angle in a name, None where it is not plain.

        others: all names so far, this one among them, read together without a pattern;
        where that tells nothing, those that differ from this one in numbers only, as
        long as they are the most.
        """
        if self.pattern is None:
            angle = _read_together(name, others)
            if angle is None:  # a name of another kind must not keep these back
                alike = [n for n in others if _kind(n) == _kind(name)]
                if 2 * len(alike) > len(others):
                    angle = _read_together(name, alike)
        else:
            try:
                angle = angle_in_name(self.pattern, name)
            except UserError:
                angle = None
        if angle is None or not np.isfinite(angle):
            return None
        return float(changed(np.array([angle]), self.words)[0])


def _read_together(name: str, names: list[str]) -> float | None:
    found = angles_from_names([Path(other).stem for other in names])
    return None if found is None else float(found[names.index(name)])


def _kind(name: str) -> str:
    """Return a name without its numbers."""
    return re.sub(r"[-+]?\d+(\.\d+)?", "#", name)


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if not pattern:
        return None
    why = "it has no group, e.g. (-?\\d+\\.?\\d*), that is the angle"
    try:
        compiled = re.compile(pattern)
        if compiled.groups:
            return compiled
    except re.error as error:
        why = str(error)
    raise UserError(
        f"The pattern {pattern!r} cannot be used",
        why,
        r"Write e.g. _(-?\d+\.?\d*)\.tif",
    )
