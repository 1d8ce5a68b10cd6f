"""Microscope formats through rosettasciio: DM3, DM4, SER, EMI, HSPY, BCF.

rosettasciio is an optional dependency (the extra ``formats``) and is imported only when
such a file is opened.

Where the angles hide: DigitalMicrograph calibrates the stack axis (offset and scale in
"deg"), or lists them in ``Tomography``; ``Stage Alpha`` of a stack is the tilt of one
image only and is never used for more.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import (
    check_memory,
    is_degrees,
    is_radians,
    need_file,
    not_a_stack,
    reading,
    square_pixel,
    to_nm,
)
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.types import FloatArray

MICROSCOPE_SUFFIXES = (".dm3", ".dm4", ".ser", ".emi", ".hspy", ".bcf")

_MODULES = {
    "dm3": "digitalmicrograph",
    "dm4": "digitalmicrograph",
    "ser": "tia",
    "emi": "tia",
    "hspy": "hspy",
    "bcf": "bruker",
}
_DM = ("ImageList", "TagGroup0", "ImageTags")
_Found = tuple[FloatArray | None, str, list[str]]


def read_microscope(path: Path, kind: str | None = None) -> ImageStack:
    """Read the stack of a microscope file; ``kind`` is its suffix if not its own.

    Raises `UserError` if rosettasciio is missing or there is not exactly one stack.
    """
    with reading(path):
        sets = _datasets(path, kind)
        stacks = [item for item in sets if _plane(item) and item["data"].ndim == 3]
        if not stacks:
            raise not_a_stack(path, sets[0]["data"].shape if sets else ())
        if len(stacks) > 1:
            shapes = ", ".join(str(item["data"].shape) for item in stacks[:5])
            raise UserError(
                f"{path.name} holds more than one stack of images",
                f"their shapes are {shapes}",
                "Export the tilt series alone to a file of its own",
            )
        item = stacks[0]
        data = np.asarray(item["data"])
        _check(path, data)
        angles, source, doubts = _angles(item, len(data))
        size, doubt = _pixel_size(item["axes"])
        return ImageStack(
            data,
            name=path.stem,
            angles_deg=angles,
            angle_source=source,
            pixel_size_nm=size,
            doubts=(doubt,) if doubt else (),
            angle_doubts=tuple(doubts),
        )


def read_microscope_image(
    path: Path,
) -> tuple[NDArray[Any], float | None, float | None]:
    """Return a file's image (y, x), its pixel size in nm and stage tilt in degrees."""
    with reading(path):
        sets = _datasets(path, None)
        images = [item for item in sets if _plane(item) and item["data"].ndim == 2]
        if len(images) != 1:
            haadf = [item for item in images if "HAADF" in _title(item)]
            if len(haadf) != 1:
                raise UserError(
                    f"{path.name} is not a single image",
                    f"it holds {len(images)} images, and every file of a folder is "
                    "one tilt",
                    "Open the file itself, or keep only single images in the folder",
                )
            images = haadf
        item = images[0]
        data = np.asarray(item["data"])
        _check(path, data)
        size, _ = _pixel_size(item["axes"])
        return data, size, _stage_tilt(item.get("original_metadata", {}))


def _datasets(path: Path, kind: str | None) -> list[dict[str, Any]]:
    need_file(path)
    suffix = kind or path.suffix.lower().lstrip(".")
    try:
        module = importlib.import_module(f"rsciio.{_MODULES[suffix]}")
    except ImportError as error:
        raise UserError(
            f"{path.name} needs the optional package rosettasciio",
            f".{suffix} files are read by it, and it is not installed",
            'Install it with: pip install "napari-inr-tomo[formats]"',
        ) from error
    # a .bcf holds a spectrum at every pixel; only its images are wanted
    options = {"select_type": "image"} if suffix == "bcf" else {}
    found = module.file_reader(str(path), **options)
    return [item for item in found if isinstance(item.get("data"), np.ndarray)]


def _check(path: Path, data: NDArray[Any]) -> None:
    if 0 in data.shape:
        raise not_a_stack(path, data.shape)
    if data.dtype.kind not in "uif":
        raise UserError(
            f"The pixels of {path.name} cannot be used",
            f"they are of the type {data.dtype}",
            "Export the stack as integers or floating-point numbers",
        )
    check_memory(path, data.size * 4)


def _plane(item: dict[str, Any]) -> bool:
    """Return whether the last two axes are those of an image, not of a spectrum."""
    units = [str(axis.get("units") or "") for axis in item["axes"][-2:]]
    return len(units) == 2 and not any("eV" in unit for unit in units)


def _title(item: dict[str, Any]) -> str:
    return str(_get(item, "metadata", "General", "title") or "").upper()


def _get(tree: Any, *keys: str) -> Any:
    """Return an entry of nested dicts, or None."""
    for key in keys:
        if not isinstance(tree, dict) or key not in tree:
            return None
        tree = tree[key]
    return tree


def _pixel_size(axes: list[dict[str, Any]]) -> tuple[float | None, str | None]:
    sizes = [
        to_nm(abs(float(axis.get("scale") or 0)), str(axis.get("units") or ""))
        for axis in axes[-2:]
    ]
    size, doubt = square_pixel(sizes[1], sizes[0])
    return (float(f"{size:.9g}") if size else None), doubt


def _angles(item: dict[str, Any], count: int) -> _Found:
    """Return the angles of a stack, their source, and doubts about them."""
    axis = item["axes"][0]
    unit = str(axis.get("units") or "")
    scale, offset = float(axis.get("scale") or 0), float(axis.get("offset") or 0)
    if (is_degrees(unit) or is_radians(unit)) and scale:
        values = np.asarray(offset + scale * np.arange(count), np.float64)
        words = f"calibration of the stack axis ({offset:g} + {scale:g} per image)"
        if is_radians(unit):
            return np.rad2deg(values), f"{words}, given there in radians", []
        return values.round(9), words, []
    original = item.get("original_metadata", {})
    listed = _get(item, "metadata", "Tomography", "tilts")
    if listed is not None and np.size(listed) == count:
        return np.asarray(listed, np.float64).ravel(), "metadata Tomography.tilts", []
    setup = _get(original, *_DM, "Tomography")
    if isinstance(setup, dict):
        values_, source = _from_setup(setup, count)
        if values_ is not None:
            return values_, source, []
    one = _stage_tilt(original)
    if one is None:
        return None, "", []
    return (
        None,
        "",
        [
            f"The stage tilt in the file ({one:.4g} degrees) is that of one image, "
            "not of every image."
        ],
    )


def _from_setup(tree: dict[str, Any], count: int) -> tuple[FloatArray | None, str]:
    """Return the angles in DigitalMicrograph's Tomography tags.

    The tracking data name the place of every angle in the stack; else the plan (from
    minimum to maximum in equal steps) counts if it fits the number of images.
    """
    tracked = _get(tree, "Tracking data", "Online tracking data")
    if isinstance(tracked, dict):
        place = {
            int(entry["Index in series"]): float(entry["stage angle (degree)"])
            for entry in tracked.values()
            if isinstance(entry, dict)
            and "Index in series" in entry
            and "stage angle (degree)" in entry
        }
        if all(i in place for i in range(count)) and max(place) == count - 1:
            values = [place[i] for i in range(count)]
            return np.array(values), "Tomography tracking data of DigitalMicrograph"
    plan = _get(tree, "Tomography setup", "Tilt angles")
    if not isinstance(plan, dict):
        return None, ""
    low = plan.get("Minimum tilt angle (deg)")
    high = plan.get("Maximum tilt angle (deg)")
    step = plan.get("Tilt angle step (deg)")
    if low is None or high is None or not step or plan.get("Tilt model") != "equal":
        return None, ""
    planned = (float(high) - float(low)) / float(step)
    if not math.isclose(planned, count - 1, abs_tol=1e-3):
        return None, ""
    angles = np.asarray(float(low) + float(step) * np.arange(count), np.float64)
    return angles, "Tomography setup of DigitalMicrograph, minimum to maximum"


def _stage_tilt(original: Any) -> float | None:
    """Return the stage tilt of a single image in degrees, or None."""
    for keys in (
        (*_DM, "Microscope Info", "Stage Position", "Stage Alpha"),
        ("ObjectInfo", "ExperimentalDescription", "Stage A_deg"),
    ):
        value = _get(original, *keys)
        if value is not None:
            return float(value) + 0.0
    return None
