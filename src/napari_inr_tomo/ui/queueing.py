"""The box of the Runs dock that runs a chosen run again for values of one setting."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QCompleter, QLineEdit, QWidget

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui.controls import ActionRow, form, words
from napari_inr_tomo.ui.fold import Fold
from napari_inr_tomo.ui.jobs import start_job
from napari_inr_tomo.ui.session import Session
from napari_inr_tomo.ui.tips import tip

CHOOSE = "Select one run in the list"
START_S = 60.0
"""How long the process may take to show itself."""
NO_VALUES = "Type the values, with commas between them"
COMMON = (
    "inr.schedule.epochs",
    "inr.schedule.learning_rate",
    "inr.loss.tv_weight",
    "inr.field.width",
    "classic.iterations",
    "seed",
)
USUAL = {
    "sirt": "classic.iterations",
    "tv": "classic.iterations",
    "fbp": "classic.filter",
}
"""What is varied most often with a method; with others, the first of `COMMON`."""


class QueueBox(Fold):
    """Which setting, which values; start the queue, and end it."""

    def __init__(
        self, session: Session, chosen: Callable[[], Any], changed: Callable[[], Any]
    ) -> None:
        super().__init__("Queue with one setting varied")
        self._session, self._chosen, self._changed = session, chosen, changed
        inner = QWidget()
        fields = form()
        inner.setLayout(fields)
        fields.addRow(
            words(
                "The selected run is done again once for every value, one after the "
                "other or one on each graphics card, by a process of its own: closing "
                "napari does not end it.",
                dim=True,
            )
        )
        self._offered = COMMON[0]
        self.key = QComboBox()
        self.key.setEditable(True)
        self.key.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.key.addItems(keys())
        completer = QCompleter(keys(), self.key)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.key.setCompleter(completer)
        self.key.currentTextChanged.connect(self._say_key)
        self.values = QLineEdit()
        self.values.setPlaceholderText("e.g. 10, 20, 40")
        self.values.setToolTip(
            "Values with commas between them, as in a settings file; none for no value"
        )
        self.values.textChanged.connect(lambda _: self.refresh())
        fields.addRow("Setting", self.key)
        fields.addRow("Values", self.values)
        self.row = ActionRow()
        self.queue_button = self.row.add(
            "Queue", "Make a run for every value and start with the first", self.start
        )
        self.end_button = self.row.add(
            "End queue",
            "Cancel the run that goes on and start no further one; what is done stays",
            self.end,
        )
        self.go_on_button = self.row.add(
            "Go on", "Do what is left of the queue of the selected run", self.go_on
        )
        fields.addRow(self.row)
        self.said = words()
        fields.addRow(self.said)
        self.fill(inner)
        self._say_key()

    def _say_key(self, *_: Any) -> None:
        key = self.key.currentText().strip()
        self.key.setToolTip(tip(key) if key in keys() else "Name of a setting")
        self.refresh()

    def queue_of(self, entry: Any) -> Path | None:
        """Return the folder of the queue a run is in, or None."""
        return None if entry is None or entry.queued is None else entry.path.parent

    def start(self) -> None:
        """Make the queue beside the chosen run's folder and start it."""
        entry = self._chosen()
        place = self.queue_of(entry) or entry.path
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        self._job(
            "Making the queue",
            make_and_start,
            entry.path,
            place.parent / f"queue-{stamp}",
            self.key.currentText().strip(),
            self.values.text().split(","),
        )

    def go_on(self) -> None:
        """Start a process for the queue of the chosen run."""
        self._job("Starting the queue", start_queue, self.queue_of(self._chosen()))

    def end(self) -> None:
        """Ask the process of the queue of the chosen run to end."""
        self._job("Ending the queue", end_queue, self.queue_of(self._chosen()))

    def _job(self, label: str, function: Callable[..., str], *args: Any) -> None:
        def done(text: str) -> None:
            self.said.setText(text)
            self._changed()

        def failed(error: Exception) -> None:
            self.said.setText(str(error))

        start_job(
            self._session,
            label,
            function,
            *args,
            done=done,
            failed=failed,
            owner=self,
        )

    def _offer_key(self, entry: Any) -> None:
        """Offer what is varied most often with the method, unless a key was chosen."""
        offered, self._offered = self._offered, USUAL.get(entry.method, COMMON[0])
        if self.key.currentText() == offered != self._offered:
            self.key.setCurrentText(self._offered)

    def refresh(self) -> None:
        """Bring the buttons into agreement with the chosen run."""
        entry, busy = self._chosen(), self._session.busy
        if entry is not None and not entry.problem:
            self._offer_key(entry)
        why = f"Busy: {busy}" if busy else None
        none = CHOOSE if entry is None else why
        damaged = "This run is damaged" if entry is not None and entry.problem else None
        values = None if self.values.text().strip() else NO_VALUES
        self.row.bar(self.queue_button, none or damaged or values)
        inside = None if self.queue_of(entry) else "This run is in no queue"
        going = entry is not None and entry.queue_alive
        rest = none or inside
        self.row.bar(self.end_button, rest or (None if going else "It is not at work"))
        self.row.bar(self.go_on_button, rest or ("It is at work" if going else None))


def keys() -> list[str]:
    """Return the names of all settings, those that are varied most often first."""
    from napari_inr_tomo.runs import setting_keys

    names = setting_keys(ReconstructionConfig())
    first = [name for name in COMMON if name in names]
    return [*first, *(name for name in names if name not in first)]


def make_and_start(source: Path, folder: Path, key: str, values: list[str]) -> str:
    """Make a queue from a run and start it (worker thread)."""
    from napari_inr_tomo import runs

    run = runs.RunFolder(source)
    variations = runs.vary(run.config, key, values)
    queue = runs.create_queue(folder, run.series(), variations, run.spec.source_name)
    return start_queue(queue.path)


def start_queue(folder: Path) -> str:
    """Start the process that works through a queue (worker thread)."""
    from napari_inr_tomo import runs

    queue = runs.QueueFolder(folder)
    if not queue.alive:
        process = runs.start_command(["queue", str(queue.path)], queue.log)
        until = time.monotonic() + START_S
        while not queue.alive and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        if process.poll():
            raise UserError(
                f"The queue {queue.path} did not start",
                last_line(queue.log),
                "See its file queue.log",
            )
    return f"{len(queue.runs())} runs in {queue.path.name}, one after the other."


def last_line(log: Path) -> str:
    """Return the last line of a file that says something, shortened."""
    lines = log.read_text(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")[:400]


def end_queue(folder: Path) -> str:
    """Ask the process of a queue to end (worker thread)."""
    from napari_inr_tomo import runs

    runs.QueueFolder(folder).request_cancel()
    return "Asked the queue to end."
