"""The start pose of one tilt: by number, frozen, taken from the run, or reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.controls import ActionRow, group, number, tick, words
from napari_inr_tomo.ui.jobs import start_step
from napari_inr_tomo.ui.live import POSE_COLUMNS
from napari_inr_tomo.ui.series_layer import frozen_of, set_frozen

if TYPE_CHECKING:
    from napari_inr_tomo.ui.session import Session

NAMES = ("z1", "z3", "dx", "dy")
TIPS = (
    "Turn of the object before the tilt, degrees",
    "Turn of the image after the tilt, degrees",
    "Shift of the image to the right, pixels",
    "Shift of the image down, pixels",
)
NO_FITTING_RUN = "No run of this tilt series is open"
FROZEN = "Frozen: a reconstruction keeps this pose"
FROZEN_TIP = "The pose of this tilt stays as it starts; those of the others are refined"
REFERENCE = "The reference tilt keeps its pose"


class PoseEditor(QWidget):
    """Four numbers of the shown tilt; they are where the next run starts."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._tilt = 0
        self._shown: tuple[float, ...] = ()
        self.numbers = {}
        box, inside = group("Start pose of this tilt")
        grid = QGridLayout()
        for place, (name, tip) in enumerate(zip(NAMES, TIPS, strict=True)):
            unit = " deg" if name.startswith("z") else " px"
            edit = number(0, -9999, 9999, tip, unit, decimals=2)
            edit.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self.numbers[name] = edit
            row, column = divmod(place, 2)
            grid.addWidget(QLabel(name), row, 2 * column)
            grid.addWidget(edit, row, 2 * column + 1)
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        inside.addLayout(grid)
        self.frozen = tick(FROZEN, FROZEN_TIP)
        self.frozen.clicked.connect(self.freeze)
        inside.addWidget(self.frozen)
        self.row = ActionRow()
        self.set_button = self.row.add(
            "Set", "Start the next run from these numbers", self.set_pose
        )
        self.take_button = self.row.add(
            "From the run",
            "Start the next run from the pose the run has found for this tilt",
            lambda: self._from_run("found"),
        )
        self.reset_button = self.row.add(
            "Reset",
            "Back to the pose the run started from",
            lambda: self._from_run("start"),
        )
        inside.addWidget(self.row)
        self.found = words(dim=True)
        inside.addWidget(self.found)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(box)

    def show_tilt(self, tilt: int) -> None:
        """Show the start pose of a tilt and what the run says of it."""
        session, series = self.session, self.session.series
        self._tilt = tilt
        why = session.why_not_step()
        if series is not None and tilt >= len(series):
            why = "The current tilt series has no such tilt"
        run = why or (None if session.run.fitting_poses() else NO_FITTING_RUN)
        self.row.bar(self.set_button, why)
        self.row.bar(self.take_button, run)
        self.row.bar(self.reset_button, run)
        reference = why is None and tilt == series.reference
        held = "The reference tilt keeps its pose in any case" if reference else why
        self.frozen.setEnabled(held is None)
        self.frozen.setText(REFERENCE if reference else FROZEN)
        self.frozen.setToolTip(FROZEN_TIP if held is None else f"{held}.")
        self.frozen.setChecked(tilt in frozen_of(session.layer))
        self.found.setText("")
        if why is None:
            self._show_numbers(series.start_poses.as_array()[tilt])
        if run is None:
            self.found.setText(f"The run has found {self._in_words('found')}.")

    def _show_numbers(self, pose: np.ndarray) -> None:
        """Show a pose; numbers that are being typed stay until it is another one."""
        now = (self._tilt, *pose)
        if now != self._shown:
            self._shown = now
            for edit, value in zip(self.numbers.values(), pose, strict=True):
                edit.setValue(float(value))

    def _of_run(self, what: str) -> np.ndarray:
        """Return z1, z3 (deg), dx, dy (px) of the tilt: found, or at the start."""
        run = self.session.run
        if what == "start":
            return run.first_poses().as_array()[self._tilt]
        table = run.fitting_poses()
        return np.array([table[name][self._tilt] for name in POSE_COLUMNS])

    def _in_words(self, what: str) -> str:
        z1, z3, dx, dy = self._of_run(what)
        return f"z1 {z1:.2f}, z3 {z3:.2f} deg, dx {dx:.2f}, dy {dy:.2f} px"

    def set_pose(self) -> None:
        """Make the numbers the start pose of the tilt."""
        self._apply(tuple(edit.value() for edit in self.numbers.values()))

    def _from_run(self, what: str) -> None:
        self._apply(tuple(map(float, self._of_run(what))))

    def _apply(self, pose: tuple[float, ...]) -> None:
        label = f"Setting the pose of tilt {self._tilt}"
        start_step(self.session, label, steps.set_pose, self._tilt, pose)

    def freeze(self) -> None:
        """Freeze the pose of the tilt, or let it be refined."""
        if self.session.layer is not None:
            set_frozen(self.session.layer, self._tilt, self.frozen.isChecked())
            self.session.series_changed.emit()
