"""The manual tilt axis: a line to drag or type, and three slices that follow.

The slices are filtered back-projections computed in a worker thread, the newest change
last; the numbers beside each are the share of negative energy and what no slice could
explain, small where the axis is right.  `enable` and `disable` are symmetric: nothing
is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QVBoxLayout, QWidget
from superqt.utils import qthrottled, signals_blocked

from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.axis_line import AxisLines, wrapped
from napari_inr_tomo.ui.axis_picture import AxisPicture
from napari_inr_tomo.ui.controls import ActionRow, SlicePicture, form, number, words
from napari_inr_tomo.ui.jobs import start_job, start_step
from napari_inr_tomo.ui.series_layer import picture_pixel, place_words, space
from napari_inr_tomo.ui.session import NO_SERIES, Session

NAME = "Tilt axis (drag me)"
AXIS_COLOUR = "#ffd24d"
SLICE_COLOUR = "#ff5a4d"
FRACTIONS = (-0.25, 0.0, 0.25)
ANGLE_TIP = (
    "Angle of the tilt axis in the image, from +x (to the right) clockwise on screen, "
    "degrees"
)
SHIFT_TIP = (
    "Distance of the axis from the centre of the image, across the axis (downwards for "
    "a horizontal axis), pixels"
)
HOW = (
    "Drag the middle of the yellow line to shift the axis, the rest of it to turn it; "
    "drag a red line to see another slice"
)
GRAB_SCREEN_PX = 8
OFF = "Press 'Adjust the axis by hand' first"
SLICE_TIP = (
    "Slice across the tilt axis at one of the red lines (depth downwards), by filtered "
    "back-projection. A small particle is a round spot when the axis is right and a "
    "crescent when it is off: crescents of the same sense in all slices mean a shift, "
    "of opposite sense a wrong angle. 'negative' is the share of negative energy, "
    "'left' what no slice could explain of the data: the smaller, the better"
)
PICTURES = {"the tilts": "", "sum of all": "sum", "maximum of all": "maximum"}
PICTURE_TIP = (
    "What the axis is drawn on: the tilts, or one picture of all of them, moved by "
    "their shifts. Whatever turns about the axis is a streak across it there"
)


class AxisTool(QWidget):
    """Controls of the manual tilt axis."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.lines: Any = None
        self._for_layer: Any = None
        self._past: list[tuple[float, float]] = []
        self._steady = (0.0, 0.0)
        self._positions: tuple[float, ...] = ()
        self._worker: Any = None
        self._pending = False
        self._previewer = steps.AxisPreviewer()
        self._under = AxisPicture(session)
        self._build()
        self.refresh()

    @property
    def idle(self) -> bool:
        """Whether the slices shown are those of the present axis."""
        return self._worker is None

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.switch_row = ActionRow()
        self.switch = self.switch_row.add(
            "Adjust the axis by hand",
            "Draw the tilt axis on the images as a yellow line to drag; red "
            "lines say where the three slices lie",
            lambda: self.disable() if self.enabled else self.enable(),
        )
        layout.addWidget(self.switch_row)
        self.angle = number(
            0.0,
            -90,
            90,
            ANGLE_TIP,
            " deg",
            0.1,
        )
        self.shift = number(
            0.0,
            -4096,
            4096,
            SHIFT_TIP,
            " px",
            0.25,
        )
        fields = form()
        fields.addRow("Angle", self.angle)
        fields.addRow("Shift", self.shift)
        self.on = QComboBox()
        self.on.addItems(list(PICTURES))
        self.on.currentIndexChanged.connect(self._choose_picture)
        fields.addRow("Drawn on", self.on)
        layout.addLayout(fields)
        self.angle.valueChanged.connect(self._typed)
        self.shift.valueChanged.connect(self._typed)
        self.row = ActionRow()
        self.auto_button = self.row.add(
            "Auto", "Search angle and shift automatically, then judge by eye", self.auto
        )
        self.undo_button = self.row.add(
            "Undo", "Back to the axis before the last change", self.undo
        )
        self.apply_button = self.row.add(
            "Use this axis",
            "Write this axis into the start poses of all tilts; the pixels stay as "
            "they are",
            self.apply,
        )
        layout.addWidget(self.row)
        pictures = QHBoxLayout()
        self.pictures = [SlicePicture(SLICE_TIP, 96) for _ in FRACTIONS]
        for picture in self.pictures:
            pictures.addWidget(picture, 1)
        layout.addLayout(pictures)
        self.state = words(dim=True)
        layout.addWidget(self.state)
        self.found = words(dim=True)
        layout.addWidget(self.found)
        self._later = qthrottled(self._preview, timeout=30, parent=self)

    # on and off ------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        """Whether the lines are on the image."""
        return self.lines is not None

    def enable(self) -> None:
        """Draw the axis of the current series and begin to follow it."""
        layer, series = self.session.layer, self.session.series
        if layer is None or series is None or self.enabled:
            return
        viewer = self.session.viewer
        viewer.dims.ndisplay = 2
        layer.visible = True
        self._for_layer = layer
        self._shape = series.images.shape[1:]
        width = max(self._shape)
        self._positions = tuple(fraction * width for fraction in FRACTIONS)
        poses = series.start_poses.take(series.mask)
        turn = np.deg2rad(poses.axis_deg)
        mean = np.array([np.mean(poses.dy_px), np.mean(poses.dx_px)])
        shift = float(mean @ [np.cos(turn), -np.sin(turn)])
        self._set_boxes(wrapped(poses.axis_deg), shift)
        self._steady = self.value
        self._past.clear()
        # Vectors, not Shapes: napari 0.9.2 may crash in OpenGL when a Shapes layer is
        # removed, and nobody can delete or bend a single vector by accident
        self.lines = viewer.add_vectors(
            self._drawn().vectors(),
            edge_color=[AXIS_COLOUR, *[SLICE_COLOUR] * len(FRACTIONS)],
            edge_width=width / 110,
            vector_style="line",
            opacity=0.9,
            name=NAME,
            **space(series.pixel_size_nm, ("y", "x")),
        )
        self.lines.mouse_drag_callbacks.append(self._drag)
        viewer.layers.selection.active = self.lines
        viewer.layers.events.removed.connect(self._removed)
        self.refresh()
        self._later()

    def disable(self) -> None:
        """Take the lines away."""
        lines, self.lines = self.lines, None
        self._for_layer = None
        self._pending = False
        self._previewer.forget()
        self.found.setText("")
        if lines is not None:
            if self._drag in lines.mouse_drag_callbacks:
                lines.mouse_drag_callbacks.remove(self._drag)
            viewer = self.session.viewer
            if viewer is not None:
                viewer.layers.events.removed.disconnect(self._removed)
                if self.session.has_layer(lines):
                    viewer.layers.remove(lines)
                    if self.session.has_layer(self.session.layer):
                        viewer.layers.selection.active = self.session.layer
        for picture in self.pictures:
            picture.clear()
        self._under.remove()
        with signals_blocked(self.on):
            self.on.setCurrentIndex(0)
        self.refresh()

    def _choose_picture(self, *_: Any) -> None:
        """Lay the axis on the tilts or on one picture of all of them."""
        kind = PICTURES[self.on.currentText()]
        if self.enabled:
            self._under.show(kind, self.lines)

    def _removed(self, event: Any) -> None:
        if event.value is self.lines or event.value is self._for_layer:
            self.disable()

    # the value ----------------------------------------------------------------

    @property
    def value(self) -> tuple[float, float]:
        """The axis as shown: degrees, pixels."""
        return self.angle.value(), self.shift.value()

    def set_value(self, axis_deg: float, shift_px: float) -> None:
        """Take an axis, with undo, and let everything follow."""
        self._set_boxes(axis_deg, shift_px)
        self._typed()

    def _set_boxes(self, axis_deg: float, shift_px: float) -> None:
        with signals_blocked(self.angle), signals_blocked(self.shift):
            self.angle.setValue(axis_deg)
            self.shift.setValue(shift_px)

    def _typed(self, *_: Any) -> None:
        self._remember()
        self._draw()
        self._later()

    def _remember(self) -> None:
        if self.value != self._steady:
            self._past.append(self._steady)
            self._steady = self.value
        self.refresh()

    def undo(self) -> None:
        """Go back by one change."""
        if self._past:
            self._steady = self._past.pop()
            self._set_boxes(*self._steady)
            self._draw()
            self._later()
            self.refresh()

    def _drawn(self) -> AxisLines:
        return AxisLines(*self.value, self._positions, self._shape)

    def _draw(self) -> None:
        if self.lines is not None:
            self.lines.data = self._drawn().vectors()

    def _drag(self, layer: Any, event: Any) -> Iterator[None]:
        """Follow the mouse from press to release (a napari drag callback)."""
        zoom = float(self.session.viewer.scene.camera.zoom) * float(layer.scale[-1])
        start = np.asarray(layer.world_to_data(event.position))[-2:]
        before = self._drawn()
        held = before.grabbed(start, max(GRAB_SCREEN_PX / zoom, 0.5))
        if held is None:
            return
        layer.mouse_pan = False
        try:
            yield
            while event.type == "mouse_move":
                now = np.asarray(layer.world_to_data(event.position))[-2:]
                self._take(before.dragged(held, start, now))
                yield
        finally:
            layer.mouse_pan = True
        self._remember()

    def _take(self, lines: AxisLines) -> None:
        """Show these lines; the slices follow."""
        self._positions = lines.positions_px
        self._set_boxes(lines.axis_deg, lines.shift_px)
        self._draw()
        self._later()

    # slices ------------------------------------------------------------------

    def _preview(self) -> None:
        """Compute the slices in a worker; the newest wish is served last."""
        from napari.qt.threading import create_worker

        series = self.session.series
        if not self.enabled or series is None or self.session.closed:
            return
        if self._worker is not None:
            self._pending = True
            return
        self._pending = False
        self.state.setText("Computing the slices...")
        worker = create_worker(self._previewer, series, *self.value, self._positions)
        worker.returned.connect(self._show)
        worker.errored.connect(self._failed)
        worker.finished.connect(self._computed)
        self._worker = worker
        worker.start()

    def _show(self, result: Any) -> None:
        if not self.enabled or self.session.series is None:
            return
        nm = self.session.series.pixel_size_nm
        negative, left = result.negativity, result.residual
        for picture, image, bad, rest, place in zip(
            self.pictures, result.slices, negative, left, result.positions, strict=True
        ):
            at = place_words(place, nm, 0)
            words = f"at {at}\nnegative {bad:.3f}\nleft {rest:.1%}"
            picture.show_image(image, words, pixel=picture_pixel(nm))
        self.state.setText(
            f"Mean negativity {np.mean(negative):.3f}, left unexplained "
            f"{np.mean(left):.1%}. {HOW}."
        )

    def _failed(self, error: Exception) -> None:
        self.state.setText(f"The slices could not be computed: {error}")

    def _computed(self) -> None:
        self._worker = None
        if self._pending:
            self._preview()

    # auto and use -------------------------------------------------------------

    def auto(self) -> None:
        """Search the axis in a worker and put it into the boxes."""

        def done(found: Any) -> None:
            if not self.enabled:
                return
            self.set_value(found.axis_deg, found.shift_px)
            self.found.setText(
                f"Found automatically: {found.axis_deg:.2f} deg, "
                f"{found.shift_px:.2f} px. {_sentences(found.agreement)}"
            )

        start_job(
            self.session,
            "Searching the tilt axis",
            steps.find_axis,
            self.session.series,
            done=done,
        )

    def apply(self) -> None:
        """Write the axis into the start poses."""
        start_step(self.session, "Setting the tilt axis", steps.set_axis, *self.value)

    def refresh(self, *_: Any) -> None:
        """Grey out what cannot be used, with the reason."""
        none = NO_SERIES if self.session.layer is None else None
        why = self.session.why_not_step() or (None if self.enabled else OFF)
        self.switch.setText(
            "Done adjusting" if self.enabled else "Adjust the axis by hand"
        )
        self.switch_row.bar(self.switch, None if self.enabled else none)
        for box, tip in (
            (self.angle, ANGLE_TIP),
            (self.shift, SHIFT_TIP),
            (self.on, PICTURE_TIP),
        ):
            box.setEnabled(self.enabled)
            box.setToolTip(tip if self.enabled else f"{none or OFF}.\n\n{tip}")
        self.row.bar(self.auto_button, why)
        undo = why or (None if self._past else "Nothing to take back")
        self.row.bar(self.undo_button, undo)
        self.row.bar(self.apply_button, why)
        if not self.enabled:
            self.state.setText("")


def _sentences(parts: Any) -> str:
    return " ".join(f"{part[0].upper()}{part[1:].rstrip('.')}." for part in parts)
