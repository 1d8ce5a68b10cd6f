"""One picture of all tilts under the tilt axis that is set by hand."""

from __future__ import annotations

from typing import Any

from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.series_layer import contrast, space
from napari_inr_tomo.ui.session import Session

NAMES = {"sum": "Sum of all tilts", "maximum": "Maximum of all tilts"}


class AxisPicture:
    """A layer with the sum or the maximum of all tilts; none for the tilts themselves.

    It is computed in a worker, and goes with the lines of the axis tool.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layer: Any = None
        self._hidden: Any = None
        self._worker: Any = None
        self._wanted: tuple[str, Any] = ("", None)

    def show(self, kind: str, above: Any) -> None:
        """Show the picture of this kind right under a layer, or the tilts ("")."""
        self._wanted = (kind, above)
        series = self._session.series
        if not kind or series is None:
            self.remove()
        elif self._worker is None:
            self._start(kind, series)

    def _start(self, kind: str, series: Any) -> None:
        from napari.qt.threading import create_worker

        worker = create_worker(steps.tilt_picture, series, kind)
        worker.returned.connect(lambda image: self._put(kind, image, series))
        worker.finished.connect(self._computed)
        self._worker = worker
        worker.start()

    def _computed(self) -> None:
        self._worker = None
        kind, above = self._wanted
        series = self._session.series
        shown = None if self._layer is None else self._layer.name
        if kind and series is not None and not str(shown).startswith(NAMES[kind]):
            if self._session.has_layer(above):
                self._start(kind, series)

    def _put(self, kind: str, image: Any, series: Any) -> None:
        session = self._session
        wanted, above = self._wanted
        if kind != wanted or not session.has_layer(above):
            return
        if series is not session.series:
            return
        self._drop()
        viewer = session.viewer
        self._layer = viewer.add_image(
            image,
            name=NAMES[kind],
            colormap="gray",
            contrast_limits=contrast(image),
            **space(series.pixel_size_nm, ("y", "x")),
        )
        viewer.layers.move(viewer.layers.index(self._layer), viewer.layers.index(above))
        viewer.layers.selection.active = above
        if self._hidden is None:
            self._hidden = session.layer
        if self._hidden is not None:
            self._hidden.visible = False

    def _drop(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None and self._session.has_layer(layer):
            self._session.viewer.layers.remove(layer)

    def remove(self) -> None:
        """Take the picture away and show the tilts again."""
        self._wanted = ("", None)
        self._drop()
        hidden, self._hidden = self._hidden, None
        if hidden is not None and self._session.has_layer(hidden):
            hidden.visible = True
