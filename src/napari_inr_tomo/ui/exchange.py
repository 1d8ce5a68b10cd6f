"""Alignments from and to files of this and other programs, and from other signals."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QVBoxLayout, QWidget

from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.controls import ActionRow, tick, words
from napari_inr_tomo.ui.jobs import start_job, start_step, tell
from napari_inr_tomo.ui.paths import shown
from napari_inr_tomo.ui.series_layer import series_of
from napari_inr_tomo.ui.session import Session

IN = "Alignments (*.csv *.xf *.aln *.json *.npz *.tvsm)"
OUT = (
    "All about the poses (*.csv);;IMOD transforms (*.xf);;IMOD angles (*.tlt);;"
    "AreTomo (*.aln);;tomviz, whole pixels (*.json);;tomviz (*.npz)"
)


class Exchange(QWidget):
    """Load, save, and take over alignments of the current tilt series."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._others: list[Any] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.row = ActionRow()
        self.load_button = self.row.add(
            "Load...",
            "Replace the poses by those in a file: poses.csv, .xf (IMOD), .aln "
            "(AreTomo), .json .npz .tvsm (tomviz)",
            self.ask_load,
        )
        self.save_button = self.row.add(
            "Save...",
            "Write the poses as poses.csv, or for IMOD, AreTomo or tomviz",
            self.ask_save,
        )
        layout.addWidget(self.row)
        self.flip = tick(
            "tomviz counted y upwards (TIFF)",
            "tomviz turns the rows of TIFF files over when it reads them, those of MRC "
            "and EMD files not. Tick this if it has read, or will read, the stack as "
            "TIFF. Only for .json, .npz and .tvsm",
        )
        layout.addWidget(self.flip)
        self.other_row = ActionRow()
        self.other = QComboBox()
        self.other.setToolTip("Another tilt series of the same field that is open")
        self.other.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        layout.addWidget(self.other)
        self.other_button = self.other_row.add(
            "Use its alignment",
            "Take the poses of the other tilt series, scaled to the pixels of this "
            "one: an alignment found on one signal serves another, such as the map of "
            "an element",
            self.take_other,
        )
        layout.addWidget(self.other_row)
        self.said = words(dim=True)
        layout.addWidget(self.said)

    def ask_load(self) -> None:
        """Ask for a file and load it."""
        path, _ = QFileDialog.getOpenFileName(self, "Load an alignment", "", IN)
        if path:
            self.load(path)

    def load(self, path: str) -> None:
        """Replace the poses by those in a file."""
        start_step(
            self.session,
            "Loading an alignment",
            steps.load_alignment,
            path,
            self.flip.isChecked(),
        )

    def ask_save(self) -> None:
        """Ask for a file and write it."""
        path, kind = QFileDialog.getSaveFileName(
            self, "Save the alignment", "poses.csv", OUT
        )
        if path:
            suffix = kind.rsplit("*", 1)[-1].rstrip(")")
            named = path.rsplit("/", 1)[-1]
            self.save(path if "." in named else path + suffix)

    def save(self, path: str) -> None:
        """Write the alignment in the format of the suffix."""

        def done(lost: tuple[str, ...]) -> None:
            self.said.setText(f"Wrote {shown(path)}")
            tell(lost)

        start_job(
            self.session,
            "Writing the alignment",
            steps.save_alignment,
            self.session.series,
            path,
            self.flip.isChecked(),
            self.session.files_read(),
            done=done,
            owner=self,
        )

    def take_other(self) -> None:
        """Take the alignment of the chosen tilt series."""
        place = self.other.currentIndex()
        if 0 <= place < len(self._others):
            start_step(
                self.session,
                "Taking over an alignment",
                steps.alignment_of,
                series_of(self._others[place]),
            )

    def refresh(self) -> None:
        """List the other tilt series; grey out what cannot be used."""
        session = self.session
        chosen = self.other.currentText()
        self._others = [
            layer for layer in session.series_layers() if layer is not session.layer
        ]
        names = [layer.name for layer in self._others]
        self.other.clear()
        self.other.addItems(names or ["no other tilt series is open"])
        if chosen in names:
            self.other.setCurrentIndex(names.index(chosen))
        self.other.setEnabled(bool(names))
        why = session.why_not_step()
        self.row.bar(self.load_button, why)
        self.row.bar(self.save_button, why)
        none = None if names else "No other tilt series is open"
        self.other_row.bar(self.other_button, why or none)
