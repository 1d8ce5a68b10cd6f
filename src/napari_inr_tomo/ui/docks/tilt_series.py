"""Opening a tilt series, its angles, its views."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
)
from superqt.utils import qdebounced

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.controls import (
    ActionRow,
    PathEdit,
    form,
    group,
    number,
    whole,
    words,
)
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.earlier_steps import EarlierSteps
from napari_inr_tomo.ui.jobs import start_job, start_step, tell
from napari_inr_tomo.ui.other_series import MergeBox
from napari_inr_tomo.ui.series_layer import plain_stack, size_of, unchanged_file
from napari_inr_tomo.ui.undoing import bar_undo, undo_button

ANGLE_TIP = (
    "Tilt angles in degrees, one per image in the order of the stack: a file (.rawtlt "
    ".tlt .mdoc .csv .txt), start:stop:step with the stop included (e.g. -60:60:2), or "
    "a list pasted from a spreadsheet"
)


class TiltSeriesPanel(Panel):
    """Open a tilt series, check its angles, leave views out, make it smaller."""

    title = "Tilt series"
    intro = (
        "Open a stack (or drop it onto the window), check that the angles are right, "
        "and leave out bad views."
    )

    def build(self) -> None:
        """Make the controls."""
        self._build_open()
        self.earlier = EarlierSteps(self.session, self)
        self.body.addWidget(self.earlier.box)
        self._build_summary()
        self._build_views()
        self.passes = MergeBox(self.session, self.selected_tilts)
        self.body.addWidget(self.passes.box)
        self._build_size()

    def _build_open(self) -> None:
        box, layout = group("Open")
        self.path = PathEdit(
            "file",
            "A stack (.mrc .st .ali .tif .h5 .emd .npy and, with the formats extra, "
            ".dm3 .dm4 .ser .emi .hspy .bcf) or a folder of images",
            "stack file",
        )
        self.angles = PathEdit("file", ANGLE_TIP, "from the file, or -60:60:2")
        fields = form()
        fields.addRow("File", self.path)
        fields.addRow("Angles", self.angles)
        layout.addLayout(fields)
        self.open_row = ActionRow()
        self.open_button = self.open_row.add(
            "Open", "Read the file as a tilt series", self.open_file
        )
        self.set_angles_button = self.open_row.add(
            "Set angles", "Give the current tilt series these angles", self.set_angles
        )
        self.convert_button = self.open_row.add(
            "From layer",
            "Make a tilt series of the selected image layer with these angles",
            self.convert_layer,
        )
        layout.addWidget(self.open_row)
        self.wizard_row = ActionRow()
        self.wizard_row.add(
            "Angles step by step...",
            "Try where the angles may come from, see what they are and what is wrong "
            "with them: start and step, a pasted table, files, file names; radians, "
            "orders, handedness",
            self.open_angles,
        )
        layout.addWidget(self.wizard_row)
        self.body.addWidget(box)

    def _build_summary(self) -> None:
        box, layout = group("What it is")
        self.summary = words()
        self.notices = words()
        self.notices.setObjectName("notices")
        layout.addWidget(self.summary)
        layout.addWidget(self.notices)
        self.pixel = number(
            0, 0, 100000, "Size of a pixel in nm", " nm", 0.1, decimals=4
        )
        self.pixel.setSpecialValueText("unknown")
        self.pixel.setKeyboardTracking(True)  # typing a size frees the button
        self.pixel.valueChanged.connect(self._refresh_buttons)
        self._size_of: tuple[Any, float | None] = (None, None)
        fields = form()
        fields.addRow("Pixel size", self.pixel)
        layout.addLayout(fields)
        self.summary_row = ActionRow()
        self.pixel_button = self.summary_row.add(
            "Set pixel size", "Use this pixel size from now on", self.set_pixel_size
        )
        self.flip_button = self.summary_row.add(
            "Flip handedness",
            "Turn the sign of all tilt angles round: the volume is mirrored along the "
            "beam. Needed where a microscope counts the angles the other way",
            lambda: start_step(
                self.session, "Flipping the handedness", steps.flip_handedness
            ),
        )
        layout.addWidget(self.summary_row)
        self.undo_row = ActionRow()
        self.undo_button = undo_button(self.undo_row, self.session)
        layout.addWidget(self.undo_row)
        self.history = words(dim=True)
        layout.addWidget(self.history)
        self.body.addWidget(box)

    def _build_views(self) -> None:
        box, layout = group("Views")
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels(["tilt", "angle (deg)", "used", "pass"])
        self.table.setToolTip("Click a row to show that tilt")
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.horizontalHeader().setSectionResizeMode(
            QHeaderView.ResizeMode.Stretch
        )
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setFixedHeight(170)
        self.table.itemSelectionChanged.connect(self._row_chosen)
        layout.addWidget(self.table)
        self.view_row = ActionRow()
        self.exclude_button = self.view_row.add(
            "Leave out",
            "Leave the selected views out of everything that follows; they stay in the "
            "stack",
            lambda: self._use(False),
        )
        self.include_button = self.view_row.add(
            "Use again", "Take the selected views back", lambda: self._use(True)
        )
        layout.addWidget(self.view_row)
        self.body.addWidget(box)

    def _build_size(self) -> None:
        box, layout = group("Smaller images")
        self.factor = whole(2, 2, 64, "Mean of this many by this many pixels")
        self.size = whole(256, 4, 8192, "New length of the longer side, pixels", " px")
        self.size_row = ActionRow()
        self.size_row.add_widget(self.factor)
        self.bin_button = self.size_row.add(
            "Bin",
            "Replace blocks of pixels by their mean",
            lambda: start_step(
                self.session, "Binning", steps.bin_images, self.factor.value()
            ),
        )
        self.size_row.add_widget(self.size)
        self.downsample_button = self.size_row.add(
            "Fourier",
            "Down-sample in Fourier space to this size: sharper than binning",
            lambda: start_step(
                self.session, "Down-sampling", steps.downsample, self.size.value()
            ),
        )
        layout.addWidget(self.size_row)
        self.body.addWidget(box)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the slider and the selected layer as well."""
        viewer = self.session.viewer
        self._tilt_moved = qdebounced(self._mark_tilt, timeout=60, parent=self)
        return [
            *super().connections(),
            (viewer.dims.events.point, self._on_point),
            (viewer.layers.selection.events.active, self._refresh_buttons),
            (self.session.layers_changed, self.passes.refresh),
        ]

    def release(self) -> None:
        """Keep the last steps as well."""
        self.earlier.close()
        super().release()

    def _on_point(self, event: Any = None) -> None:
        self._tilt_moved()

    def open_angles(self) -> None:
        """Open the dock that finds the angles."""
        from napari_inr_tomo.ui.docks.angles import AnglesDock
        from napari_inr_tomo.ui.open_docks import show_dock

        show_dock(self.session, AnglesDock)

    # doing ------------------------------------------------------------------

    def open_file(self) -> None:
        """Read the chosen file in a worker thread and show it."""
        file = self.path.text()
        start_job(
            self.session,
            "Reading the tilt series",
            steps.read_series,
            file,
            self.angles.text(),
            done=lambda series: self._opened(series, file),
        )

    def set_angles(self) -> None:
        """Give the current series the typed angles."""
        start_step(
            self.session, "Setting the angles", steps.set_angles, self.angles.text()
        )

    def convert_layer(self) -> None:
        """Make a tilt series of the selected plain image layer."""
        layer = plain_stack(self.session.viewer)
        if layer is None:
            return
        file = unchanged_file(layer)
        start_job(
            self.session,
            "Making a tilt series",
            steps.series_from_image,
            layer.data,
            self.angles.text(),
            size_of(layer),
            f"{layer.name} (tilt series)",
            done=lambda series: self._opened(series, file),
        )

    def _opened(self, series: TiltSeries, file: str = "") -> None:
        self.session.add_series(series, file)
        tell(series.notices)

    def set_pixel_size(self) -> None:
        """Give the current series the typed pixel size."""
        start_step(
            self.session,
            "Setting the pixel size",
            steps.set_pixel_size,
            self.pixel.value(),
        )

    def _use(self, used: bool) -> None:
        label = "Taking views back" if used else "Leaving views out"
        start_step(self.session, label, steps.set_used, self.selected_tilts(), used)

    def selected_tilts(self) -> list[int]:
        """Return the tilts selected in the table."""
        rows = self.table.selectionModel().selectedRows()
        return sorted(index.row() for index in rows)

    # showing ------------------------------------------------------------------

    def refresh(self, *_: Any) -> None:
        """Show the current series."""
        series = self.session.series
        self.summary.setText(summary(series))
        self.notices.setText(
            "\n".join(f"Note: {n}" for n in series.notices) if series else ""
        )
        self.notices.setVisible(bool(series and series.notices))
        self.history.setText(history(series))
        self.history.setVisible(bool(self.history.text()))
        self.earlier.refresh()
        self._show_size(series)
        self._fill(series)
        self._refresh_buttons()

    def _show_size(self, series: TiltSeries | None) -> None:
        """Show the pixel size where it is another one; a size being typed stays."""
        size = None if series is None else series.pixel_size_nm
        shown = (self.session.layer, size)
        if shown != self._size_of:
            self._size_of = shown
            self.pixel.setValue(size or 0)

    def _refresh_buttons(self, *_: Any) -> None:
        session = self.session
        why = session.why_not_step()
        busy = f"Busy: {session.busy}" if session.busy else None
        plain = busy or (
            None
            if plain_stack(session.viewer) is not None
            else "Select a three-dimensional image layer without angles"
        )
        self.open_row.bar(self.open_button, busy)
        self.open_row.bar(self.set_angles_button, why)
        self.open_row.bar(self.convert_button, plain)
        size = why or (None if self.pixel.value() else "Type the pixel size")
        self.summary_row.bar(self.pixel_button, size)
        self.summary_row.bar(self.flip_button, why)
        bar_undo(self.undo_row, session, self.undo_button)
        chosen = why or (None if self.selected_tilts() else "Select views in the table")
        self.view_row.bar(self.exclude_button, chosen)
        self.view_row.bar(self.include_button, chosen)
        self.passes.refresh()
        for control in (self.bin_button, self.downsample_button):
            self.size_row.bar(control, why)

    def _fill(self, series: TiltSeries | None) -> None:
        table = self.table
        selected = self.selected_tilts()
        table.blockSignals(True)
        table.setRowCount(0 if series is None else len(series))
        table.setColumnHidden(3, series is None or series.group is None)
        if series is not None:
            for row, (angle, used) in enumerate(
                zip(series.angles_deg, series.mask, strict=True)
            ):
                texts = (
                    str(row),
                    f"{angle:.2f}",
                    "yes" if used else "left out",
                    str(series.groups[row] + 1),
                )
                for column, text in enumerate(texts):
                    item = QTableWidgetItem(text)
                    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                    table.setItem(row, column, item)
        if series is not None and selected and selected[-1] < len(series):
            table.selectRow(selected[0])
        table.doItemsLayout()  # or it cannot scroll as far as to the new rows yet
        table.blockSignals(False)  # a row that was selected before is no wish
        if len(selected) <= 1:
            self._mark_tilt()

    def _row_chosen(self) -> None:
        rows = self.selected_tilts()
        if len(rows) == 1:
            self.session.show_tilt(rows[0])
        self._refresh_buttons()

    def _mark_tilt(self) -> None:
        tilt = self.session.shown_tilt()
        if tilt is None or len(self.selected_tilts()) > 1:
            return
        if tilt < self.table.rowCount() and self.selected_tilts() != [tilt]:
            self.table.blockSignals(True)
            self.table.selectRow(tilt)
            self.table.scrollToItem(self.table.item(tilt, 0))
            self.table.blockSignals(False)
            self._refresh_buttons()


def summary(series: TiltSeries | None) -> str:
    """Return what a tilt series is, in words."""
    if series is None:
        return "No tilt series is open."
    count, height, width = series.images.shape
    angles = series.angles_deg
    size = series.pixel_size_nm
    used = int(series.mask.sum())
    left_out = "" if used == count else f", {count - used} left out"
    spacing = np.diff(np.sort(angles))
    step = f", about {np.median(spacing):.3g} apart" if len(spacing) else ""
    passes = len(np.unique(series.groups))
    step += f", in {passes} passes" if passes > 1 else ""
    return (
        f"{count} images of {width} x {height} px (x, y){left_out}\n"
        f"Angles {angles.min():.1f} to {angles.max():.1f} deg{step}\n"
        f"Angles from: {series.angle_source}\n"
        f"Pixel size: {'unknown' if size is None else f'{size:.4g} nm'}"
    )


def history(series: TiltSeries | None) -> str:
    """Return the steps done so far, in one sentence."""
    if series is None or not series.history:
        return ""
    names = [step.name.replace("_", " ") for step in series.history]
    return "Done so far: " + ", ".join(names)


class TiltSeriesDock(Dock):
    """Dock: open a tilt series and check it."""

    panels = (TiltSeriesPanel,)
