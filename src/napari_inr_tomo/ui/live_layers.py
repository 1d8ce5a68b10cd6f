"""The layers a run shows itself in: the volume, the tilt axis, the pose of every tilt.

Changed only in the GUI thread, always with fresh arrays.  A layer the user removes
stays away until asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inr_tomo.types import Step, Volume
from napari_inr_tomo.ui.live import LiveUpdate, PoseTable
from napari_inr_tomo.ui.pose_layers import (
    axis_vectors,
    centres,
    pose_features,
    shift_arrows,
    shift_factor,
    shift_words,
    zoom_between,
)
from napari_inr_tomo.ui.series_layer import (
    KEY,
    STACK_LABELS,
    VOLUME_LABELS,
    contrast,
    space,
    value_range,
)
from napari_inr_tomo.ui.turns import later

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_inr_tomo.ui.record import RunRecord
    from napari_inr_tomo.ui.session import Session

AXIS_COLOUR = "#ffd24d"
POINT_COLOUR = "#4dc3ff"
ARROW_COLOUR = "#ff7fbf"
ON_TILTS = ("axis", "arrows", "points")
"""The layers of the poses, as they lie on one another."""
FAR_OFF = 0.3
"""Share of the contrast by which a live volume may miss it before it is fitted anew."""


@contextmanager
def unselected(viewer: Any) -> Iterator[None]:
    """Let layers be added but not selected: napari would draw their controls now."""
    selection = viewer.layers.selection
    before = set(selection)
    with selection.events.blocker_all():
        yield
        selection.clear()
        selection.update(before)


class LiveLayers:
    """The layers of one run."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.volume: Layer | None = None
        self.points: Layer | None = None
        self.axis: Layer | None = None
        self.arrows: Layer | None = None
        self.dismissed: set[str] = set()
        self._stack_shown = False
        self._factor = 0
        self._latest: tuple[PoseTable, RunRecord] | None = None
        self._own_limits: tuple[float, float] | None = None
        self._new = False
        self._coming: tuple[np.ndarray, RunRecord] | None = None

    def reset(self) -> None:
        """Begin with a new run; the layers of the last one stay as they are."""
        self.volume = self.points = self.axis = self.arrows = None
        self._stack_shown, self._latest, self._factor = False, None, 0
        self._own_limits, self._new, self._coming = None, False, None
        self.dismissed.clear()

    @property
    def has_poses(self) -> bool:
        """Whether there are poses to show on the tilts."""
        return self._latest is not None

    @property
    def removed(self) -> bool:
        """Whether the user has removed the volume."""
        return "volume" in self.dismissed

    def bring_back(self) -> None:
        """Let removed layers come again with the next update."""
        self.dismissed.clear()

    def forget(self, layer: Layer) -> None:
        """Note that the user removed a layer."""
        from napari.utils.notifications import show_info

        for kind in ("volume", *ON_TILTS):
            if layer is getattr(self, kind):
                setattr(self, kind, None)
                self.dismissed.add(kind)
                if self.session.run.state.name in ("STARTING", "RUNNING", "STOPPING"):
                    show_info(
                        f"The layer '{layer.name}' was removed; the reconstruction "
                        "goes on. 'Show layers again' in the Monitor brings it back."
                    )

    def take(self, update: LiveUpdate, record: RunRecord) -> None:
        """Show what an update brings."""
        if update.poses is not None and record.shape_zyx is not None:
            self.show_poses(update.poses, record)
        if update.result is not None:
            self.show_result(update.result, record)
        elif update.preview is not None:
            self.show_preview(update.preview, record)

    def show_preview(self, data: np.ndarray, record: RunRecord) -> None:
        """Show a live volume, maybe coarser than the box, over the same place.

        The first one comes in a later turn: making its layer takes time enough.
        """
        if self.volume is None:
            if self._coming is None:
                later(self._begin)
            self._coming = data, record
        else:
            self._place(data, record)

    def _begin(self) -> None:
        """Show the first live volume; of several that came, the newest."""
        coming, self._coming = self._coming, None
        if coming is None or self.volume is not None:
            return
        self._unpainted(self._place, *coming)
        if self._new:
            later(self._look)
            later(lambda: self._unpainted(self._select))
            later(self._alone)

    def _unpainted(self, act: Callable[..., None], *args: Any) -> None:
        """Act while the window does not draw; it draws in the next turn."""
        self._draw_window(False)
        try:
            act(*args)
        finally:
            later(lambda: self._draw_window(True))

    def _draw_window(self, on: bool) -> None:
        viewer = self.session.viewer
        if viewer is not None:
            viewer.window._qt_window.setUpdatesEnabled(on)

    def _place(self, data: np.ndarray, record: RunRecord) -> None:
        full = record.shape_zyx or data.shape
        zoom = np.array(full, float) / np.array(data.shape)
        pixel = record.voxel_nm or 1.0
        voxel = record.voxel_nm if record.voxel_nm is None else pixel * zoom.max()
        volume = Volume(data, voxel, f"{record.method.upper()} volume")
        self._show_volume(volume, pixel * zoom, pixel * (zoom - 1) / 2, record)

    def show_result(self, volume: Volume, record: RunRecord) -> None:
        """Show the finished volume in the place of the live one."""
        pixel = volume.voxel_nm or 1.0
        self._coming = None
        step = Step("reconstruct", {"method": record.method, "run": record.name})
        volume = Volume(
            volume.data, volume.voxel_nm, volume.name, (*volume.history, step)
        )
        self._show_volume(volume, np.full(3, pixel), np.zeros(3), record)
        if self._new:
            self._look()
            self._alone()

    def _show_volume(
        self, volume: Volume, scale: np.ndarray, move: np.ndarray, record: RunRecord
    ) -> None:
        from napari.layers import Image

        viewer = self.session.viewer
        if viewer is None or "volume" in self.dismissed:
            return
        if self.volume is None:
            options = space(record.voxel_nm, VOLUME_LABELS)
            options |= {"scale": scale, "translate": move}
            self._own_limits = contrast(volume.data)
            self._new = True
            self.volume = Image(
                volume.data,
                name=f"{record.method.upper()} volume",
                contrast_limits=self._own_limits,
                metadata={KEY: volume},
                visible=False,
                **options,
            )
            with unselected(viewer):
                viewer.add_layer(self.volume)
            return
        self.volume.metadata[KEY] = volume
        later(self._fit_contrast)
        if np.allclose(self.volume.scale, scale):
            self.volume.data = volume.data
            return
        with self.session.slider_still():
            self.volume.data = volume.data
            self.volume.scale = scale
            self.volume.translate = move

    def _look(self) -> None:
        """Show a new volume, cut through its middle, if nothing else was asked for."""
        viewer, layer = self.session.viewer, self.volume
        if viewer is None or layer is None or not self._new:
            return
        layer.visible = True
        middle = layer.translate[0] + (layer.data.shape[0] - 1) / 2 * layer.scale[0]
        viewer.dims.set_point(viewer.dims.ndim - 3, middle)

    def _alone(self) -> None:
        """Hide all but a new volume, if nothing else was asked for."""
        if self._new:
            self.show_only("volume")

    def _select(self) -> None:
        """Select the volume, unless something else was asked for."""
        viewer, layer = self.session.viewer, self.volume
        if viewer is not None and layer is not None and layer.visible:
            viewer.layers.selection.active = layer

    def _fit_contrast(self) -> None:
        """Fit the contrast if it is far off, unless the user has set it.

        A first iteration is pale beside the later ones; but limits that moved with
        every live volume would flicker.
        """
        layer, own = self.volume, self._own_limits
        if layer is None or own is None or not np.allclose(layer.contrast_limits, own):
            return
        wanted = np.array(contrast(np.asarray(layer.data)))
        if np.abs(wanted - own).max() > FAR_OFF * (own[1] - own[0]):
            self.rescale()

    def rescale(self) -> None:
        """Fit the contrast limits of the volume to what it shows now."""
        if self.volume is not None:
            data = np.asarray(self.volume.data)
            self.volume.contrast_limits_range = value_range(data)
            self.volume.contrast_limits = contrast(data)
            self._own_limits = tuple(self.volume.contrast_limits)

    def show_poses(self, poses: PoseTable, record: RunRecord) -> None:
        """Show tilt axis, centre of rotation and shift on every tilt.

        Their layers are made when the tilts are first looked at: making one holds the
        window up for a tenth of a second and more.
        """
        viewer = self.session.viewer
        if viewer is None or record.shape_zyx is None:
            return
        self._latest = poses, record
        if not self._stack_shown:
            return
        shape_yx = record.shape_zyx[1], record.shape_zyx[2]
        features, factor = pose_features(poses), shift_factor(poses, shape_yx)
        drawn = {
            "axis": axis_vectors(poses, shape_yx),
            "arrows": shift_arrows(poses, shape_yx, factor),
            "points": centres(poses, shape_yx),
        }
        for kind in ON_TILTS:
            layer = getattr(self, kind)
            if layer is not None:
                layer.data, layer.features = drawn[kind], features
            elif kind not in self.dismissed:
                options = self._over_tilts(record) | {"features": features}
                made = _layer(kind, drawn[kind], shape_yx, options)
                made.visible = self.volume is None or not self.volume.visible
                setattr(self, kind, made)
                with unselected(viewer):
                    viewer.add_layer(made)
        self._name_arrows(factor)

    def _name_arrows(self, factor: int) -> None:
        """Say in the name of the arrows how long they are; it may be the user's."""
        if self.arrows is not None and self._factor != factor:
            self.arrows.name = shift_words(factor)
            self._factor = factor

    def _over_tilts(self, record: RunRecord) -> dict[str, Any]:
        """Return the space of the pose layers: over the tilts, maybe binned since."""
        options, layer = space(record.voxel_nm, STACK_LABELS), self.session.layer
        options["translate"] = (0.0, 0.0, 0.0)
        if layer is None or record.shape_zyx is None:
            return options
        step = float(layer.scale[0])
        options["scale"] = (step, *options["scale"][1:])
        zoom = zoom_between(record.shape_zyx[1:], layer.data.shape[1:])
        if zoom is not None:
            options["scale"] = (step, step * zoom, step * zoom)
            options["translate"] = (0.0, step * (zoom - 1) / 2, step * (zoom - 1) / 2)
            options["units"] = layer.units
        return options

    def refit(self) -> None:
        """Lay the poses over the tilts again, whose pixels have another size now."""
        for layer in (getattr(self, kind) for kind in ON_TILTS):
            if layer is not None and self._latest is not None:
                for name, value in self._over_tilts(self._latest[1]).items():
                    setattr(layer, name, value)

    def show_only(self, what: str) -> None:
        """Show the "volume", or the "stack" with its axis and poses, and no other."""
        if self.session.viewer is None:
            return
        self._new = False
        if what == "volume":
            if self.session.has_layer(self.volume):
                self.session.show_alone(self.volume)
            return
        if not self._stack_shown:
            self._stack_shown = True
            if self._latest is not None:
                self.show_poses(*self._latest)
        poses = [getattr(self, kind) for kind in ON_TILTS]
        self.session.show_alone(self.session.layer, *poses)


def _layer(
    kind: str, data: np.ndarray, shape_yx: tuple[int, int], options: dict[str, Any]
) -> Layer:
    """Return the layer of axes, arrows or points that is to be added."""
    from napari.layers import Points, Vectors

    size, options = max(shape_yx), options | {"metadata": {KEY: kind}}
    if kind == "points":
        options |= {"face_color": POINT_COLOUR, "border_width": 0}
        options |= {"name": "Poses of the run", "size": max(2.0, size / 40)}
        return Points(data, **options)
    if kind == "axis":
        options |= {"edge_color": AXIS_COLOUR, "edge_width": size / 150}
        options |= {"name": "Tilt axis of the run", "vector_style": "line"}
    else:
        options |= {"edge_color": ARROW_COLOUR, "edge_width": size / 100}
        options |= {"name": shift_words(1), "vector_style": "arrow"}
    return Vectors(data, **options)
