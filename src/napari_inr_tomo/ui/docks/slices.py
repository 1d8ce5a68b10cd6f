"""Slices through a volume or a running network, with a crosshair to drag."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox
from superqt.utils import qdebounced, signals_blocked

from napari_inr_tomo import planes
from napari_inr_tomo.ui import slicing
from napari_inr_tomo.ui.controls import (
    ActionRow,
    beside,
    form,
    group,
    number,
    tick,
    words,
)
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.latest import Latest
from napari_inr_tomo.ui.series_layer import contrast
from napari_inr_tomo.ui.slice_view import OrthoView
from napari_inr_tomo.ui.turns import Pieces
from napari_inr_tomo.ui.volume_picker import NO_VOLUME, VolumePicker

MOST_ZOOM = 1000.0
SPECTRUM, FREE = "power spectrum", "free plane"
SPECTRUM_TIP = (
    "Power spectrum (logarithmic) of the slice through the crosshair across the tilt "
    "axis. No image has measured what lies in the orange wedge: power there is what "
    "the method has filled in"
)
FREE_TIP = (
    "Free plane: through the crosshair at any angle; dashed where it cuts the slices"
)
ZOOM_TIP = (
    "How close to look at the crosshair; the mouse wheel does the same. A network is "
    "continuous: it can be looked at between the voxels, which thin lines then show. "
    "That is smooth, but no better resolved than the data allow"
)
TURN_TIP = "Turn of the free plane about the beam: +x towards +y"
LEAN_TIP = "Lean of the free plane out of xy: 0 is the slice xy, 90 contains the beam"
_names = itertools.count()


class SlicesPanel(Panel):
    """Look at a volume from three sides, while it forms or when it is done."""

    title = "Slices"
    intro = (
        "Drag the lines, or click; the wheel zooms. While an INR learns, the slices "
        "are read out of the network itself, at any angle and finer than the voxels."
    )

    def build(self) -> None:
        """Make the controls."""
        box, layout = group("Volume")
        self.volume_box = VolumePicker(self.session, "The volume that is cut")
        self.zoom = number(1.0, 1.0, MOST_ZOOM, ZOOM_TIP, " x")
        self.zoom.setSpecialValueText("whole slice")
        self.zoom.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.fourth = QComboBox()
        self.fourth.addItems([SPECTRUM, FREE])
        self.fourth.setToolTip(f"The fourth picture. {SPECTRUM_TIP}. {FREE_TIP}")
        self.turn = number(30.0, -180, 180, TURN_TIP, " deg", 5.0, 1)
        self.lean = number(60.0, -90, 90, LEAN_TIP, " deg", 5.0, 1)
        for angle in (self.turn, self.lean):
            angle.setWrapping(True)
        fields = form()
        fields.addRow("Cut", self.volume_box)
        fields.addRow("Zoom", beside(self.zoom, self.fourth))
        self.angles = beside(self.turn, self.lean)
        fields.addRow("Turn, lean", self.angles)
        self.fields = fields
        fields.setRowVisible(self.angles, False)
        layout.addLayout(fields)
        self.view = OrthoView()
        self.view.setToolTip(SPECTRUM_TIP)
        layout.addWidget(self.view)
        self.state = words(dim=True)
        layout.addWidget(self.state)
        self._build_position(layout)
        self.body.addWidget(box)
        self._work = Latest(self, self._sampled, self._failed)
        self._asked = ""
        self._asked_planes: tuple[planes.Plane, ...] = ()
        self._wanted_fine: tuple[planes.Plane, ...] = ()
        self._read: dict[planes.Plane, np.ndarray] = {}
        """What was read out of the network since the last live volume."""
        self._fine_for: tuple[planes.Plane, ...] | None = None
        self._limits: tuple[float, float] | None = None
        self._slide = Pieces(self, self._move_slider)
        self._later = qdebounced(self.cut, timeout=40, parent=self)
        self.view.moved.connect(self._moved)
        self.view.zoomed.connect(lambda by: self.zoom.setValue(by * self.zoom.value()))
        for angle in (self.turn, self.lean, self.zoom):
            angle.valueChanged.connect(self._later)
        self.fourth.currentIndexChanged.connect(self._fourth_chosen)
        self.volume_box.currentIndexChanged.connect(self._volume_chosen)

    def _build_position(self, layout: Any) -> None:
        fields = form()
        self.boxes = {}
        for axis in "xyz":
            tip = f"Where the crosshair stands along {axis}, pixels from the centre"
            self.boxes[axis] = number(0, -8192, 8192, tip, " px", 1.0, 1)
            self.boxes[axis].valueChanged.connect(self._typed)
            fields.addRow(axis, self.boxes[axis])
        layout.addLayout(fields)
        self.follow = tick(
            "Move with napari's slider",
            "The crosshair and the slice napari shows move together",
            True,
        )
        layout.addWidget(self.follow)
        self.row = ActionRow()
        self.centre_button = self.row.add(
            "To the centre",
            "Put the crosshair into the middle of the volume",
            self.home,
        )
        self.contrast_button = self.row.add(
            "Rescale contrast",
            "Fit the contrast to the volume as it is now; it never changes by itself",
            self.rescale,
        )
        self.solid_button = self.row.add(
            "3-D",
            "Show the volume in three dimensions beside the slices, or go back",
            self.show_solid,
        )
        layout.addWidget(self.row)

    # what to look at ----------------------------------------------------------

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow layers, run and napari's slider."""
        session, viewer = self.session, self.session.viewer
        return [
            (session.layers_changed, self.refresh),
            (session.run.updated, self._updated),
            (session.run.changed, self.refresh),
            (viewer.dims.events.point, self._slider_moved),
            (viewer.events.theme, self._theme),
        ]

    def attach(self) -> None:
        """Connect, and show what there is."""
        super().attach()
        self._theme()
        self.cut()

    def release(self) -> None:
        """Let go."""
        super().release()
        self._slide.forget()
        self._work.forget()

    def shown(self) -> slicing.Shown | None:
        """Return the chosen volume as it is placed in the box."""
        return self.volume_box.shown()

    def axis_and_angles(self) -> tuple[float, np.ndarray] | None:
        """Return the angle of the tilt axis and the used tilt angles, degrees."""
        return self.volume_box.axis_and_angles()

    @property
    def live(self) -> bool:
        """Whether the chosen volume is the one that is being learnt."""
        return self.volume_box.live

    def cut(self) -> None:
        """Show the slices of the present place: at once, then at full resolution."""
        shown = self.shown()
        if shown is None or self.session.closed:
            self.view.clear_all()
            return
        wanted = self._wanted(shown)
        if self._fine_for != wanted:
            self._work.ask(slicing.cut, shown, wanted)
        if self.live:
            self._ask_network(wanted)

    def _wanted(self, shown: slicing.Shown) -> tuple[planes.Plane, ...]:
        zoom, at, shape = self.zoom.value(), self.view.position, shown.shape_zyx
        cuts = planes.orthogonal(at, shape, zoom)
        if self.free:
            angles = self.turn.value(), self.lean.value()
            return (*cuts, planes.oblique(at, shape, *angles, zoom))
        known = self.axis_and_angles()
        axis_deg = 0.0 if known is None else known[0]
        return (*cuts, planes.across_axis(at, shape, axis_deg))

    @property
    def free(self) -> bool:
        """Whether the fourth picture is a plane at any angle."""
        return self.fourth.currentText() == FREE

    def _fourth_chosen(self, *_: Any) -> None:
        self.fields.setRowVisible(self.angles, self.free)
        self._later()

    def _ask_network(self, wanted: tuple[planes.Plane, ...]) -> None:
        """Ask for what is not known yet: mostly one or two of the planes have moved."""
        self._read = {plane: i for plane, i in self._read.items() if plane in wanted}
        missing = [plane for plane in wanted if plane not in self._read]
        name = f"window-{id(self):x}-{next(_names)}"
        if self.session.run.ask_slices(name, missing or wanted):
            self._asked, self._asked_planes = name, tuple(missing) or wanted
            self._wanted_fine = wanted

    # what comes back ------------------------------------------------------------

    def _sampled(self, result: Any) -> None:
        shown, wanted, images, power = result
        if self._fine_for == wanted or self.session.closed:
            return
        if shown.voxel_px > 1:
            voxel = f"{shown.voxel_px:g} px voxels"
            source = f"Interpolated from the live volume ({voxel})."
        else:
            source = "Interpolated between the voxels of the volume."
        self._show(images, wanted, power, source)

    def _failed(self, error: Exception) -> None:
        self.state.setText(f"The slices could not be cut: {error}")

    def _updated(self, update: Any) -> None:
        mine = update.slices_event
        if mine is not None and mine.name == self._asked and update.slices is not None:
            self._take_fine(update.slices, mine.step)
        elif update.preview is not None or update.result is not None:
            self._read.clear()
            if update.result is not None:
                self._fine_for = None
            self.refresh()
            self._later()

    def _take_fine(self, images: list[np.ndarray], epoch: int) -> None:
        asked, wanted = self._asked_planes, self._wanted_fine
        shapes = [plane.shape for plane in asked]
        if [image.shape for image in images] != shapes or not self.live:
            return
        self._read.update(zip(asked, images, strict=True))
        if any(plane not in self._read for plane in wanted):
            self._ask_network(wanted)  # a live volume came meanwhile
            return
        images = [self._read[plane] for plane in wanted]
        self._fine_for = wanted
        finer = ""
        if self.zoom.value() > 1:
            finer = f", {1 / wanted[0].step_px:.3g} samples along a voxel"
        source = f"Read out of the network, in epoch {epoch + 1}{finer}."
        self._show(images, wanted, slicing.power_spectrum(images[-1]), source)

    def _show(
        self,
        images: list[np.ndarray],
        wanted: tuple[planes.Plane, ...],
        power: np.ndarray,
        source: str,
    ) -> None:
        if self._limits is None:
            self._limits = contrast(np.concatenate([i.ravel() for i in images]))
        self.view.show_slices(images[:3], wanted[:3], self._limits)
        if self.free:
            angles = f"turn {self.turn.value():g}, lean {self.lean.value():g} deg"
            self.view.show_free(images[3], wanted[3], self._limits, angles)
        else:
            known = self.axis_and_angles()
            triangles = [] if known is None else slicing.wedge(known[1])
            self.view.show_spectrum(power, triangles, "spectrum across the axis")
        shown = self.shown()
        if shown is not None:
            self.view.show_grids(shown.voxel_px, shown.shape_zyx)
        self._captions()
        self.view.set_scale(self.voxel_nm())
        self.state.setText(source)

    def _captions(self) -> None:
        place = dict(zip("xyz", self.view.position, strict=True))
        volume = self.volume_box.volume()
        size = None if volume is None else self.voxel_nm()
        names = {"xy": "z", "xz": "y", "yz": "x"}
        texts = {}
        for plane, axis in names.items():
            nm = "" if size is None else f" ({place[axis] * size:+.3g} nm)"
            texts[plane] = f"{plane}, {axis} = {place[axis]:+.1f} px{nm}"
        self.view.set_captions(texts)

    def voxel_nm(self) -> float | None:
        """Return the size of a pixel of the images, nm."""
        if self.live:
            return self.session.run.record.voxel_nm
        volume = self.volume_box.volume()
        return None if volume is None else volume.voxel_nm

    # moving -----------------------------------------------------------------

    def _moved(self, position: tuple[float, float, float]) -> None:
        shown = self.shown()
        if shown is not None:
            half = [n / 2 for n in shown.shape_zyx[::-1]]
            position = tuple(
                min(max(p, -h), h) for p, h in zip(position, half, strict=True)
            )
        self.view.set_position(position)
        for axis, value in zip("xyz", position, strict=True):
            with signals_blocked(self.boxes[axis]):
                self.boxes[axis].setValue(value)
        self._slide()
        self._captions()
        self._later()

    def _typed(self, *_: Any) -> None:
        self._moved(tuple(self.boxes[axis].value() for axis in "xyz"))

    def home(self) -> None:
        """Go to the centre."""
        self._moved((0.0, 0.0, 0.0))

    def show_solid(self) -> None:
        """Show the chosen volume alone in napari's canvas in 3-D, or go back to 2-D."""
        viewer, chosen = self.session.viewer, self.volume_box.layer
        if viewer.dims.ndisplay == 3:
            viewer.dims.ndisplay = 2
        else:
            for layer in viewer.layers:
                layer.visible = layer is chosen
            viewer.dims.ndisplay = 3
        viewer.fit_to_view()

    def rescale(self) -> None:
        """Fit the contrast to what is shown now."""
        self._limits = self._fine_for = None
        self.cut()

    def _volume_chosen(self, *_: Any) -> None:
        self._limits = self._fine_for = None
        self._read.clear()
        self._slider_moved()  # it may stand elsewhere than the crosshair
        self._later()

    def _slider_moved(self, *_: Any) -> None:
        shown = self.shown()
        if self._slide.waits or not self._follows(shown):
            return
        z = self._slider_z(shown)
        if abs(z - self.view.position[2]) > 0.6:
            x, y, _ = self.view.position
            self._moved((x, y, z))

    def _in_slider(self) -> bool:
        layer, viewer = self.volume_box.layer, self.session.viewer
        flat = viewer is not None and viewer.dims.ndisplay == 2
        return flat and self.session.has_layer(layer) and layer.visible

    def _slider_z(self, shown: slicing.Shown) -> float:
        viewer, layer = self.session.viewer, self.volume_box.layer
        world = viewer.dims.point[viewer.dims.ndim - 3]
        index = (world - layer.translate[-3]) / layer.scale[-3]
        return float(index - (shown.data.shape[0] - 1) / 2) * shown.voxel_px

    def _follows(self, shown: slicing.Shown | None) -> bool:
        return self.follow.isChecked() and shown is not None and self._in_slider()

    def _move_slider(self) -> None:
        shown, z = self.shown(), self.view.position[2]
        if not self._follows(shown):
            return
        if abs(self._slider_z(shown) - z) > 0.6:
            layer, viewer = self.volume_box.layer, self.session.viewer
            index = z / shown.voxel_px + (shown.data.shape[0] - 1) / 2
            world = index * layer.scale[-3] + layer.translate[-3]
            viewer.dims.set_point(viewer.dims.ndim - 3, float(world))

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            self.view.set_theme(self.session.viewer.theme)

    def refresh(self, *_: Any) -> None:
        """List the volumes, and say why there is nothing to see."""
        self.volume_box.refresh()
        none = None if self.volume_box.volume() is not None else NO_VOLUME
        self.row.bar(self.centre_button, none)
        self.row.bar(self.contrast_button, none)
        self.row.bar(self.solid_button, none)
        if none:
            self.state.setText("")
            self.view.clear_all()


class SlicesDock(Dock):
    """Dock: slices with a crosshair."""

    panels = (SlicesPanel,)
