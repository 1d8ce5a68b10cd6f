"""Velox .emd: images (y, x, frame) with one JSON text of metadata per frame."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import damaged, not_a_stack, square_pixel, to_nm
from napari_inr_tomo.io.hdf5 import load
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.types import FloatArray


def read_velox(path: Path, file: Any) -> ImageStack:
    """Read the image stack of an open Velox file.

    Angles are ``Stage.AlphaTilt`` of every frame, stored in radians.  Raises
    `UserError` if there is no stack, or several of which none is HAADF.
    """
    groups = [
        group
        for group in file["Data/Image"].values()
        if isinstance(group, h5py.Group) and isinstance(group.get("Data"), h5py.Dataset)
    ]
    if not groups:
        raise UserError(
            f"There are no images in {path.name}",
            "this Velox file holds spectra or nothing at all",
            "Choose the file of the tilt series",
        )
    stacks = [g for g in groups if g["Data"].ndim == 3 and g["Data"].shape[2] > 1]
    if not stacks:
        raise not_a_stack(path, groups[0]["Data"].shape[:2])
    doubts: list[str] = []
    group = stacks[0]
    if len(stacks) > 1:
        names = [_detector(_frame(stack, 0)) for stack in stacks]
        if names.count("HAADF") != 1:
            raise UserError(
                f"{path.name} holds more than one stack of images",
                f"their detectors are {', '.join(names[:6])}",
                "Export the tilt series alone to a file of its own",
            )
        group = stacks[names.index("HAADF")]
        doubts.append(f"Of the stacks {', '.join(names)} the one of HAADF is used.")
    images = load(path, group["Data"], (2, 0, 1))
    frames = [_frame(group, i) for i in range(len(images))]
    angles, doubt = _angles(path, frames)
    size, oblong = _pixel_size(frames[0])
    if oblong:
        doubts.append(oblong)
    return ImageStack(
        images,
        name=path.stem,
        angles_deg=angles,
        angle_source="" if angles is None else "Stage.AlphaTilt of every Velox frame",
        pixel_size_nm=size,
        doubts=tuple(doubts),
        angle_doubts=(doubt,) if doubt else (),
    )


def _frame(group: Any, index: int) -> dict[str, Any]:
    """Return the metadata of a frame; an empty dict where the file has none."""
    table = group.get("Metadata")
    if not isinstance(table, h5py.Dataset) or table.ndim != 2:
        return {}
    if index >= table.shape[1]:
        return {}
    data = np.asarray(table[:, index], np.uint8).tobytes().rstrip(b"\0")
    value = json.loads(data.decode("utf-8", "replace")) if data else {}
    return value if isinstance(value, dict) else {}


def _detector(frame: dict[str, Any]) -> str:
    return str(frame.get("BinaryResult", {}).get("Detector", "unknown"))


def _angles(
    path: Path, frames: list[dict[str, Any]]
) -> tuple[FloatArray | None, str | None]:
    texts = [frame.get("Stage", {}).get("AlphaTilt") for frame in frames]
    known = [float(value) for value in texts if value is not None]
    if not known:
        return None, None
    if not all(math.isfinite(value) for value in known):
        raise damaged(path, "a tilt angle of a frame is not a number")
    if len(known) < len(frames):
        return None, (
            f"Only {len(known)} of {len(frames)} frames carry their tilt angle; none "
            "is used."
        )
    return np.rad2deg(np.asarray(known)).round(6), None


def _pixel_size(frame: dict[str, Any]) -> tuple[float | None, str | None]:
    result = frame.get("BinaryResult", {})
    size = result.get("PixelSize", {})
    return square_pixel(
        to_nm(float(size.get("width", 0)), str(result.get("PixelUnitX", "m"))),
        to_nm(float(size.get("height", 0)), str(result.get("PixelUnitY", "m"))),
    )
