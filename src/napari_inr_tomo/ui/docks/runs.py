"""All runs of a folder: open, resume, compare, use again with changes, delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QItemSelectionModel, QSize, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMessageBox,
    QTableWidget,
    QTableWidgetItem,
)

from napari_inr_tomo.ui.controls import (
    ActionRow,
    PathEdit,
    form,
    group,
    words,
)
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.docks.compare import CompareDock
from napari_inr_tomo.ui.docks.reconstruction import (
    ReconstructionDock,
    ReconstructionPanel,
)
from napari_inr_tomo.ui.jobs import start_job
from napari_inr_tomo.ui.latest import Latest
from napari_inr_tomo.ui.open_docks import show_dock, show_panel
from napari_inr_tomo.ui.paths import shown
from napari_inr_tomo.ui.queueing import CHOOSE, QueueBox
from napari_inr_tomo.ui.run_folders import folder_of_runs, read_input, runs_home
from napari_inr_tomo.ui.run_words import SIDE_PX, details, icon, no_runs, texts
from napari_inr_tomo.ui.series_layer import set_frozen, volume_layer_data

SELECT = (
    QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
)
COLUMNS = ("run", "state", "loss")
TWO = "Select two runs that have a result"
AGAIN_MS = 2000
"""How often the folder is read while a run in it goes on."""


class RunsPanel(Panel):
    """Find a run again, look at it, go on with it, or use its settings."""

    title = "Runs"
    intro = (
        "Every reconstruction keeps its input, settings and result in a folder of its "
        "own. Double-click one to look at it."
    )

    def build(self) -> None:
        """Make the controls."""
        self.entries: list[Any] = []
        self._work = Latest(self, self._listed, self._failed)
        box, layout = group("Runs")
        self.folder = PathEdit(
            "folder",
            "The folder whose runs are listed; it may be on a disk of a cluster",
            "~/inr-tomo-runs",
        )
        self.folder.line.editingFinished.connect(self._folder_chosen)
        self._offered = ""
        """The folder that was shown without anybody asking for it."""
        fields = form()
        fields.addRow("Folder", self.folder)
        layout.addLayout(fields)
        self._build_table()
        layout.addWidget(self.table)
        self.none = words()
        layout.addWidget(self.none)
        self.details = words()
        layout.addWidget(self.details)
        self.row = ActionRow()
        self.open_button = self.row.add(
            "Open", "Show the volume, the curves and the poses of the run", self.open
        )
        self.resume_button = self.row.add(
            "Resume", "Go on from the last checkpoint of the run", self.resume
        )
        self.compare_button = self.row.add(
            "Compare",
            "Open the volumes of two selected runs beside each other",
            self.compare,
        )
        layout.addWidget(self.row)
        self.more_row = ActionRow()
        self.clone_button = self.more_row.add(
            "Use settings",
            "Open the tilt series of the run as it was, and its settings in the "
            "Reconstruction step, to change some and start again",
            self.clone,
        )
        self.delete_button = self.more_row.add(
            "Delete...", "Remove the run folder with all that is in it", self.ask_delete
        )
        self.read_button = self.more_row.add(
            "Refresh", "Read the folder again", self.read
        )
        layout.addWidget(self.more_row)
        self.body.addWidget(box)
        self.queue = QueueBox(self.session, self.chosen, self.read)
        self.body.addWidget(self.queue)
        self.again = QTimer(self)
        self.again.setSingleShot(True)
        self.again.setInterval(AGAIN_MS)
        self.again.timeout.connect(self.read)

    def _build_table(self) -> None:
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        self.table.setToolTip("Newest first; the picture is the middle slice")
        self.table.setWordWrap(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(SIDE_PX + 4)
        self.table.setIconSize(QSize(SIDE_PX, SIDE_PX))
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setMinimumHeight(240)
        self.table.itemSelectionChanged.connect(self.refresh)
        self.table.itemDoubleClicked.connect(lambda _: self.open())

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the run."""
        session = self.session
        return [
            (session.busy_changed, self.refresh),
            (session.run.changed, self._run_changed),
        ]

    def attach(self) -> None:
        """Connect, and read the folder."""
        super().attach()
        self._offer()
        self.read()

    def release(self) -> None:
        """Let go."""
        super().release()
        self.again.stop()
        self._work.forget()

    def _offer(self) -> None:
        """Show the folder of the present run, unless another one was asked for."""
        run = self.session.run.run
        listed = run is not None and any(e.path == run.path for e in self.entries)
        if self.folder.text() == self._offered and not listed:
            self.folder.setText(str(folder_of_runs(run)))
            self._offered = self.folder.text()

    def _folder_chosen(self) -> None:
        if self.folder.text() != self._offered:
            self._offered = ""
        self.read()

    def _run_changed(self) -> None:
        self._offer()
        self.read()
        self.refresh()

    # the list -----------------------------------------------------------------

    def read(self) -> None:
        """Read the folder in a worker."""
        folder = Path(self.folder.text())
        self._work.ask(list_with_pictures, folder, folder == runs_home())

    def _failed(self, error: Exception) -> None:
        self.details.setText(str(error))

    def _listed(self, found: tuple[list[Any], str]) -> None:
        if self.session.closed:
            return
        entries, none = found
        self.none.setText(none)
        self.none.setHidden(not none)
        chosen = {entry.path for entry in self.all_chosen()}
        selection = self.table.selectionModel()
        self.table.blockSignals(True)
        self.entries = entries
        self.table.setRowCount(len(entries))
        self.table.clearSelection()
        for row, entry in enumerate(entries):
            for column, text in enumerate(texts(entry)):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{text}\n{shown(entry.path)}" if column == 0 else text)
                self.table.setItem(row, column, item)
            if entry.picture is not None:
                self.table.item(row, 0).setIcon(icon(entry.picture))
            if entry.path in chosen:
                index = self.table.model().index(row, 0)
                selection.select(index, SELECT)
        self.table.blockSignals(False)
        self.refresh()
        if self._listening and any(e.status.active or e.queue_alive for e in entries):
            self.again.start()

    def all_chosen(self) -> list[Any]:
        """Return the entries that are selected, from the top."""
        rows = sorted(r.row() for r in self.table.selectionModel().selectedRows())
        return [self.entries[row] for row in rows if row < len(self.entries)]

    def chosen(self) -> Any:
        """Return the entry that is selected, or None; of several none."""
        entries = self.all_chosen()
        return entries[0] if len(entries) == 1 else None

    # doing --------------------------------------------------------------------

    def open(self) -> None:
        """Follow or show the chosen run."""
        entry = self.chosen()
        if entry is not None and self.why_not_open() is None:
            self.session.run.open(entry.path)

    def resume(self) -> None:
        """Go on with the chosen run."""
        self.session.run.resume_folder(self.chosen().path)

    def compare(self) -> None:
        """Open the results of both selected runs and compare them."""

        def done(volumes: list[Any]) -> None:
            from napari.layers import Layer

            viewer = self.session.viewer
            layers = [
                viewer.add_layer(Layer.create(*volume_layer_data(volume, name)))
                for name, volume in volumes
            ]
            panel = show_dock(self.session, CompareDock).panel
            for picker, layer in zip((panel.a, panel.b), layers, strict=True):
                picker.refresh()
                picker.choose(layer)

        paths = [entry.path for entry in self.all_chosen()]
        start_job(self.session, "Reading both results", read_results, paths, done=done)

    def clone(self) -> None:
        """Open series and settings of the chosen run."""

        def done(found: tuple[Any, Any]) -> None:
            series, config, frozen = found
            layer = self.session.add_series(series)
            for tilt in frozen:
                set_frozen(layer, tilt, True)
            panel = show_panel(self.session, ReconstructionPanel, ReconstructionDock)
            panel.show_config(config)

        start_job(
            self.session,
            "Opening the input of the run",
            read_input,
            self.chosen().path,
            done=done,
        )

    def ask_delete(self) -> None:
        """Delete the chosen run, if the user says so."""
        path = self.chosen().path
        answer = QMessageBox.question(
            self,
            "Delete this run?",
            f"{path}\n\nIts input, result and checkpoints are removed for good. "
            "Volumes exported elsewhere stay.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self.delete(path)

    def delete(self, path: Path) -> None:
        """Delete a run in a worker."""
        start_job(
            self.session,
            "Deleting the run",
            delete_run,
            path,
            done=lambda _: self.read(),
            owner=self,
        )

    def why_not_open(self) -> str | None:
        """Return why the chosen run cannot be opened, or None."""
        entry = self.chosen()
        if entry is None:
            return CHOOSE
        if entry.problem:
            return "This run is damaged"
        return self.session.run.why_not_open()

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the choice and the run."""
        entry, session = self.chosen(), self.session
        busy = f"Busy: {session.busy}" if session.busy else None
        why = self.why_not_open()
        self.row.bar(self.open_button, why)
        resume = why
        if resume is None and entry.status.active:
            resume = "This run is going on"
        if resume is None and entry.status.state == "finished":
            resume = "This run went to its planned end"
        self.row.bar(self.resume_button, resume)
        both = self.all_chosen()
        two = len(both) == 2 and all(e.status.has_result for e in both)
        self.row.bar(self.compare_button, busy if two else TWO)
        none = CHOOSE if entry is None else busy
        damaged = "This run is damaged" if entry is not None and entry.problem else None
        self.more_row.bar(self.clone_button, none or damaged)
        delete = none or damaged
        if delete is None and entry.status.active:
            delete = "This run is going on: stop or cancel it first"
        if delete is None and self._is_open(entry.path):
            delete = "This run is open in the Monitor and going on"
        self.more_row.bar(self.delete_button, delete)
        self.details.setText("" if entry is None else details(entry))
        self.queue.refresh()

    def _is_open(self, path: Path) -> bool:
        run = self.session.run
        return run.alive and run.run is not None and Path(run.run.path) == path


def list_with_pictures(folder: Path, usual: bool) -> tuple[list[Any], str]:
    """Return the runs in a folder, and why there is none (worker thread).

    usual: it is where new runs are kept.
    """
    from napari_inr_tomo import runs

    found = runs.list_runs(folder, pictures=True)
    return found, "" if found else no_runs(folder, usual)


def read_results(paths: list[Path]) -> list[tuple[str, Any]]:
    """Return the names and the finished volumes of runs (worker thread)."""
    from napari_inr_tomo import io, runs

    return [(p.name, io.read_volume(runs.RunFolder(p).result())) for p in paths]


def delete_run(path: Path) -> None:
    """Delete a run (worker thread)."""
    from napari_inr_tomo import runs

    runs.delete_run(path)


class RunsDock(Dock):
    """Dock: the list of runs."""

    panels = (RunsPanel,)
