"""The two layers an acquisition shows itself in: the series and the quick volume.

A layer the user removes stays away until the next start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.series_layer import (
    KEY,
    contrast,
    set_series,
    value_range,
    volume_layer_data,
)

if TYPE_CHECKING:
    from napari_inr_tomo.ui.session import Session


class AcquisitionLayers:
    """Changed only in the GUI thread."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.reset()

    def reset(self) -> None:
        """Begin anew; the layers of the last acquisition stay as they are."""
        self.series: Any = None
        self.volume: Any = None
        self._gone: set[str] = set()

    def forget_removed(self, *_: Any) -> None:
        """Note which of the layers the user has removed."""
        for kind in ("series", "volume"):
            layer = getattr(self, kind)
            if layer is not None and not self.session.has_layer(layer):
                setattr(self, kind, None)
                self._gone.add(kind)

    def show_series(self, series: TiltSeries) -> None:
        """Show all tilts so far, in the order of their angles."""
        if "series" in self._gone:
            return
        if self.series is None:
            self.series = self.session.add_series(series)
            return
        set_series(self.series, series)
        if self.session.layer is self.series:
            self.session.series_changed.emit()

    def show_volume(self, volume: Volume) -> None:
        """Show the newest quick volume; the contrast follows it."""
        viewer = self.session.viewer
        if "volume" in self._gone or viewer is None:
            return
        if self.volume is None:
            from napari.layers import Layer

            made = Layer.create(*volume_layer_data(volume, "Quick volume"))
            self.volume = viewer.add_layer(made)
            self.session.show_alone(self.volume)
            middle = (len(volume.data) - 1) / 2 * float(self.volume.scale[0])
            viewer.dims.set_point(viewer.dims.ndim - 3, middle)
            return
        data = np.asarray(volume.data)
        self.volume.metadata[KEY] = volume
        self.volume.data = data
        self.volume.contrast_limits_range = value_range(data)
        self.volume.contrast_limits = contrast(data)
