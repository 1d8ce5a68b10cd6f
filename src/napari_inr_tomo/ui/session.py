"""What the docks of one viewer share: the current tilt series, its undo, the run.

Plain Python with psygnal signals; no widgets.  One session a viewer, made when its
first dock opens and closed with the window.
"""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.keys import Keys
from napari_inr_tomo.ui.run_control import RunControl
from napari_inr_tomo.ui.series_layer import (
    FILE,
    STACK_LABELS,
    files_of,
    is_ours,
    is_replaced,
    is_series_layer,
    series_layer_data,
    series_of,
    set_series,
)
from napari_inr_tomo.ui.slider import Slider
from napari_inr_tomo.ui.turns import load_ahead

if TYPE_CHECKING:
    from napari.layers import Layer

NO_SERIES = "No tilt series is open: open one in the Tilt series step or drop a file"
REPLACED = (
    "The images of this layer were replaced by others of another shape: select the "
    "layer, type the angles in the Tilt series step and press 'From layer'"
)
UNDO_STEPS = 10
UNDO_BYTES = 4_000_000_000

_sessions: dict[int, Session] = {}


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer (or of the proxy plugins get of it)."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    key = id(viewer)
    if key not in _sessions:
        session = Session(viewer)
        load_ahead()
        _sessions[key] = session
        weakref.finalize(viewer, _forget, key)
    return _sessions[key]


def _forget(key: int) -> None:
    """Let the session of a viewer that is gone go, too; no Qt here."""
    session = _sessions.pop(key, None)
    if session is not None:
        session.run.leave()


class Session:
    """The state behind the docks of one viewer."""

    layer_changed = Signal()
    """Another tilt series is the current one, or none is."""
    series_changed = Signal()
    """The current tilt series has new contents."""
    layers_changed = Signal()
    """Layers came, went or were renamed."""
    busy_changed = Signal()
    """A step began or ended."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        self._layer: Layer | None = None
        self._undo: dict[int, list[tuple[str, TiltSeries]]] = {}
        self.busy: str | None = None
        self.closed = False
        self._fitted: tuple[Any, ...] | None = None
        self._left: tuple[Any, ...] | None = None
        self._slider = Slider(viewer)
        self.unused: str | None = None
        """What was adjusted by hand and is not used yet, in words."""
        self.run = RunControl(self)
        self.keys = Keys(self)
        # last: napari has taken the layer into its axes by then
        viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.events.renamed.connect(self._on_renamed)
        for layer in viewer.layers:
            layer.events.data.connect(self._on_data)
        candidates = self.series_layers()
        if candidates:
            self._layer = candidates[-1]
        self._bar_shown = False
        if len(viewer.layers):
            self._show_scale_bar()

    # viewer and layers ------------------------------------------------------

    @property
    def viewer(self) -> Any:
        """The viewer, or None when it is gone."""
        return None if self.closed else self._viewer()

    def series_layers(self) -> list[Layer]:
        """Return the layers that carry a tilt series, in napari's order."""
        viewer = self.viewer
        layers = [] if viewer is None else viewer.layers
        return [layer for layer in layers if is_series_layer(layer)]

    def has_layer(self, layer: Layer | None) -> bool:
        """Tell whether a layer is still in the viewer."""
        viewer = self.viewer
        return viewer is not None and any(layer is other for other in viewer.layers)

    @property
    def layer(self) -> Layer | None:
        """The layer of the current tilt series."""
        return self._layer

    @layer.setter
    def layer(self, layer: Layer | None) -> None:
        if layer is not self._layer:
            self._layer = layer
            self.layer_changed.emit()

    @property
    def series(self) -> TiltSeries | None:
        """The current tilt series."""
        return None if self._layer is None else series_of(self._layer)

    def add_series(self, series: TiltSeries, file: str = "") -> Layer:
        """Show a tilt series as a new layer, alone, and make it the current one.

        file: what it was read from, which no output may replace.
        """
        from napari.layers import Layer

        data = series_layer_data(series)
        if file:
            data[1]["metadata"][FILE] = file
        layer = self.viewer.add_layer(Layer.create(*data))
        self.layer = layer
        return layer

    def files_read(self) -> list[Path]:
        """Return what the layers and the run were read from, where it is known."""
        viewer, run = self.viewer, self.run.run
        layers = [] if viewer is None else viewer.layers
        files = files_of(layer.metadata for layer in layers)
        return files if run is None else [*files, run.path]

    def show_alone(self, *shown: Layer | None) -> None:
        """Show these layers and hide all others of the plugin; the user's stay.

        The first is selected, and before the rest is hidden: napari greys out the
        controls of a hidden layer, for which Qt first lays out the whole window.  The
        view goes back to what `look_aside` has left.
        """
        if self._left is not None:
            camera = self.viewer.scene.camera
            camera.zoom, camera.center = self._left
            self._left = None
        here = [layer for layer in shown if self.has_layer(layer)]
        for layer in here:
            layer.visible = True
        if here:
            self.viewer.layers.selection.active = here[0]
        for layer in self.viewer.layers:
            if is_ours(layer) and layer not in here:
                layer.visible = False

    def look_aside(self) -> None:
        """Show all that is visible, until something else is to be seen alone."""
        self.leave_view()
        self.viewer.fit_to_view()

    def leave_view(self) -> None:
        """Note what is seen of the canvas, to go back to; nothing is fitted till then.

        For `look_aside` in a later turn, when new layers have come.
        """
        if self._left is None:
            self._left = self._view

    @property
    def _view(self) -> tuple[Any, ...]:
        camera = self.viewer.scene.camera
        return camera.zoom, tuple(camera.center)

    def shown_tilt(self) -> int | None:
        """Return the shown tilt; where a volume covers them, the one that was left."""
        viewer, series = self.viewer, self.series
        if viewer is None or series is None:
            return None
        offset = viewer.dims.ndim - 3
        if offset < 0:
            return None
        position, step = float(viewer.dims.point[offset]), float(self._layer.scale[0])
        if self.on_top() not in (None, STACK_LABELS[0]):
            position = self._slider.left_at(STACK_LABELS[0], series.reference * step)
        return int(min(max(round(position / step), 0), len(series) - 1))

    def show_tilt(self, tilt: int) -> None:
        """Move napari's slider to a tilt, in front of the volume that covers it."""
        if self.viewer is not None and self._layer is not None:
            self.show_tilts()
            axis = self.viewer.dims.ndim - 3
            self.viewer.dims.set_point(axis, tilt * float(self._layer.scale[0]))

    def show_tilts(self) -> None:
        """Bring the tilts to the front, where the user can see what is done to them."""
        covered = self.on_top() != STACK_LABELS[0]
        if covered or (self._layer is not None and not self._layer.visible):
            self.run.layers.show_only("stack")

    def on_top(self) -> str | None:
        """Return what the shown image on top is cut along: "tilt", "z" or None."""
        return self._slider.name

    def slider_still(self) -> AbstractContextManager[None]:
        """Let the slider stay where it is while the pixels of what is shown change."""
        return self._slider.still()

    def _show_scale_bar(self) -> None:
        """Show napari's scale bar, once: it is the user's to hide.

        Not before there is a layer: its units, a third of a second to load, come with
        the first one in any case.
        """
        if not self._bar_shown:
            self._bar_shown = True
            self.viewer.canvas.overlays.scale_bar.visible = True

    def fit_view(self) -> None:
        """Show the whole image, unless the user has chosen what to see."""
        viewer = self.viewer
        if viewer is None or not viewer.layers or self._left is not None:
            return
        if self._fitted is None or self._fitted == self._view:
            viewer.reset_view()
            self._fitted = self._view

    def _on_inserted(self, event: Any) -> None:
        self._show_scale_bar()
        event.value.events.data.connect(self._on_data)
        self._slider.watch(event.value)
        if is_series_layer(event.value):
            self.layer = event.value
            if event.value.visible:
                self.show_tilt(series_of(event.value).reference)
                self.show_alone(event.value)
            self._fitted = None
            self.fit_view()
        elif self.viewer is not None and len(self.viewer.layers) == 1:
            self._fitted = None
        self.layers_changed.emit()

    def _on_removed(self, event: Any) -> None:
        self._undo.pop(id(event.value), None)
        self.run.layers.forget(event.value)
        if event.value is self._layer:
            others = self.series_layers()
            self.layer = others[-1] if others else None
            if others and self._slider.image is None:
                self.layer.visible = True
        self._slider.follow()
        self.layers_changed.emit()

    def _on_data(self, event: Any = None) -> None:
        if self._layer is not None and is_replaced(self._layer):
            self.busy_changed.emit()  # nothing can be done with it now

    def _on_renamed(self, event: Any = None) -> None:
        self.layers_changed.emit()

    # changing the series ------------------------------------------------------

    def apply(
        self, layer: Layer, series: TiltSeries, label: str, merge: bool = False
    ) -> bool:
        """Give a layer the result of a step; False if the layer is gone.

        merge: undo takes it back together with the step before, if of the same label.
        """
        if not self.has_layer(layer):
            return False
        past = self._undo.setdefault(id(layer), [])
        if not (merge and past and past[-1][0] == label):
            past.append((label, series_of(layer)))
        del past[:-UNDO_STEPS]
        while len(past) > 1 and _bytes(past) > UNDO_BYTES:
            del past[0]
        self._replace(layer, series)
        if layer is self._layer:
            self.series_changed.emit()
        return True

    def _replace(self, layer: Layer, series: TiltSeries) -> None:
        """Let a layer show another state, the slider at the same tilt as before."""
        size, step, tilt = layer.data.shape, float(layer.scale[0]), self.shown_tilt()
        set_series(layer, series)
        zoom = float(layer.scale[0]) / step
        if layer is not self._layer or (zoom == 1 and layer.data.shape == size):
            return
        self.run.layers.refit()
        self._slider.stretch(STACK_LABELS[0], zoom)
        if tilt is not None and self._slider.image is layer:
            self.show_tilt(tilt)

    @property
    def undo_label(self) -> str | None:
        """Name of the step that undo would take back, if any."""
        past = self._undo.get(id(self._layer))
        return past[-1][0] if past else None

    def undo(self) -> None:
        """Take back the last step on the current tilt series."""
        past = self._undo.get(id(self._layer))
        if past:
            self._replace(self._layer, past.pop()[1])
            self.series_changed.emit()

    def set_busy(self, label: str | None) -> None:
        """Note that a step runs (or none): one at a time."""
        self.busy = label
        self.busy_changed.emit()

    def why_not_step(self) -> str | None:
        """Return why no step on the tilt series can begin now, or None."""
        busy = f"Busy: {self.busy}" if self.busy else None
        return self.why_not_look() or busy

    def why_not_look(self) -> str | None:
        """Return why there are no tilts with poses to be looked at, or None."""
        if self._layer is None:
            return NO_SERIES
        return REPLACED if is_replaced(self._layer) else None

    def close(self) -> None:
        """Let go of everything; the run itself goes on."""
        if self.closed:
            return
        viewer = self._viewer()
        self.run.detach()
        self.keys.release()
        self.closed = True
        self._layer = None
        self._undo.clear()
        for signal in (
            self.layer_changed,
            self.series_changed,
            self.layers_changed,
            self.busy_changed,
        ):
            signal.disconnect()
        if viewer is not None:
            viewer.layers.events.inserted.disconnect(self._on_inserted)
            viewer.layers.events.removed.disconnect(self._on_removed)
            viewer.layers.events.renamed.disconnect(self._on_renamed)
            self._slider.release()
            for layer in viewer.layers:
                layer.events.data.disconnect(self._on_data)
            _sessions.pop(id(viewer), None)


def _bytes(past: list[tuple[str, TiltSeries]]) -> int:
    arrays = {id(series.images): series.images.nbytes for _, series in past}
    return sum(arrays.values())
