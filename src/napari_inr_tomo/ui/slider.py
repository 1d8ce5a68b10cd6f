"""napari's one slider, for the tilts of a stack and for the slices of a volume."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_inr_tomo.ui.series_layer import STACK_LABELS, VOLUME_LABELS

if TYPE_CHECKING:
    from napari.layers import Layer

CUTS = (STACK_LABELS[0], VOLUME_LABELS[0])


def is_cut(layer: Layer) -> bool:
    """Tell whether a layer is a stack of tilts or a volume."""
    image = type(layer).__name__ == "Image" and layer.ndim >= 3
    return image and cut_along(layer) in CUTS


def cut_along(layer: Layer) -> str:
    """Return what a layer is cut along, "tilt" or "z" for those of the plugin."""
    return str(layer.axis_labels[-3])


class Slider:
    """Named after what is shown, with one position for every tilt or slice of it."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        self._named = ""
        self._left_at: dict[str, float] = {}
        self._at: float | None = None
        """Where it is to stay while its range changes."""
        self._held: float | None = None
        """Where it stands whatever napari makes of it meanwhile."""
        viewer.dims.events.axis_labels.connect(self.follow)
        viewer.dims.events.range.connect(self._on_range, position="last")
        for layer in viewer.layers:
            layer.events.visible.connect(self.follow)

    def watch(self, layer: Layer) -> None:
        """Follow a new layer as well."""
        layer.events.visible.connect(self.follow)
        self.follow()

    def release(self) -> None:
        """Leave the slider to napari."""
        viewer = self._viewer()
        if viewer is not None:
            viewer.dims.events.axis_labels.disconnect(self.follow)
            viewer.dims.events.range.disconnect(self._on_range)
            for layer in viewer.layers:
                layer.events.visible.disconnect(self.follow)

    @property
    def image(self) -> Layer | None:
        """The shown stack or volume on top."""
        viewer = self._viewer()
        for layer in reversed([] if viewer is None else viewer.layers):
            if layer.visible and is_cut(layer):
                return layer
        return None

    @property
    def name(self) -> str | None:
        """What the shown image on top is cut along: "tilt", "z" or None."""
        layer = self.image
        return None if layer is None else cut_along(layer)

    def follow(self, *_: Any) -> None:
        """Take the name and the steps of what is shown, and go there."""
        viewer, name = self._viewer(), self.name
        if viewer is None or viewer.dims.ndim < 3:
            return
        labels, axis = list(viewer.dims.axis_labels), viewer.dims.ndim - 3
        if name is not None and labels[axis] != name:
            labels[axis] = name
            viewer.dims.axis_labels = tuple(labels)
        self._fit(self._turned(name))

    def left_at(self, name: str, otherwise: float) -> float:
        """Return the position that was left when something else was shown."""
        return self._left_at.get(name, otherwise)

    def stretch(self, name: str, zoom: float) -> None:
        """Note that what was left at a position has another scale now."""
        if name in self._left_at:
            self._left_at[name] *= zoom

    @contextmanager
    def still(self) -> Iterator[None]:
        """Stay at a position while what is shown gets coarser or finer.

        Of an image that has its new pixels, but not yet their new size, napari cuts
        off what lies beyond, and Qt keeps the number of a step and not its place.
        """
        viewer = self._viewer()
        if viewer is None or viewer.dims.ndim < 3:
            yield
            return
        at = self._held = float(viewer.dims.point[viewer.dims.ndim - 3])
        try:
            yield
        finally:
            self._held = None
            self._fit(at)

    def _turned(self, name: str | None) -> float:
        """Return where to stand: at the tilt or the slice that was left.

        Where none was, at the middle one.  Slice 130 of a volume is no tilt of a stack
        of 61.
        """
        dims, layer, before = self._viewer().dims, self.image, self._named
        stay = self._at if self._held is None else self._held
        now = float(dims.point[dims.ndim - 3] if stay is None else stay)
        self._named = name or before
        if layer is None or not before or before == name:
            return now
        self._left_at[before] = now
        layers = self._viewer().layers
        if not any(is_cut(other) and cut_along(other) == before for other in layers):
            del self._left_at[before]  # removed: napari has moved the slider
        middle = layer.translate[-3] + (layer.data.shape[-3] - 1) / 2 * layer.scale[-3]
        return self.left_at(self._named, float(middle))

    def _fit(self, at: float) -> None:
        """Take the steps of what is shown, and stand at a position.

        napari takes the steps of the finest of all layers, hidden ones too: two for
        every tilt of a binned series.
        """
        dims, steps = self._viewer().dims, self._steps()
        axis = dims.ndim - 3
        if steps is not None and tuple(dims.range[axis]) != steps:
            self._at = at
            dims.set_range(axis, steps)
        if dims.point[axis] != at:
            dims.set_point(axis, at)

    def _on_range(self, *_: Any) -> None:
        """Follow; then undo that Qt's slider has moved as its range became shorter."""
        viewer = self._viewer()
        if viewer is None:
            return
        before = viewer.dims.range
        self.follow()
        at, dims = self._at, viewer.dims
        if at is not None and dims.range == before:
            self._at = None
            dims.set_point(dims.ndim - 3, at)

    def _steps(self) -> tuple[float, float, float] | None:
        """Return first and last position and the step between, of all that is shown."""
        layers, axis = self._viewer().layers, self._viewer().dims.ndim - 3
        extent = layers.extent
        shown = [layer for layer in layers if layer.visible and layer.ndim >= 3]
        if shown:
            part = layers.get_extent(shown)
            same = extent.units is None or extent.units[axis] == part.units[-3]
            extent = part if same else extent
        if extent.world.shape[1] < 3:
            return None
        (first, last), step = extent.world[:, -3], extent.step[-3]
        # a hair more, or rounding may take the last position away
        return float(first), float(last + 1e-6 * step), float(step)
