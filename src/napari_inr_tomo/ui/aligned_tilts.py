"""A layer of the tilts as their poses lay them, made while one looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.series_layer import ALIGNED, KEY, STACK_LABELS, space

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_inr_tomo.ui.session import Session

LONGEST_PX = 1024
"""Larger pictures show every second pixel, or fewer: the window must not wait."""


class AlignedImages:
    """(tilt, y, x) float32, every image turned and moved when it is asked for.

    seen: whether they are looked at as images; if not, all are 0, and take no time.
    """

    ndim = 3
    dtype = np.dtype(np.float32)

    def __init__(
        self, series: TiltSeries, seen: Callable[[], bool] = lambda: True
    ) -> None:
        self.series, self.seen = series, seen
        count, *size = series.images.shape
        self.step = -(-max(size) // LONGEST_PX)
        self.shape = (count, *(-(-edge // self.step) for edge in size))
        self.size = int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        from napari_inr_tomo.io import aligned_picture

        if not self.seen():
            return np.broadcast_to(np.float32(0), self.shape)[key]
        first, *rest = key if isinstance(key, tuple) else (key,)
        tilts = np.arange(len(self))[first]
        pictures = [
            aligned_picture(self.series, int(tilt), self.step)[tuple(rest)]
            for tilt in np.ravel(tilts)
        ]
        return pictures[0] if np.ndim(tilts) == 0 else np.stack(pictures)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


class AlignedTilts:
    """Shows the current series aligned, in a layer of its own, or no longer.

    The tools that draw on the tilts as they are bring those to the front again.
    """

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        """changed: called when the layer was shown or hidden, by whomever."""
        self.session = session
        self._changed = changed
        self._layer: Layer | None = None
        self._of: Layer | None = None
        self._name = ""

    @property
    def shown(self) -> bool:
        """Whether the aligned tilts are seen."""
        return self.session.has_layer(self._layer) and self._layer.visible

    def show(self) -> None:
        """Show the tilts as their poses lay them, and nothing else of the plugin."""
        session = self.session
        if session.layer is None:
            return
        session.viewer.dims.ndisplay = 2
        session.show_tilts()
        if not session.has_layer(self._layer):
            self._layer, self._of = self._made(), session.layer
            self._name = self._layer.name
            session.viewer.add_layer(self._layer)
            session.viewer.dims.events.ndisplay.connect(self._turned)
        session.show_alone(self._layer)

    def refresh(self) -> None:
        """Follow the poses of the series; the layer goes with the series it is of."""
        session, layer = self.session, self._layer
        if layer is None:
            return
        self._rename()
        if session.layer is not self._of:
            self.remove()
        elif not session.has_layer(layer):  # the user took it away
            self._forget()
            session.show_tilts()
        elif layer.data.series is not session.series:
            layer.data = AlignedImages(session.series, self._is_flat)
            for name, value in _place(layer.data).items():
                setattr(layer, name, value)

    def _rename(self) -> None:
        """Take the name of the tilts, unless the user has given another one."""
        before, self._name = self._name, aligned_name(self._of)
        if before != self._name and self._layer.name == before:
            self._layer.name = self._name

    def remove(self) -> None:
        """Take the layer away; show the tilts as they are, if it was seen."""
        layer, seen = self._layer, self.shown
        self._forget()
        if self.session.has_layer(layer):
            if seen:
                self.session.show_tilts()
            self.session.viewer.layers.remove(layer)

    def _forget(self) -> None:
        self._layer = self._of = None
        if self.session.viewer is not None:
            self.session.viewer.dims.events.ndisplay.disconnect(self._turned)

    def _is_flat(self) -> bool:
        """Whether the view is of two dimensions: in three, all tilts would be cut."""
        viewer = self.session.viewer
        return viewer is None or viewer.dims.ndisplay == 2

    def _turned(self, *_: Any) -> None:
        """Go when the view turns to three dimensions: tilts make up no volume."""
        if not self._is_flat():
            self.remove()

    def _made(self) -> Layer:
        from napari.layers import Image

        tilts = self.session.layer
        images = AlignedImages(self.session.series, self._is_flat)
        layer = Image(
            images,
            name=aligned_name(tilts),
            metadata={KEY: ALIGNED},
            contrast_limits=tilts.contrast_limits,
            colormap=tilts.colormap,
            rgb=False,
            multiscale=False,
            **_place(images),
        )
        layer.events.visible.connect(self._seen)
        return layer

    def _seen(self, *_: Any) -> None:
        self._changed()


def aligned_name(tilts: Layer) -> str:
    """Return the name of the layer that shows a tilt series aligned."""
    return f"{tilts.name}, aligned"


def _place(images: AlignedImages) -> dict[str, Any]:
    """Return where the layer lies: where the tilts do."""
    place = space(images.series.pixel_size_nm, STACK_LABELS)
    tilt, *pixel = place["scale"]
    return place | {"scale": (tilt, *(edge * images.step for edge in pixel))}
