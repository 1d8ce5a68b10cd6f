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
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget
from superqt.utils import qthrottled, signals_blocked

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.axis_line import AxisLines, line_of, reversed_axis
from napari_inr_tomo.ui.axis_picture import AxisPicture
from napari_inr_tomo.ui.axis_slices import AxisSlices
from napari_inr_tomo.ui.controls import ActionRow, form, number, words
from napari_inr_tomo.ui.jobs import start_job, start_step
from napari_inr_tomo.ui.series_layer import space
from napari_inr_tomo.ui.session import Session

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
GRAB_SCREEN_PX = 8
OFF = "Press 'Adjust the axis by hand' first"
NOT_USED = (
    "The tilt axis was adjusted and is not used yet: press 'Use this axis' in the "
    "Alignment step, or 'Undo: axis' beside it"
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
        self._steady = self._stored = (0.0, 0.0)
        self._seen: Any = None
        self._reversed = False
        self._positions: tuple[float, ...] = ()
        self._under = AxisPicture(session)
        self._build()
        self.refresh()

    @property
    def idle(self) -> bool:
        """Whether the slices shown are those of the present axis."""
        return self.slices.idle

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.switch_row = ActionRow()
        self.switch = self.switch_row.add(
            "Adjust the axis by hand",
            "Draw the tilt axis on the images as a yellow line to drag; red "
            "lines say where the three slices lie",
            lambda: self.done() if self.enabled else self.enable(),
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
            "Undo: axis", "Back to the axis before the last change", self.undo
        )
        self.apply_button = self.row.add(
            "Use this axis",
            "Write this axis into the start poses of all tilts; the pixels stay as "
            "they are",
            self.apply,
        )
        layout.addWidget(self.row)
        self.slices = AxisSlices(len(FRACTIONS))
        self.pictures = self.slices.pictures
        layout.addWidget(self.slices)
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
        if series is None or self.enabled or self.session.why_not_look():
            return
        viewer = self.session.viewer
        viewer.dims.ndisplay = 2
        self.session.show_tilts()
        self._for_layer = layer
        self._shape = series.images.shape[1:]
        width = max(self._shape)
        self._positions = tuple(fraction * width for fraction in FRACTIONS)
        self._reload(series)
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

    def done(self) -> None:
        """Use the axis if it was adjusted, and take the lines away."""
        if self.unused:
            self.apply(after=lambda _: self.disable())
        else:
            self.disable()

    def disable(self) -> None:
        """Take the lines away."""
        lines, self.lines = self.lines, None
        self._for_layer = None
        self.slices.forget()
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

    def _follow(self) -> None:
        """Show the axis of the series where that has changed, by an undo say.

        One that was adjusted and is not used yet stays.
        """
        series = self.session.series
        if not self.enabled or series is None or series is self._seen:
            return
        if series.images.shape[1:] != self._shape:
            self.disable()
            self.enable()
            return
        if self.unused:
            self._seen = series
        else:
            self._reload(series)
            self._draw()
        self._later()

    def _reload(self, series: TiltSeries) -> None:
        """Show the axis of the series."""
        self._seen, before = series, self.value
        *line, self._reversed = line_of(series.start_poses, series.reference)
        self._set_boxes(*line)
        self._steady = self._stored = self.value
        if self.value != before:
            self._past.clear()

    # the value ----------------------------------------------------------------

    @property
    def unused(self) -> bool:
        """Whether an axis was adjusted and not used."""
        return self.enabled and self.value != self._stored

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

    def _preview(self) -> None:
        """Compute the slices of the axis as shown."""
        series = self.session.series
        if self.enabled and series is not None and not self.session.closed:
            self.slices.ask(series, self.value, self._reversed, self._positions)

    # auto and use -------------------------------------------------------------

    def auto(self) -> None:
        """Search the axis in a worker and put it into the boxes."""
        before, stood = self.value, self.slices.told if self.idle else ""

        def done(found: Any) -> None:
            if not self.enabled:
                return
            was = ""
            if stood and self.value == before:
                was = (
                    f" Before: {before[0]:.2f} deg, {before[1]:.2f} px, {stood}; "
                    "'Undo: axis' goes back to it."
                )
            self.set_value(found.axis_deg, found.shift_px)
            self.found.setText(
                f"Found automatically: {found.axis_deg:.2f} deg, "
                f"{found.shift_px:.2f} px. {_sentences(found.agreement)}{was}"
            )

        start_job(
            self.session,
            "Searching the tilt axis",
            steps.find_axis,
            self.session.series,
            done=done,
        )

    def apply(self, after: Any = None) -> None:
        """Write the axis into the start poses."""
        label, line = "Setting the tilt axis", self.value
        axis = reversed_axis(*line) if self._reversed else line

        def used(series: Any) -> None:
            self._stored = line
            self._follow()
            self.refresh()
            if after is not None:
                after(series)

        start_step(self.session, label, steps.set_axis, *axis, after=used)

    def refresh(self, *_: Any) -> None:
        """Follow the series; grey out what cannot be used, with the reason."""
        self._follow()
        self.session.unused = NOT_USED if self.unused else None
        none = self.session.why_not_look()
        why = self.session.why_not_step() or (None if self.enabled else OFF)
        self.switch.setText(
            "Adjust the axis by hand"
            if not self.enabled
            else "Use this axis and close"
            if self.unused
            else "Done adjusting"
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
        same = None if self.unused else "The series has this axis"
        self.row.bar(self.apply_button, why or same)


def _sentences(parts: Any) -> str:
    return " ".join(f"{part[0].upper()}{part[1:].rstrip('.')}." for part in parts)
