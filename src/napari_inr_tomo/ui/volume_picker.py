"""Which volume a dock works on: all 3-D images of the viewer, the run's first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QComboBox

from napari_inr_tomo.ui.series_layer import volume_of
from napari_inr_tomo.ui.slicing import Shown

if TYPE_CHECKING:
    from napari_inr_tomo.types import Volume
    from napari_inr_tomo.ui.session import Session

NO_VOLUME = "There is no volume yet: reconstruct first, or open one"


class VolumePicker(QComboBox):
    """Lists the volume layers by name; a new volume of the run is chosen by itself."""

    def __init__(self, session: Session, tip: str, follow_run: bool = True) -> None:
        super().__init__()
        self.session = session
        self._follow = follow_run
        self._layers: list[Any] = []
        self._live: Any = None
        self.setToolTip(tip)
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )

    @property
    def layer(self) -> Any:
        """The chosen layer, or None."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Any) -> None:
        """Choose a layer."""
        for index, other in enumerate(self._layers):
            if other is layer:
                self.setCurrentIndex(index)

    def volume(self) -> Volume | None:
        """Return the chosen volume, or None where its layer is gone."""
        layer = self.layer
        return volume_of(layer) if self.session.has_layer(layer) else None

    @property
    def live(self) -> bool:
        """Whether the chosen volume is that of the run."""
        layer = self.session.run.layers.volume
        return layer is not None and self.layer is layer

    def shown(self) -> Shown | None:
        """Return the chosen volume as it is placed in the box, which may be finer."""
        volume = self.volume()
        if volume is None:
            return None
        if not self.live:
            return Shown(volume.data)
        full = self.session.run.record.shape_zyx or volume.data.shape
        voxel = max(f / n for f, n in zip(full, volume.data.shape, strict=True))
        return Shown(volume.data, max(1.0, float(round(voxel))))

    def axis_and_angles(self) -> tuple[float, np.ndarray] | None:
        """Return the angle of the tilt axis and the used tilt angles, degrees."""
        run, series = self.session.run, self.session.series
        table = run.record.poses
        if table is not None and self.live:
            used = table["used"]
            axis = float(np.mean(table["z3_deg"][used] - table["z1_deg"][used]) / 2)
            return axis, table["angle_deg"][used]
        if series is None or not series.mask.any():
            return None
        poses = series.start_poses.take(series.mask)
        return poses.axis_deg, series.angles_deg[series.mask]

    def refresh(self) -> None:
        """List the volumes there are now; the choice stays where it can."""
        viewer = self.session.viewer
        before, live = self.layer, self.session.run.layers.volume
        layers = [] if viewer is None else list(viewer.layers)
        layers = [layer for layer in layers if volume_of(layer) is not None]
        if self._follow and live is not None and live is not self._live:
            before = live
        self._live = live
        changed = [layer.name for layer in layers] != [
            self.itemText(i) for i in range(self.count())
        ]
        was = self.blockSignals(True)
        if changed or layers != self._layers:
            self._layers = layers
            self.clear()
            self.addItems([layer.name for layer in layers] or ["none open"])
            self.setEnabled(bool(layers))
        self.choose(before)
        self.blockSignals(was)
        if self.layer is not before or changed:
            self.currentIndexChanged.emit(self.currentIndex())
