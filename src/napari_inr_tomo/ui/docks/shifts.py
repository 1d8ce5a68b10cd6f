"""Shifting tilts by hand: two tilts in turn on the canvas, arrow keys, a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout
from superqt.utils import qdebounced, signals_blocked

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.controls import ActionRow, form, group, number, whole, words
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.exchange import Exchange
from napari_inr_tomo.ui.jobs import start_step
from napari_inr_tomo.ui.latest import Latest
from napari_inr_tomo.ui.pair_layer import DIFFERENCE, FLICKER, KINDS, PairLayer
from napari_inr_tomo.ui.shift_table import ShiftTable

LABEL = "Shifting by hand"
COARSE_PX, FINE_PX = 1.0, 0.1
REFERENCES = ("the tilt before", "the tilt after", "a fixed tilt")
HOW = (
    "Arrow keys move the tilt by 1 px, with Shift by 0.1 px. S and A go to the next "
    "and the previous tilt, F flickers, D shows the difference."
)
MOVES = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}


class ShiftsPanel(Panel):
    """Lay every tilt on its neighbour by eye."""

    title = "Shift tilts"
    intro = (
        "For tilts that no automatic step lays right. Only the start poses change, at "
        "once; the images are never resampled for it."
    )

    def build(self) -> None:
        """Make the controls."""
        self._on = False
        self._past: list[tuple[int, float, float]] = []
        self._mine: TiltSeries | None = None
        self._asked: Any = None
        self._work = Latest(self, self._computed, self._failed)
        self.pair = PairLayer(self, self.session, self.stop)
        self._later = qdebounced(self._compare, timeout=40, parent=self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build_view()
        self._build_shift()
        box, layout = group("Files and other signals")
        self.exchange = Exchange(self.session)
        layout.addWidget(self.exchange)
        self.body.addWidget(box)
        for control in (self.kind, self.reference, self.exchange.other):
            control.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def _build_view(self) -> None:
        box, layout = group("Compare")
        self.switch_row = ActionRow()
        self.switch = self._add(
            self.switch_row,
            "Shift by hand",
            "Show two tilts in turn on the canvas, and let the arrow keys move one",
            lambda: self.stop() if self._on else self.start(),
        )
        layout.addWidget(self.switch_row)
        self.reference = QComboBox()
        self.reference.addItems(REFERENCES)
        self.reference.setToolTip(
            "What the tilt is compared with: the used tilt before or after it in "
            "angle, or one and the same tilt always"
        )
        self.fixed = whole(0, 0, 0, "Number of the fixed tilt, from 0")
        pair = QHBoxLayout()
        pair.addWidget(self.reference, 1)
        pair.addWidget(self.fixed)
        self.kind = QComboBox()
        self.kind.addItems(KINDS)
        self.kind.setToolTip(
            "flicker: both in turn; what jumps is out of place. difference: tilt minus "
            "reference, brought to one brightness; bright and dark edges side by side "
            "are a shift"
        )
        self.rate = number(
            2.5, 0.5, 20, "Changes per second of the flicker", " per s", 0.5, 1
        )
        fields = form()
        fields.addRow("With", pair)
        fields.addRow("Show", self.kind)
        fields.addRow("Flicker", self.rate)
        layout.addLayout(fields)
        self.reference.currentIndexChanged.connect(self._changed)
        self.fixed.valueChanged.connect(self._changed)
        self.kind.currentTextChanged.connect(self.pair.choose)
        self.rate.valueChanged.connect(self.pair.set_rate)
        self.state = words()
        layout.addWidget(self.state)
        self.body.addWidget(box)

    def _build_shift(self) -> None:
        box, layout = group("Shifts")
        layout.addWidget(words(HOW, dim=True))
        self.row = ActionRow()
        self.before_button = self._add(
            self.row, "Previous", "The tilt before, by angle (A)", lambda: self.go(-1)
        )
        self.after_button = self._add(
            self.row, "Next", "The tilt after, by angle (S)", lambda: self.go(1)
        )
        self.undo_button = self._add(
            self.row, "Undo", "Take back the last shift by hand", self.undo
        )
        self.use_button = self._add(
            self.row,
            "Leave out",
            "Leave this tilt out of everything that follows, or take it back",
            self.toggle_used,
        )
        layout.addWidget(self.row)
        self.table = ShiftTable(self.session.show_tilt, self.put)
        layout.addWidget(self.table)
        self.body.addWidget(box)

    def _add(self, row: ActionRow, text: str, tip: str, act: Callable[[], Any]) -> Any:
        """Add a button that leaves the arrow keys to the panel."""
        button = row.add(text, tip, act)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        return button

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow napari's slider and the other series as well."""
        return [
            *super().connections(),
            (self.session.layers_changed, self.exchange.refresh),
            (self.session.viewer.dims.events.point, self._moved),
        ]

    # on and off ---------------------------------------------------------------

    def start(self) -> None:
        """Show the pair and take the arrow keys."""
        if self.session.series is None:
            return
        self._on = True
        self.session.show_tilts()
        self.setFocus()
        self._compare()
        self.refresh()

    def stop(self) -> None:
        """Take the pair away; the shifts stay."""
        self._on = False
        self._work.forget()
        self.pair.hide()
        self.state.setText("")
        self.refresh()

    def release(self) -> None:
        """Take everything away with the dock."""
        super().release()
        self.stop()

    def hideEvent(self, event: Any) -> None:
        """Flicker only while the dock is in sight."""
        super().hideEvent(event)
        self.pair.pause()

    def showEvent(self, event: Any) -> None:
        """Flicker again."""
        super().showEvent(event)
        self.pair.draw()

    @property
    def keys(self) -> dict[str, Callable[[], None]]:
        """What the keys do, by napari's names."""
        keys: dict[str, Callable[[], None]] = {
            "S": lambda: self.go(1),
            "A": lambda: self.go(-1),
            "F": lambda: self._toggle(FLICKER, "tilt"),
            "D": lambda: self._toggle(DIFFERENCE, FLICKER),
        }
        for name, (right, down) in MOVES.items():
            for prefix, px in (("", COARSE_PX), ("Shift-", FINE_PX)):
                keys[prefix + name] = lambda x=right * px, y=down * px: self.nudge(x, y)
        return keys

    def keyPressEvent(self, event: Any) -> None:
        """Do what the keys do on the canvas."""
        name = Qt.Key(event.key()).name.removeprefix("Key_")
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        action = self.keys.get(f"Shift-{name}" if shift else name)
        if action is None or not self._on:
            super().keyPressEvent(event)
        else:
            action()

    def _toggle(self, kind: str, other: str) -> None:
        self.kind.setCurrentText(other if self.kind.currentText() == kind else kind)

    # which tilts --------------------------------------------------------------

    @property
    def tilt(self) -> int | None:
        """The tilt that is shown and shifted."""
        return self.session.shown_tilt()

    def reference_tilt(self) -> int | None:
        """Return the tilt it is compared with, or None at an end of the series."""
        series, tilt = self.session.series, self.tilt
        if series is None or tilt is None:
            return None
        which = self.reference.currentIndex()
        if which == 2:
            return self.fixed.value()
        return steps.neighbour(series, tilt, 1 if which else -1)

    def go(self, step: int) -> None:
        """Show the next (1) or previous (-1) used tilt by angle."""
        series, tilt = self.session.series, self.tilt
        if series is not None and tilt is not None:
            other = steps.neighbour(series, tilt, step)
            if other is not None:
                self.session.show_tilt(other)

    def _moved(self, *_: Any) -> None:
        self._changed()

    def _changed(self, *_: Any) -> None:
        self._later()

    def _compare(self, *_: Any) -> None:
        """Compute the pair in a worker thread."""
        series, tilt = self.session.series, self.tilt
        if series is None or tilt is None or self.session.closed:
            return
        self._refresh_row()
        self.table.show_series(series, steps.in_order(series), tilt)
        if not self._on:
            return
        reference = self.reference_tilt()
        if reference is None or reference == tilt:
            text = "It is compared with itself."
            if reference is None:
                end = "after" if self.reference.currentIndex() else "before"
                text = f"There is no used tilt {end} it."
            self.state.setText(f"Tilt {tilt}. {text}")
            reference = tilt
        self._asked = (tilt, reference)
        self._work.ask(compared, series, tilt, reference)

    def _computed(self, result: tuple[int, int, Any]) -> None:
        tilt, reference, pair = result
        series = self.session.series
        if not self._on or series is None or (tilt, reference) != self._asked:
            return
        self.pair.show(pair, self.keys)
        if tilt != reference:
            angles = series.angles_deg
            self.state.setText(
                f"Tilt {tilt} ({angles[tilt]:+.1f} deg) on {reference} "
                f"({angles[reference]:+.1f} deg): agreement {pair.agreement:.4f}"
            )

    def _failed(self, error: Exception) -> None:
        self.state.setText(f"The tilts cannot be compared: {error}")

    # shifting -----------------------------------------------------------------

    def nudge(self, right_px: float, down_px: float) -> None:
        """Move the shown tilt on the screen: its content, so its shift gets smaller."""
        series, tilt = self.session.series, self.tilt
        if self._on and series is not None and tilt is not None:
            poses = series.start_poses
            self.put(
                tilt,
                round(float(poses.dx_px[tilt]) - right_px, 6),
                round(float(poses.dy_px[tilt]) - down_px, 6),
            )

    def put(self, tilt: int, dx_px: float, dy_px: float) -> None:
        """Store the shift of a tilt, with undo."""
        series = self.session.series
        if series is None or self.session.why_not_step() is not None:
            self.refresh()
            return
        poses = series.start_poses
        before = (tilt, float(poses.dx_px[tilt]), float(poses.dy_px[tilt]))
        if before != (tilt, dx_px, dy_px) and np.isfinite([dx_px, dy_px]).all():
            self._past.append(before)
            self._store(tilt, dx_px, dy_px)
        else:
            self.refresh()

    def _store(self, tilt: int, dx_px: float, dy_px: float) -> None:
        layer, series = self.session.layer, self.session.series
        self._mine = steps.shift_by_hand(series, tilt, dx_px, dy_px)
        self.session.apply(layer, self._mine, LABEL, merge=True)

    def undo(self) -> None:
        """Take back the last shift by hand, and show its tilt."""
        if self._past and self.session.why_not_step() is None:
            tilt, dx_px, dy_px = self._past.pop()
            self.session.show_tilt(tilt)
            self._store(tilt, dx_px, dy_px)

    def toggle_used(self) -> None:
        """Leave the shown tilt out, or take it back."""
        series, tilt = self.session.series, self.tilt
        if series is not None and tilt is not None:
            used = not series.mask[tilt]
            label = "Taking views back" if used else "Leaving views out"
            start_step(self.session, label, steps.set_used, [tilt], used)

    # showing ------------------------------------------------------------------

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the session."""
        series = self.session.series
        if series is not self._mine:
            self._past.clear()  # another step came between
            self._mine = series
        if series is None and self._on:
            self.stop()
            return
        with signals_blocked(self.fixed):
            self.fixed.setMaximum(0 if series is None else len(series) - 1)
        self.exchange.refresh()
        self._refresh_row()
        order = [] if series is None else steps.in_order(series)
        self.table.show_series(series, order, self.tilt)
        self._changed()

    def _refresh_row(self) -> None:
        session, series, tilt = self.session, self.session.series, self.tilt
        why = session.why_not_step()
        self.switch.setText("Done" if self._on else "Shift by hand")
        self.switch_row.bar(self.switch, None if self._on or series else why)
        self.fixed.setEnabled(self.reference.currentIndex() == 2)
        ends = {-1: "This is the first tilt", 1: "This is the last tilt"}
        for button, step in ((self.before_button, -1), (self.after_button, 1)):
            end = None
            if series is not None and tilt is not None:
                last = steps.neighbour(series, tilt, step) is None
                end = ends[step] if last else None
            self.row.bar(button, why or end)
        undo = None if self._past else "No shift by hand to take back"
        last = f"Undo: tilt {self._past[-1][0]}" if self._past else "Undo"
        self.undo_button.setText(last)
        self.row.bar(self.undo_button, why or undo)
        used = series is None or tilt is None or bool(series.mask[tilt])
        self.use_button.setText("Leave out" if used else "Use again")
        self.row.bar(self.use_button, why)


def compared(series: TiltSeries, tilt: int, reference: int) -> tuple[int, int, Any]:
    """Return (tilt, reference, `Comparison`) of a series (worker thread)."""
    return tilt, reference, steps.compare_tilts(series, tilt, reference)


class ShiftsDock(Dock):
    """Dock: shift tilts by hand."""

    panels = (ShiftsPanel,)
