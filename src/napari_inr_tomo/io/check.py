"""Say in words everything that is wrong with a file (``inr-tomo validate``)."""

from __future__ import annotations

import io
from pathlib import Path

import mrcfile

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import reading
from napari_inr_tomo.io.npy import volume_record
from napari_inr_tomo.io.read import read_images
from napari_inr_tomo.io.stack import doubts_about, no_angles
from napari_inr_tomo.io.volume import read_volume

_MRC = (".mrc", ".st", ".ali", ".rec", ".mrcs")


def check_file(path: str | Path) -> list[str]:
    """Return one sentence per problem of a stack (or .ome.zarr); none for a sound one.

    Problems are errors that prevent opening it, missing or doubtful angles, doubtful
    pixels, and for MRC files every departure from the MRC2014 standard.
    """
    path = Path(path)
    try:
        if path.name.endswith(".zarr"):
            read_volume(path)
            return []
        stack = read_images(path)
    except UserError as error:
        return [str(error), *_mrc_standard(path)]
    problems = list(stack.doubts)
    if stack.angles_deg is None:
        volume = "If it is a volume, check it with --volume."
        problems.append(f"{no_angles(stack)} {volume}")
    else:
        problems += stack.angle_doubts
        try:
            stack.with_angles()
        except UserError as error:
            problems.append(str(error))
        problems += doubts_about(stack.angles_deg)
    return problems + _mrc_standard(path)


def says_volume(path: str | Path) -> bool:
    """Return whether a file says that it is a volume, and nothing gives it angles.

    That is said by the space group 1 of an MRC file, and by the record beside a .npy.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            return volume_record(path) is not None
        if path.suffix.lower() not in (".mrc", ".rec") or not path.is_file():
            return False
        with mrcfile.open(path, permissive=True, header_only=True) as file:
            group = int(file.header.ispg)
        stack = read_images(path)
        return group == 1 and stack.angles_deg is None and not stack.angle_doubts
    except (UserError, OSError, ValueError):
        return False  # what is wrong with it is found by the check


def _mrc_standard(path: Path) -> list[str]:
    """Return what mrcfile's validator finds in the header of an MRC file."""
    if path.suffix.lower() not in _MRC or not path.is_file():
        return []
    report = io.StringIO()
    try:
        with reading(path):
            mrcfile.validate(path, print_file=report)
    except UserError:
        return []
    lines = [line.strip().rstrip(".") for line in report.getvalue().splitlines()]
    verdicts = ("Checking if", "File appears", "File does not appear")
    return [
        f"MRC2014 standard: {line}."
        for line in lines
        if line and not line.startswith(verdicts)
    ]
