"""Two volumes beside each other: pictures, numbers, resolution; both halves."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QSlider

from napari_inr_tomo import atomic
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.ui import comparing
from napari_inr_tomo.ui.controls import ActionRow, form, group, tick, words
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_job
from napari_inr_tomo.ui.pair_view import (
    PLANES,
    DirectionPlot,
    FscPlot,
    PairView,
    ProfilePlot,
    plane_of,
    save_figure,
)
from napari_inr_tomo.ui.paths import shown
from napari_inr_tomo.ui.remembered import ask_folder
from napari_inr_tomo.ui.run_folders import new_folder
from napari_inr_tomo.ui.series_layer import contrast, volume_layer_data
from napari_inr_tomo.ui.volume_picker import VolumePicker

TWO = "Open or reconstruct two volumes first"
HALF_METHODS = {"SIRT": "sirt", "TV": "tv", "INR, preset preview": "inr"}


class ComparePanel(Panel):
    """Compare two methods, two runs, a run with a truth, or the halves of a series."""

    title = "Compare"
    intro = "Both are cut at the same place and shown with the contrast of B."

    def build(self) -> None:
        """Make the controls."""
        self.result: comparing.Comparison | None = None
        self._judged: tuple[Any, ...] = ()
        self._layers: tuple[Any, ...] = ()
        self._worker: Any = None
        self._stop = threading.Event()
        self._row = 0.0
        self._build_pair()
        self._build_numbers()
        self._build_halves()

    def _build_pair(self) -> None:
        box, layout = group("Side by side")
        self.a = VolumePicker(self.session, "The volume to judge")
        self.b = VolumePicker(self.session, "What it is judged by, e.g. a truth", False)
        self.plane = QComboBox()
        self.plane.addItems(list(PLANES))
        self.plane.setCurrentText("yz")
        self.plane.setToolTip(
            "xy as the microscope sees it; xz and yz show the depth, and what the "
            "missing wedge does to it"
        )
        self.place = QSlider(Qt.Orientation.Horizontal)
        self.place.setToolTip("Which slice")
        fields = form()
        fields.addRow("A", self.a)
        fields.addRow("B", self.b)
        fields.addRow("Plane", self.plane)
        fields.addRow("Slice", self.place)
        layout.addLayout(fields)
        self.view = PairView()
        self.profile = ProfilePlot()
        layout.addWidget(self.view)
        layout.addWidget(self.profile)
        self.view.moved.connect(self._line_moved)
        self.place.valueChanged.connect(self._draw)
        self.plane.currentIndexChanged.connect(self._new_plane)
        for picker in (self.a, self.b):
            picker.currentIndexChanged.connect(self._other_volume)
        self.body.addWidget(box)

    def _build_numbers(self) -> None:
        box, layout = group("In numbers")
        self.register = tick(
            "Move A onto B first",
            "Take out the shift between them, which no tilt series can tell",
            True,
        )
        self.register.toggled.connect(self._draw)
        layout.addWidget(self.register)
        self.row = ActionRow()
        self.compare_button = self.row.add(
            "Compare", "Similarity, noise and resolution of A against B", self.compare
        )
        self.save_button = self.row.add(
            "Save figures...",
            "Write the numbers (CSV) and the pictures (PNG and SVG) into a folder",
            self.ask_save,
        )
        layout.addWidget(self.row)
        self.numbers = words()
        layout.addWidget(self.numbers)
        self.fsc = FscPlot()
        layout.addWidget(self.fsc)
        self.directions = DirectionPlot()
        layout.addWidget(self.directions)
        self.body.addWidget(box)

    def _build_halves(self) -> None:
        box, layout = group("Even and odd tilts")
        layout.addWidget(
            words(
                "Two reconstructions from every other tilt agree only in what the data "
                "tell; where they stop agreeing lies the resolution. Both miss the "
                "same wedge, and a prior common to both can make them agree too well.",
                dim=True,
            )
        )
        self.half_method = QComboBox()
        self.half_method.addItems(list(HALF_METHODS))
        self.half_method.setToolTip("How both halves are reconstructed; the poses stay")
        fields = form()
        fields.addRow("Method", self.half_method)
        layout.addLayout(fields)
        self.half_row = ActionRow()
        self.half_button = self.half_row.add(
            "Reconstruct both halves",
            "Run the even and the odd tilts one after the other, and compare them. "
            "Closing this dock ends it",
            self.run_halves,
        )
        self.end_button = self.half_row.add(
            "End", "Give both halves up", self._stop_halves
        )
        layout.addWidget(self.half_row)
        self.half_state = words()
        layout.addWidget(self.half_state)
        self.body.addWidget(box)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow layers and run."""
        session = self.session
        return [
            *super().connections(),
            (session.layers_changed, self.refresh),
            (session.run.changed, self.refresh),
            (session.run.updated, self._updated),
            (session.viewer.events.theme, self._theme),
        ]

    def attach(self) -> None:
        """Connect, and show what there is."""
        super().attach()
        self._theme()
        self._new_plane()

    def release(self) -> None:
        """Let go; halves that run are given up."""
        super().release()
        self._stop_halves()

    # side by side ---------------------------------------------------------------

    def _volumes(self) -> list[Any]:
        return [self.a.volume(), self.b.volume()]

    def _other_volume(self, *_: Any) -> None:
        self._new_plane()
        self._bar()

    def _new_plane(self, *_: Any) -> None:
        """Begin in the middle of another plane or volume."""
        volume = self.b.volume() or self.a.volume()
        if volume is None:
            return
        count = volume.data.shape[PLANES[self.plane.currentText()]]
        self.place.blockSignals(True)
        self.place.setRange(0, count - 1)
        self.place.setValue(count // 2)
        self.place.blockSignals(False)
        rows = plane_of(volume.data, self.plane.currentText(), 0).shape[0]
        self._row = rows / 2
        self.view.set_row(self._row)
        self._draw()
        self.view.fit()

    def _moved(self) -> Any:
        """Return A as it was moved onto B, while these two are chosen; else None."""
        result = self.result
        if result is None or not any(result.figures["shift_zyx_px"]):
            return None
        ids = [None if v is None else id(v.data) for v in self._volumes()]
        same = [id(data()) for data in self._judged] == ids
        return result.moved if same and self.register.isChecked() else None

    def _draw(self, *_: Any) -> None:
        volumes = self._volumes()
        plane, index = self.plane.currentText(), self.place.value()
        images = [
            None if v is None else plane_of(v.data, plane, index) for v in volumes
        ]
        last = next((v for v in reversed(volumes) if v is not None), None)
        limits = None if last is None else contrast(np.asarray(last.data))
        names = [self.a.currentText(), self.b.currentText()]
        moved = self._moved()
        if moved is not None:
            images[0] = plane_of(moved, plane, index)
            names[0] += ", moved onto B"
        self.view.show_pair(images, names, limits, self._nm())
        self.profile.show_rows(images, self._row, self._nm())

    def _line_moved(self, row: float) -> None:
        self._row = row
        self.profile.show_rows(self.view.shown, row, self._nm())

    def _nm(self) -> float | None:
        """Return the edge of a voxel of both, nm; None where they differ."""
        sizes = {v.voxel_nm for v in self._volumes() if v is not None}
        return sizes.pop() if len(sizes) == 1 else None

    def _updated(self, update: Any) -> None:
        if update.preview is not None or update.result is not None:
            self.refresh()
            self._draw()

    # numbers --------------------------------------------------------------------

    def compare(self) -> None:
        """Compare A with B in a worker."""
        self._forget()
        volumes = self._volumes()
        self._layers = tuple(map(weakref.ref, (self.a.layer, self.b.layer)))
        judged = tuple(weakref.ref(v.data) for v in volumes if v is not None)

        def compared(result: comparing.Comparison) -> None:
            self._judged = judged
            self._compared(result)

        start_job(
            self.session,
            "Comparing the volumes",
            comparing.compare,
            *volumes,
            self.register.isChecked(),
            *self._axis_and_tilts(),
            done=compared,
            owner=self,
        )

    def _forget(self) -> None:
        """Take away the numbers of a comparison that is no longer the chosen one."""
        self.result = None
        self.numbers.setText("")
        for plot in (self.fsc, self.directions):
            plot.clear_lines()

    def _axis_and_tilts(self) -> tuple[float, tuple[float, float] | None]:
        """Return the tilt axis and the ends of the tilts of the series, degrees."""
        known = self.a.axis_and_angles()
        if known is None:
            return 0.0, None
        return known[0], (float(known[1].min()), float(known[1].max()))

    def _compared(self, result: comparing.Comparison) -> None:
        self.result = result
        self.numbers.setText(result.words())
        limit = comparing.FSC_LIMIT
        curves = result.frequency, result.fsc, result.half_bit
        self.fsc.show_curves(*curves, limit, result.voxel_nm)
        self.directions.show_directions(
            result.direction_deg,
            result.reached,
            comparing.DIRECTION_LIMITS,
            result.tilts_deg,
            result.voxel_nm,
        )
        self._draw()
        self.refresh()

    def ask_save(self) -> None:
        """Ask for a folder and write the figures."""
        path = ask_folder(self, "Folder for the figures")
        if path:
            self.save(Path(path))

    def save(self, folder: Path) -> None:
        """Write comparison.csv and the figures as PNG and SVG."""
        from napari.utils.notifications import show_error

        try:
            text = self.result.table().encode()
            atomic.write_bytes(folder / "comparison.csv", text)
            figures = {"fsc": self.fsc, "profile": self.profile, "slices": self.view}
            figures["directions"] = self.directions
            for name, figure in figures.items():
                save_figure(figure, folder / name)
        except OSError as error:
            show_error(f"The figures could not be written into {folder}: {error}.")
            return
        self.numbers.setText(f"{self.result.words()}\nWritten into {shown(folder)}")

    # halves ---------------------------------------------------------------------

    def run_halves(self) -> None:
        """Reconstruct even and odd tilts, one after the other."""
        from napari_inr_tomo.ui.worker import quiet_worker

        session, method = self.session, HALF_METHODS[self.half_method.currentText()]
        config = ReconstructionConfig.from_preset("preview", method=method)
        self._stop = threading.Event()
        worker = quiet_worker(
            comparing.reconstruct_halves,
            session.series,
            config,
            new_folder(session.series, method),
            self._stop,
            failed=self._halves_failed,
        )
        worker.yielded.connect(self._half_says)
        worker.returned.connect(self._halves_done)
        self._worker = worker
        session.set_busy("Reconstructing both halves")
        worker.start()
        self.refresh()

    def _stop_halves(self) -> None:
        """Ask the worker to end; it does within a moment."""
        self._stop.set()

    def _half_says(self, text: str) -> None:
        if not self.session.closed and not self._stop.is_set():
            self.half_state.setText(text)

    def _halves_done(self, volumes: Any) -> None:
        self._worker = None
        self.session.set_busy(None)
        if self.session.viewer is None or self._stop.is_set() or volumes is None:
            return
        from napari.layers import Layer

        layers = [
            self.session.viewer.add_layer(Layer.create(*volume_layer_data(v)))
            for v in volumes
        ]
        self.refresh()
        self.a.choose(layers[0])
        self.b.choose(layers[1])
        self.half_state.setText("Both halves are done.")
        self.compare()

    def _halves_failed(self, problem: str) -> None:
        from napari.utils.notifications import show_error

        self._worker = None
        self.session.set_busy(None)
        if self.session.viewer is not None:
            show_error(problem)

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            for plot in (self.view, self.profile, self.fsc, self.directions):
                plot.set_theme(self.session.viewer.theme)

    def _bar(self) -> None:
        """Bar what cannot be done with these two; other numbers than theirs go."""
        session = self.session
        busy = f"Busy: {session.busy}" if session.busy else None
        two = None
        if None in self._volumes() or self.a.layer is self.b.layer:
            two = TWO if self.a.count() < 2 else "Choose two different volumes"
        self.row.bar(self.compare_button, two or busy)
        chosen = zip(self._layers, (self.a.layer, self.b.layer), strict=False)
        if self.result is not None and any(was() is not now for was, now in chosen):
            self._forget()
        none = None if self.result is not None else "Compare first"
        self.row.bar(self.save_button, none)

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with layers and run."""
        session = self.session
        for picker in (self.a, self.b):
            picker.refresh()
        self._bar()
        self.half_row.bar(self.half_button, session.run.why_not_start())
        working = None if self._worker is not None else "No halves are being made"
        self.half_row.bar(self.end_button, working)
        if self._worker is None and not session.busy and self._stop.is_set():
            self.half_state.setText("")


class CompareDock(Dock):
    """Dock: compare volumes."""

    panels = (ComparePanel,)
