"""Two tilts on the canvas in turn, or their difference: one layer over the stack.

`show` and `hide` are symmetric: nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_inr_tomo.ui.controls import inner_limits
from napari_inr_tomo.ui.series_layer import space
from napari_inr_tomo.ui.session import Session

NAME = "Shift tilts (arrow keys)"
FLICKER, DIFFERENCE = "flicker", "difference"
KINDS = (FLICKER, DIFFERENCE, "tilt", "reference")


class PairLayer:
    """The layer that shows a `Comparison`, and the flicker.

    gone: called when the user removes the layer.
    """

    def __init__(
        self, owner: QWidget, session: Session, gone: Callable[[], None]
    ) -> None:
        self.session = session
        self.layer: Any = None
        self.kind = FLICKER
        self.compared: Any = None
        self._gone = gone
        self._second = False
        self._limits_for: Any = None
        self._timer = QTimer(owner)
        self._timer.timeout.connect(self.flick)
        self.set_rate(2.5)

    def set_rate(self, per_s: float) -> None:
        """Change images so many times a second."""
        self._timer.setInterval(round(1000 / per_s))

    def show(self, compared: Any, keys: Mapping[str, Callable[[], None]]) -> None:
        """Show a comparison; ``keys`` work while the layer is the selected one."""
        self.compared = compared
        if self.layer is None:
            self._add(keys)
        elif tuple(self.layer.scale) != self._space()["scale"]:
            for name, value in self._space().items():
                setattr(self.layer, name, value)
        self.draw()

    def _add(self, keys: Mapping[str, Callable[[], None]]) -> None:
        viewer = self.session.viewer
        viewer.dims.ndisplay = 2
        self.layer = viewer.add_image(
            self.compared.tilt, name=NAME, colormap="gray", **self._space()
        )
        for key, action in keys.items():
            self.layer.bind_key(key, lambda _, action=action: action(), overwrite=True)
        viewer.layers.selection.active = self.layer
        viewer.layers.events.removed.connect(self._removed)

    def _space(self) -> dict[str, Any]:
        series, pixel = self.session.series, self.compared.pixel_px
        options = space(None if series is None else series.pixel_size_nm, ("y", "x"))
        return options | {"scale": tuple(size * pixel for size in options["scale"])}

    def hide(self) -> None:
        """Take the layer away."""
        self._timer.stop()
        layer, self.layer, self.compared = self.layer, None, None
        self._limits_for = None
        viewer = self.session.viewer
        if layer is None or viewer is None:
            return
        viewer.layers.events.removed.disconnect(self._removed)
        if self.session.has_layer(layer):
            viewer.layers.remove(layer)
            if self.session.layer is not None:
                viewer.layers.selection.active = self.session.layer

    def _removed(self, event: Any) -> None:
        if event.value is self.layer:
            self._gone()

    def choose(self, kind: str) -> None:
        """Show the pair in another way."""
        self.kind = kind
        self._second = False
        self.draw()

    @property
    def flickering(self) -> bool:
        """Whether tilt and reference are shown in turn."""
        return self._timer.isActive()

    def pause(self) -> None:
        """End the flicker; `draw` begins it again."""
        self._timer.stop()

    def flick(self) -> None:
        """Show the other one of the two."""
        self._second = not self._second
        self._put()

    def draw(self) -> None:
        """Show what was chosen."""
        if self.layer is None:
            return
        if self.kind != FLICKER:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()
        self._put()

    def _put(self) -> None:
        if self.layer is None:
            return
        kind = self.kind
        if kind == FLICKER:
            kind = "reference" if self._second else "tilt"
        self.layer.data = getattr(self.compared, kind)
        wanted = DIFFERENCE if kind == DIFFERENCE else "image"
        if self._limits_for != wanted:
            self._limits_for = wanted
            low, high = self._limits(kind)
            self.layer.contrast_limits_range = (2 * low - high, 2 * high - low)
            self.layer.contrast_limits = (low, high)
        self.layer.refresh()

    def _limits(self, kind: str) -> tuple[float, float]:
        if kind != DIFFERENCE:
            return inner_limits(self.compared.reference)
        most = float(np.quantile(np.abs(self.compared.difference), 0.998))
        return (-max(most, 0.5), max(most, 0.5))
