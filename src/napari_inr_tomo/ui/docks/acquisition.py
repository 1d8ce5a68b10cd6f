"""While the tilts are being taken: a list that grows, a series, a quick volume."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
)

from napari_inr_tomo.ui import acquiring
from napari_inr_tomo.ui.acquiring_layers import AcquisitionLayers
from napari_inr_tomo.ui.controls import ActionRow, PathEdit, form, group, tick, words
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_job
from napari_inr_tomo.ui.paths import shown
from napari_inr_tomo.ui.run_folders import runs_home

COLUMNS = ("angle", "shift x, y (px)", "file")
QUICK = {"SIRT": "sirt", "FBP (seconds)": "fbp", "TV": "tv", "none": "none"}
RECIPES = ("none", "as current series")
NOTHING = "Choose the folder or the stack that is being written"
NO_RESULTS = "Choose the folder Results of that acquisition"


class AcquisitionPanel(Panel):
    """Watch a folder or a growing stack, and see the volume form."""

    title = "During acquisition"
    intro = (
        "Every new tilt is prepared, aligned to its neighbour and added to a quick "
        "volume. A process of its own does the work: closing this dock does not end it."
    )

    def build(self) -> None:
        """Make the controls."""
        self.folder: Any = None
        self.going = False
        self._stop = threading.Event()
        self._stopping = False
        self._worker: Any = None
        self._run = self._shown_run = ""
        self.layers = AcquisitionLayers(self.session)
        self._build_what()
        self._build_how()
        self._build_tilts()

    def _build_what(self) -> None:
        box, layout = group("What is watched")
        self.watched = PathEdit(
            "folder",
            "A folder that gets one file a tilt, or the path of a stack that grows",
            "folder, or stack.mrc",
        )
        self.watched.line.textChanged.connect(self.refresh)
        self.angles = QLineEdit()
        self.angles.setPlaceholderText("from names or metadata")
        self.angles.setToolTip(
            "Angles in the order in which the tilts come: start:stop:step in degrees, "
            "a list, or a file. Empty: from the names of the files, .mdoc or metadata"
        )
        self.pattern = QLineEdit()
        self.pattern.setPlaceholderText(r"e.g. _(-?\d+\.?\d*)\.tif")
        self.pattern.setToolTip(
            "A regular expression whose first group is the angle in a file name. "
            "Empty: the usual ways of writing it are tried"
        )
        fields = form()
        fields.addRow("Folder or stack", self.watched)
        fields.addRow("Angles", self.angles)
        fields.addRow("Name pattern", self.pattern)
        layout.addLayout(fields)
        self.body.addWidget(box)

    def _build_how(self) -> None:
        box, layout = group("What is done")
        self.recipe = QComboBox()
        self.recipe.addItems(RECIPES)
        self.recipe.setToolTip(
            "Down-sampling, hot pixels, background and excluded angles as in the "
            "history of that series; its tilt axis, too"
        )
        self.recipe.currentIndexChanged.connect(self.refresh)
        self.quick = QComboBox()
        self.quick.addItems(list(QUICK))
        self.quick.setToolTip("How the volume is refreshed after every tilt")
        self.inr = tick(
            "Go on with the INR",
            "From the fifth tilt on the network learns, each run from where the last "
            "one was; its runs open in the Monitor",
        )
        self.out = PathEdit(
            "folder",
            "Where series, volume and runs are kept; empty: a new folder beside the "
            "runs. An acquisition that was ended is taken up again in its folder",
            "a new folder in ~/inr-tomo-runs",
        )
        self.out.line.textChanged.connect(self.refresh)
        fields = form()
        fields.addRow("Recipe", self.recipe)
        fields.addRow("Quick volume", self.quick)
        fields.addRow(self.inr)
        fields.addRow("Results", self.out)
        layout.addLayout(fields)
        self.row = ActionRow()
        self.start_button = self.row.add(
            "Start", "Begin to watch; what is there already is taken in", self.start
        )
        self.stop_button = self.row.add(
            "Stop", "End it and keep what is there", self.stop
        )
        self.follow_button = self.row.add(
            "Follow",
            "Look at the acquisition in the folder Results, begun before or elsewhere",
            self.follow_folder,
        )
        layout.addWidget(self.row)
        self.body.addWidget(box)

    def _build_tilts(self) -> None:
        box, layout = group("Tilts")
        self.summary = words("Not started.")
        layout.addWidget(self.summary)
        self.place = words(dim=True)
        layout.addWidget(self.place)
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setToolTip("In the order of arrival; the shift is in pixels")
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(160)
        layout.addWidget(self.table)
        self.problems = words(dim=True)
        layout.addWidget(self.problems)
        self.body.addWidget(box)

    # doing ------------------------------------------------------------------

    def options(self) -> list[str]:
        """Return the words for the command line."""
        chosen = [str(Path(self.watched.text()).expanduser())]
        chosen += ["--quick", QUICK[self.quick.currentText()]]
        for option, line in (("--angles", self.angles), ("--pattern", self.pattern)):
            if line.text().strip():
                chosen.append(f"{option}={line.text().strip()}")
        if self.inr.isChecked():
            chosen.append("--inr")
        return chosen

    def start(self) -> None:
        """Start the process and follow it."""
        out = self.out.text()
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        path = Path(out).expanduser() if out else runs_home() / f"acquire-{stamp}"
        series = self.session.series if self.recipe.currentIndex() else None
        self._clear()
        start_job(
            self.session,
            "Starting to watch",
            acquiring.begin,
            path,
            series,
            self.options(),
            done=self._started,
            failed=lambda error: self.summary.setText(str(error)),
            owner=self,
        )

    def follow_folder(self) -> None:
        """Follow the acquisition in the folder of the results."""
        from napari_inr_tomo.acquire import AcquisitionFolder

        self._clear()
        self._started(AcquisitionFolder(Path(self.out.text()).expanduser()))

    def _clear(self) -> None:
        self.layers.reset()
        self._run, self._shown_run = "", ""
        self.table.setRowCount(0)
        self.problems.setText("")

    def _started(self, folder: Any) -> None:
        self.folder, self.going, self._stopping = folder, True, False
        self.place.setText(f"Results: {shown(folder.path)}")
        self.summary.setText("Starting to watch (this takes some seconds).")
        if self._listening:  # else the dock was closed meanwhile
            self._follow()

    def _follow(self) -> None:
        from superqt.utils import create_worker

        from napari_inr_tomo.ui.worker import QuietWorker

        self.leave()
        self._stop = threading.Event()
        worker = create_worker(
            acquiring.follow, self.folder, self._stop, _worker_class=QuietWorker
        )
        worker.yielded.connect(self._take)
        worker.errored.connect(lambda error: self._over(f"It is lost: {error}"))
        self._worker = worker
        worker.start()
        self.refresh()

    def stop(self) -> None:
        """Ask the process to end, as soon as it has shown itself."""
        if self.folder is not None:
            self._stopping = True
            self.summary.setText("Stopping.")
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        if self._stopping and self.folder.alive:
            self.folder.request_stop()
            self._stopping = False

    def attach(self) -> None:
        """Connect, and follow again what goes on."""
        super().attach()
        if self.going and self._worker is None:
            self._follow()

    def release(self) -> None:
        """Let go; the process goes on."""
        super().release()
        self.leave()

    def leave(self) -> None:
        """Stop following; the process goes on."""
        self._stop.set()
        if self._worker is not None:
            self._worker.quit()
            self._worker = None

    # showing ----------------------------------------------------------------

    def _take(self, news: acquiring.News | None) -> None:
        if self.session.viewer is None or self._stop.is_set():
            return
        self._ask_to_stop()
        self._show_run()
        if news is None:
            return
        state = news.state
        self._run = state.run
        self._show_tilts(state)
        self.problems.setText("\n".join(state.problems[-4:]))
        waiting = ""
        if state.waiting:
            names = ", ".join(state.waiting[:3])
            waiting = f" Not whole yet, or without an angle: {names}."
        count = len(state.tilts)
        run = f" INR: {state.run}." if state.run else ""
        self.summary.setText(f"{count} tilts so far.{run}{waiting}")
        if news.series is not None:
            self.layers.show_series(news.series)
        if news.volume is not None:
            self.layers.show_volume(news.volume)
        self._show_run()
        if news.problem:
            self._over(news.problem)
        elif state.ended:
            self._over(state.message)

    def _over(self, text: str) -> None:
        self.going = False
        self._worker = None
        self.summary.setText(text)
        self.refresh()

    def _show_tilts(self, state: Any) -> None:
        self.table.setRowCount(len(state.tilts))
        for row, tilt in enumerate(state.tilts):
            name = f"{tilt.name}, {tilt.note}" if tilt.note else tilt.name
            shift = f"{tilt.dx_px:+.1f}, {tilt.dy_px:+.1f}"
            cells = (f"{tilt.angle_deg:g}\u00b0", shift, name)
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                self.table.setItem(row, column, item)
        self.table.scrollToBottom()

    def _show_run(self) -> None:
        """Open the newest run of the INR in the Monitor as soon as that is free.

        It goes on in the layers of the run before, whose network it has.
        """
        run = self.session.run
        if self._run in ("", self._shown_run) or run.why_not_open() is not None:
            return
        before = None if run.run is None else Path(run.run.path)
        same = before == self.folder.runs / self._shown_run
        self._shown_run = self._run
        run.open(self.folder.runs / self._run, same_layers=same)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the layers and the run as well."""
        return [
            *super().connections(),
            (self.session.layers_changed, self.layers.forget_removed),
        ]

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the session."""
        session = self.session
        why = f"Busy: {session.busy}" if session.busy else None
        if self.going:
            why = "An acquisition is going on: stop it first"
        elif not self.watched.text():
            why = NOTHING
        elif self.recipe.currentIndex() and session.layer is None:
            why = "There is no tilt series to take the recipe from"
        self.row.bar(self.start_button, why)
        stop = None if self.going else "No acquisition is going on"
        self.row.bar(self.stop_button, stop)
        follow = why if self.going else None
        follow = follow or (None if self.out.text() else NO_RESULTS)
        self.row.bar(self.follow_button, follow)
        for control in (self.watched, self.angles, self.pattern, self.recipe, self.out):
            control.setEnabled(not self.going)
        for control in (self.quick, self.inr):
            control.setEnabled(not self.going)


class AcquisitionDock(Dock):
    """Dock: during the acquisition."""

    panels = (AcquisitionPanel,)

    def showEvent(self, event: Any) -> None:
        """Follow again when the window is there again."""
        super().showEvent(event)
        self.panel.attach()

    def hideEvent(self, event: Any) -> None:
        """Stop following when the whole window has gone; the process goes on."""
        super().hideEvent(event)
        if not self.window().isVisible():
            self.panel.leave()
