"""Settings of a reconstruction that are seldom changed, folded away."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QWidget

from napari_inr_tomo.ui.controls import PathEdit, form, whole, words
from napari_inr_tomo.ui.device import Devices, find_devices
from napari_inr_tomo.ui.fold import Fold
from napari_inr_tomo.ui.tips import tip

CHECKING = "Checking what there is to compute on..."


class MoreChoices(Fold):
    """Depth, device, processes, seed and run folder; asks what there is to compute on.

    device_words: the answer, for wherever it is to be read.
    """

    def __init__(self) -> None:
        super().__init__("More settings")
        self.devices: Devices | None = None
        self._asking = False
        self.device_words = words(CHECKING)
        self.depth = whole(0, 0, 8192, tip("depth_px"), " px")
        self.depth.setSpecialValueText("as wide as the images")
        self.device = QComboBox()
        self.device.addItems(["auto", "cpu", "cuda"])
        self.device.setToolTip(tip("compute.device"))
        self.processes = whole(0, 0, 1024, tip("compute.processes"))
        self.processes.setSpecialValueText("one per GPU")
        self.seed = whole(0, 0, 2**31 - 1, tip("seed"))
        self.folder = PathEdit(
            "folder",
            "Where the run is kept; empty: a new folder under inr-tomo-runs in your "
            "home folder",
            "a new folder in ~/inr-tomo-runs",
        )
        inner, fields = QWidget(), form()
        inner.setLayout(fields)
        fields.addRow("Depth", self.depth)
        fields.addRow("Device", self.device)
        fields.addRow("Processes", self.processes)
        fields.addRow("Seed", self.seed)
        fields.addRow("Run folder", self.folder)
        self.fill(inner)

    def ask_devices(self) -> None:
        """Find out what there is to compute on, once, in a worker."""
        from napari.qt.threading import create_worker

        if self.devices is not None or self._asking:
            return
        self._asking = True
        worker: Any = create_worker(find_devices)
        worker.returned.connect(self._found)
        worker.start()

    def _found(self, devices: Devices) -> None:
        self._asking = False
        self.devices = devices
        self.device_words.setText(devices.words + ".")
        if not devices.usable:
            self.processes.setSpecialValueText("one")
        item = self.device.model().item(self.device.findText("cuda"))
        item.setEnabled(devices.usable)
        item.setToolTip("" if devices.usable else devices.words)

    def process_count(self, method: str) -> int:
        """Return how many processes a run of a method ("inr", "sirt" ...) would get."""
        chosen, devices = self.processes.value(), self.devices
        if chosen or method != "inr" or self.device.currentText() == "cpu":
            return chosen or 1
        return max(1, len(devices.gpus)) if devices and devices.usable else 1
