"""SerialEM's .mdoc: one section of "key = value" lines per image.

Sections [ZValue = n] number the images of a stack; [FrameSet = n] sections follow the
order of acquisition.  See SerialEM's manual, "About autodoc files".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import read_text, to_nm
from napari_inr_tomo.types import FloatArray

_SECTION = re.compile(r"\[\s*(\w+)\s*=\s*(.*?)\s*\]")
_AXIS = re.compile(r"tilt axis angle\s*=\s*([+-]?\d+(?:\.\d*)?)", re.I)


@dataclass(frozen=True)
class Mdoc:
    """What an .mdoc says.

    tilts_deg: one number per image in the order of the stack, None where it is absent.
    axis_deg: the nominal tilt axis of the header, IMOD's sense, or None.
    """

    name: str
    tilts_deg: tuple[float | None, ...]
    pixel_size_nm: float | None
    axis_deg: float | None
    notices: tuple[str, ...] = ()

    def angles(self) -> FloatArray:
        """Return (tilt,) float64 degrees; raises `UserError` if one is missing."""
        missing = [i for i, tilt in enumerate(self.tilts_deg) if tilt is None]
        if missing or not self.tilts_deg:
            raise UserError(
                f"There are no complete tilt angles in {self.name}",
                f"{len(missing)} of its {len(self.tilts_deg)} sections have no "
                "TiltAngle"
                if missing
                else "it has no section [ZValue = n] or [FrameSet = n]",
                "Give the angles as a text file or as start:stop:step",
            )
        return np.asarray(self.tilts_deg, np.float64)


def read_mdoc(path: Path) -> Mdoc:
    """Read an .mdoc; raises `UserError` if it is not text or a number is garbled."""
    sections: list[tuple[str, str, dict[str, str]]] = []
    header: dict[str, str] = {}
    axis: float | None = None
    current = header
    for line in read_text(path).splitlines():
        found = _AXIS.search(line)
        if found and axis is None:
            axis = float(found.group(1))
        section = _SECTION.match(line.strip())
        if section:
            current = {}
            sections.append((section.group(1), section.group(2), current))
        elif "=" in line:
            key, _, value = line.partition("=")
            current[key.strip()] = value.strip()
    images = [entry for entry in sections if entry[0] in ("ZValue", "FrameSet")]
    kept, notices = _stack_order(images, path.name)
    spacing = header.get("PixelSpacing") or next(
        (values["PixelSpacing"] for values in kept if "PixelSpacing" in values), ""
    )
    return Mdoc(
        path.name,
        tuple(_tilt(values, path.name) for values in kept),
        to_nm(_positive(spacing), "A"),
        axis,
        tuple(notices),
    )


def _stack_order(
    images: list[tuple[str, str, dict[str, str]]], name: str
) -> tuple[list[dict[str, str]], list[str]]:
    if not images or any(kind == "FrameSet" for kind, _, _ in images):
        many = len(images) > 1
        note = f"The sections of {name} are taken in the order of acquisition."
        return [values for _, _, values in images], [note] if many else []
    by_z: dict[int, dict[str, str]] = {}
    repeated = 0
    for _, number, values in images:
        try:
            z = int(number)
        except ValueError as error:
            raise UserError(
                f"{name} is damaged",
                f"a section is called [ZValue = {number[:20]}]",
                "Give the angles as a text file or as start:stop:step",
            ) from error
        repeated += z in by_z
        by_z[z] = values
    notices = []
    if repeated:
        notices.append(
            f"{name} describes {repeated} images twice; the later entry counts."
        )
    if len(by_z) != max(by_z) - min(by_z) + 1:
        # the numbers may be anything, and so may be the length of the range
        gaps = (z for z in range(min(by_z), max(by_z) + 1) if z not in by_z)
        shown = ", ".join(str(z) for z in islice(gaps, 10))
        notices.append(
            f"{name} is a sub-set: the images {shown} of the numbering are missing."
        )
    return [by_z[z] for z in sorted(by_z)], notices


def _tilt(values: dict[str, str], name: str) -> float | None:
    text = values.get("TiltAngle")
    if text is None:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise UserError(
            f"A tilt angle in {name} is not a number",
            f"it says TiltAngle = {text[:20]}",
            "Correct the file or give the angles as start:stop:step",
        ) from error


def _positive(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
