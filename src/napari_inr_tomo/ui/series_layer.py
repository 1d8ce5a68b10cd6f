"""Tilt series and volumes as napari layers, and back.

A tilt series is an Image layer (tilt, y, x) whose ``metadata[KEY]`` holds the
`TiltSeries`; a volume is one (z, y, x) whose ``metadata[KEY]`` holds the `Volume`.
The first axis of a layer has the scale of the others.  Layers with different pixels, or
with none known, therefore step differently: the session lets napari's slider have one
position for every tilt, or slice, of what is shown.  napari has no unit for layers with
and without a known pixel size together; it says so and counts without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inr_tomo.mapped import MappedImages
from napari_inr_tomo.types import Step, TiltSeries, Volume

if TYPE_CHECKING:
    from napari.layers import Layer

KEY = "napari_inr_tomo"
FROZEN = "napari_inr_tomo_frozen"
FILE = "napari_inr_tomo_file"
EDITED = "edited_in_napari"
ALIGNED = "aligned tilts"
"""What is under `KEY` in the layer that shows a series aligned."""
STACK_LABELS = ("tilt", "y", "x")
VOLUME_LABELS = ("z", "y", "x")

LayerData = tuple[Any, dict[str, Any], str]


def pixel_and_unit(size_nm: float | None) -> tuple[float, str]:
    """Return the edge of a pixel on the canvas and its unit."""
    return (1.0, "pixel") if size_nm is None else (float(size_nm), "nm")


def picture_pixel(size_nm: float | None) -> tuple[float, str]:
    """Return the edge of a pixel and its unit for the scale bar of a picture."""
    pixel, unit = pixel_and_unit(size_nm)
    return pixel, unit.replace("pixel", "px")


def place_words(place_px: float, size_nm: float | None, digits: int = 1) -> str:
    """Return a place from the centre in words: ``+40.0 px (+20 nm)``."""
    nm = "" if size_nm is None else f" ({place_px * size_nm:+.3g} nm)"
    return f"{place_px:+.{digits}f} px{nm}"


def space(size_nm: float | None, labels: tuple[str, ...]) -> dict[str, Any]:
    """Return scale, units and axis labels of a layer with these axes."""
    pixel, unit = pixel_and_unit(size_nm)
    count = len(labels)
    return {
        "scale": (pixel,) * count,
        "units": (unit,) * count,
        "axis_labels": labels,
    }


def contrast(data: np.ndarray) -> tuple[float, float]:
    """Return display limits that leave out the brightest 0.1 per cent of the pixels."""
    sample = _sample(data)
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.quantile(sample, [0.001, 0.999]))
    return (low, high) if high > low else value_range(data)


def value_range(data: np.ndarray) -> tuple[float, float]:
    """Return about the lowest and the highest finite value, never equal."""
    sample = _sample(data)
    if not sample.size:
        return 0.0, 1.0
    low, high = float(sample.min()), float(sample.max())
    return (low, high) if high > low else (low, low + 1)


def _sample(data: np.ndarray) -> np.ndarray:
    """Return up to half a million finite values: the window must not wait for all."""
    if isinstance(data, MappedImages):  # some images of it
        some = range(0, len(data), len(data) // 8 + 1)
        data = np.concatenate([_sample(data[tilt]) for tilt in some])
    values = np.asarray(data).reshape(-1)
    values = values[:: max(1, values.size // 500_000)]
    return values[np.isfinite(values)]


def series_layer_data(series: TiltSeries) -> LayerData:
    """Return what napari needs to show a tilt series as an Image layer."""
    options = {
        "name": series.name,
        "metadata": {KEY: series},
        "contrast_limits": contrast(series.images),
        "colormap": "gray",
        **space(series.pixel_size_nm, STACK_LABELS),
    }
    return series.images, options, "image"


def volume_layer_data(volume: Volume, name: str | None = None) -> LayerData:
    """Return what napari needs to show a volume as an Image layer."""
    options = {
        "name": name or volume.name,
        "metadata": {KEY: volume},
        "contrast_limits": contrast(volume.data),
        "colormap": "gray",
        **space(volume.voxel_nm, VOLUME_LABELS),
    }
    return volume.data, options, "image"


def is_series_layer(layer: Layer | None) -> bool:
    """Tell whether a layer carries a tilt series."""
    return layer is not None and isinstance(layer.metadata.get(KEY), TiltSeries)


def is_ours(layer: Layer) -> bool:
    """Tell whether a layer is the plugin's: a series, a volume, or drawn of a run."""
    return KEY in layer.metadata


def series_of(layer: Layer) -> TiltSeries:
    """Return the tilt series of a layer, with the pixels the layer shows now.

    Pixels changed by another plugin or by hand are taken over, with a line in the
    history; excluded views, angles and poses stay with them.
    """
    series: TiltSeries = layer.metadata[KEY]
    shown = layer.data
    if shown is series.images or is_replaced(layer):
        return series
    edited = series.evolve(Step(EDITED), images=np.asarray(shown))
    layer.metadata[KEY] = edited
    return edited


def is_replaced(layer: Layer) -> bool:
    """Tell whether the pixels of a series' layer were replaced by another number."""
    series: TiltSeries = layer.metadata[KEY]
    return np.shape(layer.data) != series.images.shape


def plain_stack(viewer: Any) -> Any:
    """Return the selected layer if it is a three-dimensional image without angles."""
    layer = None if viewer is None else viewer.layers.selection.active
    layer = getattr(layer, "__wrapped__", layer)
    if layer is None or layer.metadata.get(KEY) is ALIGNED:
        return None
    if is_series_layer(layer) and not is_replaced(layer):
        return None
    fits = type(layer).__name__ == "Image" and layer.ndim == 3
    return layer if fits and not layer.rgb and not layer.multiscale else None


def size_of(layer: Layer) -> float | None:
    """Return the size of a layer's pixels in nm, or None where it is unknown."""
    unit = str(layer.units[-1])
    return float(layer.scale[-1]) if unit in ("nm", "nanometer") else None


def set_series(layer: Layer, series: TiltSeries) -> None:
    """Make a layer show another state of its tilt series."""
    before: TiltSeries = layer.metadata[KEY]
    changed = series.images is not layer.data
    layer.metadata[KEY] = series
    if changed:
        layer.data = series.images
        layer.contrast_limits_range = value_range(series.images)
        layer.contrast_limits = contrast(series.images)
    if before.pixel_size_nm != series.pixel_size_nm:
        for name, value in space(series.pixel_size_nm, STACK_LABELS).items():
            setattr(layer, name, value)


def files_of(metadata: Iterable[dict[str, Any]]) -> list[Path]:
    """Return the files that layers with this ``metadata`` were read from."""
    return [Path(one[FILE]) for one in metadata if FILE in one]


def unchanged_file(layer: Layer) -> str:
    """Return the file that a plain image shows as it was read, or an empty string."""
    known = layer.metadata.get(KEY)
    as_read = isinstance(known, Volume) and known.data is layer.data
    return str(layer.metadata.get(FILE, "")) if as_read else ""


def frozen_of(layer: Layer | None) -> tuple[int, ...]:
    """Return the tilts whose pose a reconstruction is to leave as it is."""
    return () if layer is None else tuple(layer.metadata.get(FROZEN, ()))


def set_frozen(layer: Layer, tilt: int, frozen: bool) -> None:
    """Freeze the pose of a tilt, or let it be refined again."""
    others = set(frozen_of(layer)) - {tilt}
    layer.metadata[FROZEN] = sorted(others | {tilt} if frozen else others)


def volume_of(layer: Layer) -> Volume | None:
    """Return the volume of a layer, named like it; None for anything but 3-D images."""
    if is_series_layer(layer) or type(layer).__name__ != "Image":
        return None
    if layer.ndim != 3 or getattr(layer, "rgb", False) or layer.multiscale:
        return None
    known = layer.metadata.get(KEY)
    if known is ALIGNED:
        return None
    if isinstance(known, Volume):
        if known.data is layer.data and known.name == layer.name:
            return known
        return replace(known, data=np.asarray(layer.data), name=layer.name)
    return Volume(np.asarray(layer.data), size_of(layer), layer.name)
