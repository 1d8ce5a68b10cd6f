"""Drift within the images taken out with a second scan at 90 degrees."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout

from napari_inr_tomo.ui import pass_steps as steps
from napari_inr_tomo.ui.controls import (
    ActionRow,
    SlicePicture,
    form,
    group,
    inner_limits,
    number,
    tick,
    words,
)
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_job, tell
from napari_inr_tomo.ui.other_series import OtherSeries
from napari_inr_tomo.ui.plots import Plot
from napari_inr_tomo.ui.series_layer import picture_pixel
from napari_inr_tomo.ui.undoing import bar_undo, undo_button

DIRECTIONS_DEG = (0, 90, 180, 270)
COLOURS = (("#56b4e9", "#e69f00"), ("#009e73", "#cc79a7"))
CORRECTING = "Correcting the scan drift"
POLL_MS = 300


class ScanDriftPanel(Panel):
    """Two scans of every tilt, at right angles, become one image without drift."""

    title = "Scan drift"
    intro = (
        "A specimen that drifts during a scan is distorted line by line. Two scans of "
        "the same field with fast directions at right angles tell by how much."
    )

    def build(self) -> None:
        """Make the controls."""
        self._stop = threading.Event()
        self._progress = steps.Progress()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._say_progress)
        self._build_scans()
        self._build_tilt()

    def _build_scans(self) -> None:
        box, layout = group("Scans")
        tip = (
            "Fast scan direction in the field: 0 along +x, 90 along +y (down), "
            "clockwise on screen"
        )
        self.other = OtherSeries(
            self.session,
            "The same tilts scanned in the other direction, open as a tilt series; "
            "images are paired by their tilt angles",
        )
        self.first_deg, self.other_deg = QComboBox(), QComboBox()
        for combo, start in ((self.first_deg, 0), (self.other_deg, 1)):
            combo.addItems([f"{angle} deg" for angle in DIRECTIONS_DEG])
            combo.setCurrentIndex(start)
            combo.setToolTip(tip)
            combo.currentIndexChanged.connect(self.refresh)
        self.upright = tick(
            "images are turned back",
            "Tick it where both series show the field the same way round; leave it "
            "where every image is stored line by line as it was scanned",
        )
        self.largest = number(
            8.0, 0.5, 25.0, "Largest drift looked for, of the height", " %", 1.0, 1
        )
        turns = QHBoxLayout()
        turns.addWidget(self.first_deg)
        turns.addWidget(self.other_deg)
        fields = form()
        fields.addRow("Second scan", self.other)
        fields.addRow("Directions", turns)
        fields.addRow("", self.upright)
        fields.addRow("Largest drift", self.largest)
        layout.addLayout(fields)
        self.row = ActionRow()
        self.try_button = self.row.add(
            "Try on this tilt", "Correct the shown tilt and look at it", self.preview
        )
        self.all_button = self.row.add(
            "Correct all tilts",
            "Put the mean of both scans without drift in the place of every image",
            self.correct,
        )
        layout.addWidget(self.row)
        self.end_row = ActionRow()
        self.cancel_button = self.end_row.add(
            "Cancel", "End the correction; nothing is changed then", self.cancel
        )
        self.undo_button = undo_button(self.end_row, self.session)
        layout.addWidget(self.end_row)
        self.said = words()
        self.said.hide()
        layout.addWidget(self.said)
        self.body.addWidget(box)

    def _build_tilt(self) -> None:
        box, layout = group("This tilt")
        pictures = QHBoxLayout()
        self.pictures = [
            SlicePicture("The first scan, its lines put in place", 110),
            SlicePicture("The second scan, its lines put in place", 110),
            SlicePicture("First minus second scan; grey is no difference", 110),
        ]
        for picture in self.pictures:
            pictures.addWidget(picture, 1)
        layout.addLayout(pictures)
        self.numbers = words()
        layout.addWidget(self.numbers)
        self.plot = Plot("line of the scan", "offset (px)")
        self.plot.setToolTip(
            "How far from its place every line was measured, along x and y of the field"
        )
        room = self.plot.sizePolicy()
        room.setRetainSizeWhenHidden(True)  # else the dock opens too narrow for it
        self.plot.setSizePolicy(room)
        self.plot.hide()
        layout.addWidget(self.plot)
        self.body.addWidget(box)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow layers and theme as well."""
        session = self.session
        return [
            *super().connections(),
            (session.layers_changed, self.refresh),
            (session.layer_changed, self._forget),
            (session.viewer.events.theme, self._theme),
        ]

    def attach(self) -> None:
        """Connect, in the colours of the window."""
        super().attach()
        self._theme()

    def release(self) -> None:
        """Let go; a correction that goes on ends without a result."""
        super().release()
        self.cancel()
        self._timer.stop()

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            self.plot.set_theme(self.session.viewer.theme)

    # doing --------------------------------------------------------------------

    @property
    def settings(self) -> tuple[tuple[float, float], bool, float]:
        """Directions in degrees, whether images are upright, largest drift (share)."""
        turns = [
            DIRECTIONS_DEG[c.currentIndex()] for c in (self.first_deg, self.other_deg)
        ]
        return (
            (float(turns[0]), float(turns[1])),
            self.upright.isChecked(),
            self.largest.value() / 100,
        )

    def preview(self) -> None:
        """Correct the shown tilt in a worker and show it."""
        series, other = self.session.series, self.other.series
        tilt = self.session.shown_tilt()
        if series is None or other is None or tilt is None:
            return
        layer, angle = self.session.layer, float(series.angles_deg[tilt])

        def done(found: Any) -> None:
            if self.session.layer is layer:
                self._show(found, f"Tilt {tilt} ({angle:.1f} deg)")

        start_job(
            self.session,
            "Looking for scan drift",
            steps.drift_of_tilt,
            series,
            other,
            tilt,
            *self.settings,
            done=done,
            owner=self,
        )

    def correct(self) -> None:
        """Correct all tilts in a worker."""
        from napari.utils.notifications import show_info

        session, layer = self.session, self.session.layer
        series, other = session.series, self.other.series
        if layer is None or series is None or other is None:
            return

        def ended(_: Any = None) -> None:
            self._timer.stop()
            self._say("")

        def done(result: Any) -> None:
            ended()
            if result is None:
                show_info("The correction was cancelled; nothing was changed.")
            elif session.apply(layer, result, CORRECTING):
                tell(result.notices[len(series.notices) :])
                self._say(steps.drift_in_words(result))
            else:
                show_info("The tilt series was removed meanwhile.")

        self._stop = threading.Event()
        self._progress = steps.Progress()
        self._timer.start()
        start_job(
            session,
            CORRECTING,
            steps.correct_series_drift,
            series,
            other,
            *self.settings,
            self._progress,
            self._stop,
            done=done,
            failed=ended,
            owner=self,
        )

    def cancel(self) -> None:
        """Ask the correction to end after the tilt it is at."""
        self._stop.set()

    def _say(self, text: str) -> None:
        self.said.setText(text)
        self.said.setVisible(bool(text))

    def _say_progress(self) -> None:
        at = self._progress
        if at.count:
            self._say(f"Tilt {at.done + 1} of {at.count}")

    # showing ------------------------------------------------------------------

    def _forget(self, *_: Any) -> None:
        for picture in self.pictures:
            picture.clear()
        self.numbers.setText("")
        self.plot.clear_lines()
        self.plot.hide()

    def _show(self, found: Any, name: str) -> None:
        first, second = found.warped
        limits, series = inner_limits(first), self.session.series
        pixel = picture_pixel(None if series is None else series.pixel_size_nm)
        most = float(np.quantile(np.abs(found.residual), 0.995)) or 1.0
        for picture, image, caption, between in zip(
            self.pictures,
            (first, second, found.residual),
            ("first scan", "second scan", "difference"),
            (limits, limits, (-most, most)),
            strict=True,
        ):
            picture.show_image(image, caption, between, pixel=pixel)
        beyond = (
            " The drift lies at the end of the search: raise the largest drift."
            if found.limited
            else ""
        )
        self.numbers.setText(
            f"{name}: lines up to {found.largest_px:.2f} px from their place; "
            f"correlation of the scans {found.correlation_before:.3f} before, "
            f"{found.correlation_after:.3f} after. {found.unseen} lines are out "
            f"of sight of the other scan.{beyond}"
        )
        self.plot.clear_lines()
        for scan, (offsets, colours) in enumerate(
            zip(found.offsets_yx, COLOURS, strict=False), 1
        ):
            lines = np.arange(len(offsets))
            for axis, name_of, colour in ((1, "x", colours[0]), (0, "y", colours[1])):
                label = f"{name_of}, scan {scan}"
                self.plot.set_line(label, lines, offsets[:, axis], colour)
        self.plot.show()

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the session."""
        self.other.list_layers()
        why = self.session.why_not_step()
        if why is None and not self.other.count():
            why = "Open the series of the other scan direction as well"
        turns = self.settings[0]
        if why is None and (turns[0] - turns[1]) % 180 == 0:
            why = "Choose scan directions at right angles"
        self.row.bar(self.try_button, why)
        self.row.bar(self.all_button, why)
        correcting = self.session.busy == CORRECTING
        idle = None if correcting else "No correction is going on"
        self.end_row.bar(self.cancel_button, idle)
        bar_undo(self.end_row, self.session, self.undo_button)


class ScanDriftDock(Dock):
    """Dock: drift within the images."""

    panels = (ScanDriftPanel,)
