"""Writing volumes, poses, the aligned stack and the record of a run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.controls import ActionRow, form, group, words
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_job
from napari_inr_tomo.ui.live import PoseTable
from napari_inr_tomo.ui.paths import shown
from napari_inr_tomo.ui.remembered import ask_new_file
from napari_inr_tomo.ui.run_control import NO_RUN, RunState
from napari_inr_tomo.ui.series_layer import volume_of

FORMATS = {
    "MRC (.mrc)": ".mrc",
    "TIFF (.tif)": ".tif",
    "OME-Zarr (.ome.zarr)": ".ome.zarr",
    "NumPy (.npy)": ".npy",
}


class ExportPanel(Panel):
    """Write what was made to files."""

    title = "Export"
    intro = "Files are written whole or not at all; existing ones are asked about."

    _offered: frozenset[str] | set[str] = frozenset()

    def build(self) -> None:
        """Make the controls."""
        box, layout = group("Volume")
        self.volume_box = QComboBox()
        self.volume_box.setToolTip("The volume layer to write")
        self.format_box = QComboBox()
        self.format_box.addItems(list(FORMATS))
        self.format_box.setToolTip(
            "All keep the voxel size; NumPy in a .json beside it"
        )
        fields = form()
        fields.addRow("Layer", self.volume_box)
        fields.addRow("Format", self.format_box)
        layout.addLayout(fields)
        self.volume_row = ActionRow()
        self.volume_button = self.volume_row.add(
            "Save volume...", "Write the chosen volume", self.ask_volume
        )
        layout.addWidget(self.volume_row)
        self.body.addWidget(box)
        box, layout = group("Poses and tilts")
        self.poses_from = words()
        layout.addWidget(self.poses_from)
        self.pose_row = ActionRow()
        self.poses_button = self.pose_row.add(
            "Save poses.csv...",
            "One row per tilt: angle, z1, z3 (deg), dx, dy (px), residual, used",
            self.ask_poses,
        )
        self.stack_button = self.pose_row.add(
            "Save aligned stack...",
            "The images with the poses applied once, with .tlt and .xf beside them",
            self.ask_stack,
        )
        layout.addWidget(self.pose_row)
        self.body.addWidget(box)
        box, layout = group("Record")
        self.record_row = ActionRow()
        self.record_button = self.record_row.add(
            "Save record (JSON)...",
            "Everything that was done, to run the same job again without the window",
            self.ask_record,
        )
        layout.addWidget(self.record_row)
        self.body.addWidget(box)
        self.paths: list[Path] = []
        self.written = words()
        self.body.addWidget(self.written)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow layers and run as well."""
        return [
            *super().connections(),
            (self.session.layers_changed, self.refresh),
            (self.session.run.changed, self.refresh),
        ]

    # asking -----------------------------------------------------------------

    def ask_volume(self) -> None:
        """Ask for a file and write the chosen volume."""
        suffix = FORMATS[self.format_box.currentText()]
        volume = self.chosen_volume()
        name = "volume" if volume is None else volume.name.replace(" ", "-").lower()
        path = self._ask(f"{name}{suffix}", suffix)
        if path:
            self.save_volume(path)

    def ask_poses(self) -> None:
        """Ask for a file and write the poses."""
        path = self._ask("poses.csv", ".csv")
        if path:
            self.save_poses(path)

    def ask_stack(self) -> None:
        """Ask for a file and write the aligned stack."""
        path = self._ask("aligned.mrc", ".mrc")
        if path:
            self.save_stack(path)

    def ask_record(self) -> None:
        """Ask for a file and write the record."""
        path = self._ask("record.json", ".json")
        if path:
            self.save_record(path)

    def _ask(self, name: str, suffix: str) -> Path | None:
        path = ask_new_file(self, "Save as", name)
        if not path:
            return None
        return Path(path if path.endswith(suffix) else path + suffix)

    # writing ------------------------------------------------------------------

    def save_volume(self, path: Path) -> None:
        """Write the chosen volume in a worker."""
        self._write("Writing the volume", write_volume, path, self.chosen_volume())

    def save_poses(self, path: Path) -> None:
        """Write the poses of the run, or of the alignment, in a worker."""
        series, table = self.session.series, self._poses_of_run()
        self._write("Writing the poses", write_poses, path, series, table)

    def save_stack(self, path: Path) -> None:
        """Write the aligned stack in a worker."""
        series, table = self.session.series, self._poses_of_run()
        self._write("Writing the aligned stack", write_stack, path, series, table)

    def save_record(self, path: Path) -> None:
        """Copy the record of the run in a worker."""
        self._write("Writing the record", write_record, path, self.session.run.run)

    def _write(self, label: str, function: Any, path: Path, *args: Any) -> None:
        def done(paths: list[Path]) -> None:
            self.paths = [old for old in self.paths if old not in paths] + paths
            self.written.setText("Written:\n" + "\n".join(map(shown, self.paths)))

        read, path = self.session.files_read(), Path(path)
        start_job(
            self.session,
            label,
            apart,
            read,
            function,
            path,
            *args,
            done=done,
            owner=self,
        )

    # showing ------------------------------------------------------------------

    def chosen_volume(self) -> Volume | None:
        """Return the volume chosen in the box."""
        viewer, name = self.session.viewer, self.volume_box.currentText()
        if viewer is None or name not in viewer.layers:
            return None
        return volume_of(viewer.layers[name])

    def _poses_of_run(self) -> PoseTable | None:
        """Return the poses the run has found; None where the alignment's are newer."""
        run = self.session.run
        return run.record.poses if self.session.series is None else run.newest_poses()

    def _source(self) -> str:
        """Say whose poses would be written, and why not those of the run."""
        run = self.session.run
        if self._poses_of_run() is not None:
            return f"Poses come from the run '{run.record.name}'."
        if run.record.poses is None:
            return "Poses come from the alignment."
        if run.fitting_poses() is None:
            return (
                "Poses come from the alignment: the run is of another tilt series than "
                "the current one."
            )
        return (
            "Poses come from the alignment, which was changed after the run began. To "
            "have those of the run: Check tilts > Start from these poses."
        )

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with layers and run."""
        session, run = self.session, self.session.run
        viewer, chosen = session.viewer, self.volume_box.currentText()
        layers = [] if viewer is None else viewer.layers
        names = [layer.name for layer in layers if volume_of(layer) is not None]
        if names != [
            self.volume_box.itemText(i) for i in range(self.volume_box.count())
        ]:
            self.volume_box.clear()
            self.volume_box.addItems(names)
            live = "" if run.layers.volume is None else run.layers.volume.name
            new = live not in self._offered
            wanted = live if new or chosen not in names else chosen
            self._offered = set(names)
            self.volume_box.setCurrentIndex(max(0, self.volume_box.findText(wanted)))
        busy = f"Busy: {session.busy}" if session.busy else None
        self.volume_row.bar(
            self.volume_button,
            busy or (None if names else "There is no volume yet: reconstruct first"),
        )
        self.poses_from.setText(self._source())
        why = session.why_not_step()
        found = self._poses_of_run() is not None
        self.pose_row.bar(self.poses_button, busy or (None if found else why))
        self.pose_row.bar(self.stack_button, why)
        record = None if run.run is not None else NO_RUN
        if record is None and run.state is not RunState.DONE:
            record = "The record is complete when the reconstruction is done"
        self.record_row.bar(self.record_button, busy or record)


def apart(read: list[Path], function: Any, path: Path, *args: Any) -> list[Path]:
    """Write a file that is none of those that were read (worker thread)."""
    from napari_inr_tomo import io

    io.check_apart([path], read)
    written: list[Path] = function(path, *args)
    return written


def write_volume(path: Path, volume: Volume | None) -> list[Path]:
    """Write a volume (worker thread)."""
    from napari_inr_tomo import io

    if volume is None:
        raise UserError(
            "There is no volume to write",
            "its layer is gone",
            "Choose another volume layer",
        )
    io.write_volume(path, volume)
    beside = path.with_name(f"{path.name}.json")
    return [path, beside] if path.suffix == ".npy" else [path]


def write_poses(path: Path, series: TiltSeries | None, table: Any) -> list[Path]:
    """Write the poses of a run, or the start poses of a series (worker thread)."""
    from napari_inr_tomo import io

    if table is not None:
        io.write_poses(
            path,
            table["angle_deg"],
            table.poses(),
            table["used"],
            residual=table["residual"],
        )
    elif series is not None:
        io.write_poses(path, series.angles_deg, series.start_poses, series.mask)
    return [path]


def write_stack(path: Path, series: TiltSeries, table: Any) -> list[Path]:
    """Write the aligned stack with its side-cars (worker thread)."""
    from napari_inr_tomo import io

    if table is not None:
        series = series.evolve(poses=table.poses())
    return [Path(p) for p in io.write_series(path, series)]


def write_record(path: Path, run: Any) -> list[Path]:
    """Copy the record of a run (worker thread)."""
    source = Path(run.result()).parent / "record.json"
    shutil.copyfile(source, path)
    return [path]


class ExportDock(Dock):
    """Dock: write results to files."""

    panels = (ExportPanel,)
