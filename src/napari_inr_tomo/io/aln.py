"""AreTomo's .aln files: one line per image, "SEC ROT GMAG TX TY ... TILT".

AreTomo samples the raw image at R(rot) u + (TX, TY), with u in the aligned image whose
tilt axis is Y, so the content of a raw image lies at +(TX, TY); beside an .aln it
writes an .xf of IMOD with A11 = cos ROT, A12 = sin ROT and D = -A (TX, TY).  With
`napari_inr_tomo.io.xf` this is

    ROT = z3 - 90,   TX = dx,   TY = dy,   counted along the rows and columns stored.

TILT is the nominal angle plus the header's AlphaOffset.  Images AreTomo has thrown away
stand in the header as DarkFrame.  SEC counts from 1 (AreTomo3) or from 0 (before).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from napari_inr_tomo.atomic import write_bytes
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import read_text, writing
from napari_inr_tomo.io.xf import mean_angle, wrapped
from napari_inr_tomo.types import Alignment, FloatArray, Poses

_COLUMNS = "SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT"  # noqa: E501
_LARGEST_STRETCH = 0.02


def read_aln(path: str | Path) -> Alignment:
    """Return the alignment in a file of AreTomo, in the order of the sections.

    The angles are the nominal ones (TILT without AlphaOffset); dark images are not
    used.  z1 is minus the mean z3, as in `napari_inr_tomo.io.read_xf`.
    Local shifts are left out with a notice.  Raises `UserError` for a garbled file.
    """
    path = Path(path)
    header, table = _parts(path)
    if (np.abs(table[:, 2] - 1) > _LARGEST_STRETCH).any():
        raise UserError(
            f"The alignment in {path.name} stretches the images",
            "its column GMAG is not 1, and a pose can only turn and shift an image",
            "Bring the stack to one magnification first, or align it here",
        )
    offset = _value(header, "AlphaOffset")
    dark = _dark_frames(header)
    z3 = wrapped(table[:, 1] + 90)
    axis = mean_angle(z3)
    rows = np.zeros((len(table) + len(dark), 7))
    rows[: len(table)] = np.column_stack(
        [
            table[:, 0],
            table[:, 9] - offset,
            np.full(len(table), -axis),
            z3,
            table[:, 3],
            table[:, 4],
            np.ones(len(table)),
        ]
    )
    for row, (section, angle) in zip(rows[len(table) :], dark, strict=True):
        row[:] = section, angle, -axis, axis, 0, 0, 0
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    notices = []
    if offset:
        notices.append(
            f"{path.name} adds {offset:g} degrees to every tilt angle, the tilt of the "
            "specimen itself; the angles of the stack stay as they are."
        )
    if _value(header, "NumPatches"):
        notices.append(f"The local shifts in {path.name} are not used.")
    return Alignment(
        Poses.from_array(rows[:, 2:6]),
        rows[:, 1],
        rows[:, 6] == 1,
        shape_yx=_raw_size(header),
        name=path.name,
        notices=tuple(notices),
    )


def write_aln(path: str | Path, alignment: Alignment) -> None:
    """Write an alignment in the format of AreTomo3: sections from 1, sorted by angle.

    Excluded views become dark frames.  What z1 differs between the tilts has no place
    in it.  The alignment needs angles and the size of the images.
    """
    if alignment.angles_deg is None or alignment.shape_yx is None:
        raise ValueError("an .aln file needs angles and the size of the images")
    angles, poses = alignment.angles_deg, alignment.poses
    used = np.ones(len(poses), bool) if alignment.used is None else alignment.used
    order = np.argsort(angles, kind="stable")
    rows, columns = alignment.shape_yx
    lines = [
        "# AreTomo Alignment / Priims bprmMn",
        f"# RawSize = {columns} {rows} {len(poses)}",
        "# NumPatches = 0",
        *(
            f"# DarkFrame =  {place:4d} {tilt + 1:4d} {angles[tilt]:8.2f}"
            for place, tilt in enumerate(order)
            if not used[tilt]
        ),
        "# AlphaOffset =     0.00",
        "# BetaOffset =     0.00",
        f"# {_COLUMNS}",
    ]
    rot = wrapped(poses.z3_deg - 90)
    lines += [
        f"{tilt + 1:5d}  {rot[tilt] + 0.0:9.4f}  {1.0:9.5f}  "
        f"{poses.dx_px[tilt] + 0.0:9.3f}  {poses.dy_px[tilt] + 0.0:9.3f}  "
        f"{1.0:7.2f}  {1.0:7.2f}  {1.0:7.2f}  {0.0:7.2f}  {angles[tilt]:8.2f}"
        for tilt in order
        if used[tilt]
    ]
    path = Path(path)
    with writing(path):
        write_bytes(path, ("\n".join(lines) + "\n").encode())


def _parts(path: Path) -> tuple[str, FloatArray]:
    """Return the header lines and the table (image, 10) of the global alignment."""
    header: list[str] = []
    table: list[list[float]] = []
    for line in read_text(path).splitlines():
        if line.lstrip().startswith("#"):
            if "Local Alignment" in line:
                break
            header.append(line)
            continue
        words = line.split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) == 10 and np.isfinite(values).all():
            table.append(values)
        elif table and words:
            raise _garbled(path)
    if not table:
        raise _garbled(path)
    return "\n".join(header), np.asarray(table, np.float64)


def _garbled(path: Path) -> UserError:
    return UserError(
        f"{path.name} is not an alignment of AreTomo",
        "an .aln file has ten numbers per line, one line per image",
        "Choose the .aln file that AreTomo wrote beside the aligned stack",
    )


def _value(header: str, name: str) -> float:
    found = re.search(rf"#\s*{name}\s*=\s*([+-]?\d+(?:\.\d+)?)", header)
    return float(found.group(1)) if found else 0.0


def _raw_size(header: str) -> tuple[int, int] | None:
    found = re.search(r"#\s*RawSize\s*=\s*(\d+)\s+(\d+)", header)
    if found is None or "0" in found.groups():
        return None
    return int(found.group(2)), int(found.group(1))


def _dark_frames(header: str) -> list[tuple[float, float]]:
    """Return section and tilt angle of every image that was thrown away."""
    pattern = r"#\s*DarkFrame\s*=\s*\d+\s+(\d+)\s+([+-]?\d+(?:\.\d+)?)"
    return [
        (float(section), float(angle)) for section, angle in re.findall(pattern, header)
    ]
