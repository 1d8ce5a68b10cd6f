"""Saving volumes and tilt series from napari's File menu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.series_layer import ALIGNED, KEY, files_of


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an image layer: a tilt series with its angles, or a volume (z, y, x)."""
    from napari_inr_tomo import io

    metadata = attributes.get("metadata", {})
    known = metadata.get(KEY)
    io.check_apart([Path(path)], files_of([metadata]))
    if known == ALIGNED:  # what is shown is for the eye only
        return [str(written) for written in io.write_series(Path(path), data.series)]
    if isinstance(known, TiltSeries) and np.shape(data) == known.images.shape:
        series = known.evolve(images=np.asarray(data, np.float32))
        return [str(written) for written in io.write_series(Path(path), series)]
    io.write_volume(Path(path), _volume(data, attributes, known))
    return [path]


def _volume(data: Any, attributes: dict[str, Any], known: Any) -> Volume:
    name = str(attributes.get("name", "volume"))
    if isinstance(known, Volume):
        return Volume(np.asarray(data), known.voxel_nm, name, known.history)
    unit = str((attributes.get("units") or ("pixel",))[-1])
    scale = attributes.get("scale")
    metric = unit in ("nm", "nanometer") and scale is not None
    return Volume(np.asarray(data), float(scale[-1]) if metric else None, name)
