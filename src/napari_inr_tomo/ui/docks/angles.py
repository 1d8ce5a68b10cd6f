"""The tilt angles: where they come from, what they are, what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)
from superqt.utils import qdebounced

from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.controls import (
    ActionRow,
    PathEdit,
    form,
    group,
    number,
    tick,
    whole,
    words,
)
from napari_inr_tomo.ui.curve_layers import COLOURS
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_job, start_step
from napari_inr_tomo.ui.latest import Latest
from napari_inr_tomo.ui.plots import Plot
from napari_inr_tomo.ui.series_layer import plain_stack, size_of

RANGE, LIST, FILE, NAMES = range(4)
SOURCES = (
    "start and step",
    "a list: type or paste it",
    "an angle file, or another stack",
    "the names of the image files",
)
ORDERS = {
    "as it is": "",
    "rising (+sorted)": "sorted",
    "dose-symmetric: 0 3 -3 -6 6": "symmetric",
    "alternating: 0 3 -3 6 -6": "alternating",
}
NOTHING = "No angles yet"
TARGET = "No tilt series is open, and no three-dimensional image layer is selected"
LONGEST_SHOWN = 80


class AnglesPanel(Panel):
    """Find the right tilt angles and see that they are right."""

    title = "Angles"
    intro = (
        "One angle per image, in degrees, in the order of the stack. Nothing is "
        "changed until you press the button at the end."
    )

    def build(self) -> None:
        """Make the controls."""
        self._preview: steps.AnglePreview | None = None
        self._work = Latest(self, self._computed, self._failed)
        self._later = qdebounced(self._ask, timeout=200, parent=self)
        self._build_source()
        self._build_changes()
        self._build_result()
        self._source_chosen()

    def _build_source(self) -> None:
        box, layout = group("Where they come from")
        self.source = QComboBox()
        self.source.addItems(SOURCES)
        self.source.setToolTip("Where the angles come from")
        layout.addWidget(self.source)
        self.start = number(-60, -360, 360, "Angle of the first image", " deg", 1.0)
        self.step = number(2, -90, 90, "From one image to the next", " deg", 0.5, 3)
        self.list = QPlainTextEdit()
        self.list.setFixedHeight(90)
        self.list.setPlaceholderText("-60\n-58\n-56 ...")
        self.list.setToolTip(
            "Angles one under the other, or cells copied from a spreadsheet with their "
            "header; or start:stop:step"
        )
        self.file = PathEdit(
            "file",
            "A text file (.rawtlt .tlt .mdoc .csv .txt), or a stack whose metadata or "
            "side-car holds the angles",
            "series.rawtlt, series.dm3 ...",
        )
        self.folder = PathEdit("folder", "The folder of the images, one file per tilt")
        self.pattern = QLineEdit()
        self.pattern.setPlaceholderText(r"the usual ways, or _(-?\d+\.\d)deg")
        self.pattern.setToolTip(
            "Regular expression with the angle in its first pair of brackets; n or m "
            "before the number is minus, p is plus. Empty: -36deg, name_012_-36.0, n36 "
            "and the like are found by themselves"
        )
        self.pages = [
            _page(("Start", self.start), ("Step", self.step)),
            _page((None, self.list)),
            _page(("File", self.file)),
            _page(("Folder", self.folder), ("Pattern", self.pattern)),
        ]
        for page in self.pages:
            layout.addWidget(page)
        self.body.addWidget(box)
        self.source.currentIndexChanged.connect(self._source_chosen)
        for spin in (self.start, self.step):
            spin.valueChanged.connect(self._changed)
        self.list.textChanged.connect(self._changed)
        for line in (self.file.line, self.folder.line, self.pattern):
            line.textChanged.connect(self._changed)

    def _build_changes(self) -> None:
        box, layout = group("What to do to the list")
        self.radians = tick("They are radians", "Turn radians into degrees")
        self.reversed = tick("Last first", "Turn the list round, end to beginning")
        self.flip = tick(
            "Flip handedness",
            "Turn all signs round: the volume is mirrored along the beam. Needed where "
            "a microscope counts the angles the other way",
        )
        self.order = QComboBox()
        self.order.addItems(list(ORDERS))
        self.order.setToolTip(
            "Put the list, not the images, into another order: rising, for a stack "
            "sorted by angle whose list is in the order of acquisition; outwards from "
            "0, for a stack that still is in that order"
        )
        self.column = whole(0, 0, 99, "Which column of a table, from 1")
        self.column.setSpecialValueText("by its header")
        self.comma = tick("Decimal commas", "Numbers are written as -60,5")
        layout.addLayout(_beside(self.radians, self.reversed))
        layout.addWidget(self.flip)
        fields = form()
        fields.addRow("Order", self.order)
        fields.addRow("Column", _beside(self.column, self.comma))
        layout.addLayout(fields)
        self.body.addWidget(box)
        for box in (self.radians, self.reversed, self.flip, self.comma):
            box.toggled.connect(self._changed)
        self.order.currentIndexChanged.connect(self._changed)
        self.column.valueChanged.connect(self._changed)

    def _build_result(self) -> None:
        box, layout = group("What comes out")
        self.sentence = words()
        self.doubts = words()
        self.doubts.setObjectName("notices")
        self.plot = Plot("image", "tilt angle (deg)")
        self.plot.setToolTip(
            "New angles against the number of the image, and those it has now; "
            "duplicates are ringed"
        )
        self.command = words(dim=True)
        layout.addWidget(self.sentence)
        layout.addWidget(self.doubts)
        layout.addWidget(self.plot)
        layout.addWidget(self.command)
        self.row = ActionRow()
        self.use_button = self.row.add(
            "Use these angles",
            "Give them to the current tilt series, or make one of the selected layer",
            self.use,
        )
        layout.addWidget(self.row)
        self.body.addWidget(box)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the selected layer and the theme as well."""
        viewer = self.session.viewer
        return [
            *super().connections(),
            (self.session.layers_changed, self.refresh),
            (viewer.layers.selection.events.active, self.refresh),
            (viewer.events.theme, self._theme),
        ]

    def attach(self) -> None:
        """Connect to the session."""
        super().attach()
        self._theme()

    def release(self) -> None:
        """Let go; what is being read is dropped."""
        super().release()
        self._work.forget()

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            self.plot.set_theme(self.session.viewer.theme)

    # the wish -------------------------------------------------------------------

    def _source_chosen(self, *_: Any) -> None:
        for index, page in enumerate(self.pages):
            page.setVisible(index == self.source.currentIndex())
        text = self.source.currentIndex() in (LIST, FILE)
        for control in (self.column, self.comma):
            control.setEnabled(text)
        self._changed()

    def _changed(self, *_: Any) -> None:
        self._later()

    def spec(self) -> str:
        """Return what is asked for, as ``--angles`` understands it; maybe empty."""
        which = self.source.currentIndex()
        source = (
            f"{self.start.value():g}::{self.step.value():g}",
            self.list.toPlainText().strip(),
            self.file.text(),
            f"names:{self.pattern.text()}" if self.pattern.text() else "names",
        )[which]
        if not source or (which == NAMES and not self.folder.text()):
            return ""
        chosen = []
        if which in (LIST, FILE):
            chosen += [f"column{self.column.value()}"] * bool(self.column.value())
            chosen += ["comma"] * self.comma.isChecked()
        chosen += ["radians"] * self.radians.isChecked()
        chosen += [word for word in [ORDERS[self.order.currentText()]] if word]
        chosen += ["reversed"] * self.reversed.isChecked()
        return steps.angle_spec(source, chosen)

    @property
    def _folder(self) -> str:
        return self.folder.text() if self.source.currentIndex() == NAMES else ""

    def _count(self) -> int | None:
        """Return how many images there are to be given angles, if any."""
        if self.session.series is not None:
            return len(self.session.series)
        layer = plain_stack(self.session.viewer)
        return None if layer is None else len(layer.data)

    def _ask(self) -> None:
        """Read the angles in a worker thread."""
        if self.session.viewer is None:
            return
        spec = self.spec()
        if not spec:
            self._work.forget()
            self._show(None, NOTHING)
            return
        flip = self.flip.isChecked()
        self._work.ask(steps.preview_angles, spec, self._count(), self._folder, flip)

    # the answer -----------------------------------------------------------------

    def _computed(self, preview: steps.AnglePreview) -> None:
        self._show(preview, "")

    def _failed(self, error: Exception) -> None:
        self._show(None, str(error))

    def _show(self, preview: steps.AnglePreview | None, why: str) -> None:
        self._preview = preview
        self.plot.clear_lines()
        series = self.session.series
        if series is not None:
            place = np.arange(len(series))
            self.plot.set_line("now", place, series.angles_deg, COLOURS["dy_px"])
        self.sentence.setText(why if preview is None else preview.sentence)
        doubts = () if preview is None else preview.doubts
        self.doubts.setText("\n".join(f"Note: {doubt}" for doubt in doubts))
        self.doubts.setVisible(bool(doubts))
        self.command.setText("")
        if preview is not None:
            angles = preview.angles_deg
            place = np.arange(len(angles))
            self.plot.set_line("new", place, angles, COLOURS["dx_px"], dots=True)
            self.plot.set_marks(place[preview.repeated], angles[preview.repeated])
            self.command.setText(_command(self.spec(), self.flip.isChecked()))
        self._bar()

    def use(self) -> None:
        """Give the angles to the current series, or to the selected plain layer."""
        asked = (self.spec(), self.flip.isChecked(), self._folder)
        if self.session.series is not None:
            start_step(self.session, "Setting the angles", steps.set_angles, *asked)
            return
        layer = plain_stack(self.session.viewer)
        if layer is not None:
            start_job(
                self.session,
                "Making a tilt series",
                steps.series_from_image,
                layer.data,
                asked[0],
                size_of(layer),
                f"{layer.name} (tilt series)",
                *asked[1:],
                done=self.session.add_series,
            )

    def refresh(self, *_: Any) -> None:
        """Look again: there may be other images now."""
        self._bar()
        self._changed()

    def _bar(self) -> None:
        session = self.session
        why = f"Busy: {session.busy}" if session.busy else None
        if self._count() is None:
            why = TARGET
        elif self._preview is None:
            why = why or NOTHING
        elif self._preview.problem:
            why = why or self._preview.problem
        self.row.bar(self.use_button, why)


def _beside(*controls: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for control in controls:
        row.addWidget(control)
    return row


def _page(*rows: tuple[str | None, QWidget]) -> QWidget:
    page = QWidget()
    layout: QFormLayout = form()
    for label, control in rows:
        layout.addRow(control) if label is None else layout.addRow(label, control)
    page.setLayout(layout)
    return page


def _command(spec: str, flip: bool) -> str:
    """Return the option of the command line that asks for the same."""
    text = f"{spec}+negated" if flip else spec
    if "\n" in text or len(text) > LONGEST_SHOWN:
        return ""
    return f"On the command line: --angles='{text}'"


class AnglesDock(Dock):
    """Dock: the tilt angles."""

    panels = (AnglesPanel,)
