"""Settings of a reconstruction, and starting it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QPushButton
from superqt.utils import qdebounced

from napari_inr_tomo.config import PRESETS, ReconstructionConfig, nested
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui.controls import (
    ActionRow,
    form,
    group,
    tick,
    whole,
    words,
)
from napari_inr_tomo.ui.device import Devices
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.expecting import ExpectedTimes, Wish
from napari_inr_tomo.ui.more_choices import MoreChoices
from napari_inr_tomo.ui.needs import estimate
from napari_inr_tomo.ui.one_slice import OneSlice
from napari_inr_tomo.ui.remembered import recall, remember
from napari_inr_tomo.ui.run_buttons import again_buttons, bar_again, stop_buttons
from napari_inr_tomo.ui.run_folders import new_folder
from napari_inr_tomo.ui.series_layer import frozen_of
from napari_inr_tomo.ui.settings_form import SettingsDialog, SettingsForm
from napari_inr_tomo.ui.tips import tip

METHODS = {
    "INR (learns the poses)": "inr",
    "SIRT": "sirt",
    "TV": "tv",
    "FBP (seconds)": "fbp",
}
PRESET_TIP = (
    "preview: a first look; fast: for daily work; paper: the settings of the "
    "publication, slow"
)


class ReconstructionPanel(Panel):
    """Choose how to reconstruct; start, stop, take up again."""

    title = "Reconstruction"
    intro = (
        "The reconstruction runs in processes of its own: closing this dock or napari "
        "does not end it, and its folder can be opened again later."
    )

    def build(self) -> None:
        """Make the controls."""
        self._build_settings()
        self._build_more()
        self._build_start()
        self.estimate_later = qdebounced(self._estimate, timeout=400, parent=self)
        for signal in (
            self.method.currentIndexChanged,
            self.preset.currentIndexChanged,
            self.count.valueChanged,
            self.depth.valueChanged,
            self.processes.valueChanged,
            self.device.currentIndexChanged,
            self.poses.toggled,
        ):
            signal.connect(self._changed)
        self.form.changed.connect(self._settings_changed)
        self.preset.currentIndexChanged.connect(self._take_preset)
        self.method.currentIndexChanged.connect(self._take_preset)
        self._take_preset()
        self._recall()

    def _build_settings(self) -> None:
        box, layout = group("Settings")
        self.method = QComboBox()
        self.method.addItems(list(METHODS))
        self.method.setToolTip(
            "INR: a neural network learns the volume and the poses together. SIRT, TV: "
            "classical iterations at fixed poses. FBP: filtered back-projection"
        )
        self.preset = QComboBox()
        self.preset.addItems(PRESETS)
        self.preset.setCurrentText("fast")
        self.preset.setToolTip(PRESET_TIP)
        self.count = whole(0, 0, 100000, "Epochs (INR) or iterations (SIRT, TV)")
        self.count.setSpecialValueText("as needed")
        self.poses = tick(
            "Refine the poses (z1, z3, dx, dy)",
            f"{tip('inr.poses.refine')} INR only",
            True,
        )
        self.fields = form()
        self.fields.addRow("Method", self.method)
        self.fields.addRow("Preset", self.preset)
        self.fields.addRow("Epochs", self.count)
        self.fields.addRow(self.poses)
        layout.addLayout(self.fields)
        self.expected = ExpectedTimes(self.session, self.wishes)
        layout.addWidget(self.expected)
        self.poses_why = words(dim=True)
        layout.addWidget(self.poses_why)
        self.form = SettingsForm(self.preset_config)
        self.dialog = SettingsDialog(self, self.form)
        self.all_button = QPushButton("All settings...")
        self.all_button.setToolTip(
            "Every setting with what it means, in a window beside this one"
        )
        self.all_button.clicked.connect(lambda _=False: self.show_settings())
        layout.addWidget(self.all_button)
        self.body.addWidget(box)

    def _build_more(self) -> None:
        self.more = MoreChoices()
        self.depth, self.device = self.more.depth, self.more.device
        self.processes, self.seed = self.more.processes, self.more.seed
        self.folder = self.more.folder
        self.body.addWidget(self.more)

    def _build_start(self) -> None:
        box, layout = group("Run")
        self.memory = words()
        layout.addWidget(self.more.device_words)
        layout.addWidget(self.memory)
        self.one_slice = OneSlice(self.session, self.config)
        self.one_slice.changed.connect(self.refresh)
        layout.addWidget(self.one_slice)
        self.row = ActionRow()
        self.start_button = self.row.add(
            "Start", "Write the run folder and start the processes", self.start
        )
        run = self.session.run
        self.stop_button, self.cancel_button = stop_buttons(self.row, run)
        layout.addWidget(self.row)
        self.state = words()
        layout.addWidget(self.state)
        self.again_row = ActionRow()
        self.resume_button, self.open_button = again_buttons(self.again_row, self)
        layout.addWidget(self.again_row)
        self.body.addWidget(box)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the run as well."""
        run = self.session.run
        return [
            *super().connections(),
            (run.changed, self.refresh),
            (self.session.layer_changed, self._changed),
            (self.session.series_changed, self._changed),
        ]

    def attach(self) -> None:
        """Connect, and find out what there is to compute on."""
        super().attach()
        self.more.ask_devices()
        self._changed()

    def release(self) -> None:
        """Let go; nothing is measured for a dock that is closed."""
        super().release()
        self.expected.end()
        self.one_slice.end()
        self.dialog.hide()

    # settings -> config ---------------------------------------------------------

    @property
    def method_name(self) -> str:
        """The method as the settings call it."""
        return METHODS[self.method.currentText()]

    def config(self) -> ReconstructionConfig:
        """Return the settings as chosen; raises `UserError`."""
        count, frozen = self.count.value() or None, frozen_of(self.session.layer)
        changes: dict[str, Any] = {
            "method": self.method_name,
            "seed": self.seed.value(),
            "depth_px": self.depth.value() or None,
            "compute": {
                "device": self.device.currentText(),
                "processes": self.processes.value() or None,
            },
        }
        if self.method_name == "inr":
            changes["inr"] = {
                "schedule": {"epochs": count},
                "poses": {"refine": self.poses.isChecked(), "frozen": frozen},
            }
        elif self.method_name != "fbp":
            changes["classic"] = {"iterations": count}
        return self.base().merged(changes)

    def preset_config(self) -> ReconstructionConfig:
        """Return the settings of the chosen preset."""
        return ReconstructionConfig.from_preset(self.preset.currentText())

    def base(self) -> ReconstructionConfig:
        """Return the settings that the controls change: the preset's and the form's."""
        return self.preset_config().merged(nested(self.form.changes))

    def wishes(self) -> list[Wish]:
        """Return what the expected times are said of, the chosen settings first."""
        try:
            chosen = self.config()
        except UserError:
            return []
        count = self.process_count()
        if chosen.method != "inr":
            return [(chosen.method.upper(), chosen, count)]
        kept = {"depth_px": chosen.depth_px, "compute": chosen.compute.model_dump()}
        kept["inr"] = {"poses": {"refine": chosen.inr.poses.refine}}
        others = [name for name in PRESETS if name != chosen.preset]
        return [(chosen.preset, chosen, count)] + [
            (name, ReconstructionConfig.from_preset(name).merged(kept), count)
            for name in others
        ]

    def show_settings(self) -> None:
        """Show the form with all settings."""
        self.form.show_values()
        self.dialog.show()
        self.dialog.raise_()

    def show_config(self, config: ReconstructionConfig) -> None:
        """Take over the settings of a run."""
        self.choose(config.method, config.preset)
        self.form.take(config)
        self._settings_changed()
        inr = config.method == "inr"
        count = config.inr.schedule.epochs if inr else config.classic.iterations
        self.count.setValue(count or 0)
        self.seed.setValue(config.seed)
        self.depth.setValue(config.depth_px or 0)
        self.device.setCurrentText(config.compute.device)
        self.processes.setValue(config.compute.processes or 0)
        self.poses.setChecked(config.inr.poses.refine)
        self.folder.setText("")

    def run_folder(self) -> Path:
        """Return the folder for a new run."""
        if self.folder.text():
            return Path(self.folder.text()).expanduser()
        return new_folder(self.session.series, self.method_name)

    def choose(self, method: str, preset: str) -> None:
        """Set method ("inr", "sirt", "tv", "fbp") and preset."""
        self.method.setCurrentText(next(w for w, m in METHODS.items() if m == method))
        self.preset.setCurrentText(preset)

    def _recall(self) -> None:
        """Begin with the method and the preset that were last started."""
        method, preset = recall("method"), recall("preset")
        if method in METHODS.values() and preset in PRESETS:
            self.choose(method, preset)

    def start(self) -> None:
        """Start a run with these settings."""
        from napari.utils.notifications import show_error

        self.one_slice.end()
        try:
            folder = self.run_folder()
            self.session.run.begin(folder, self.config())
            remember("method", self.method_name)
            remember("preset", self.preset.currentText())
        except UserError as error:
            show_error(str(error))

    # showing ------------------------------------------------------------------

    def _take_preset(self, *_: Any) -> None:
        """Show what the preset sets; changes to the former one are gone."""
        self.form.reset()
        config = self.preset_config()
        inr = self.method_name == "inr"
        count = config.inr.schedule.epochs if inr else config.classic.iterations
        self.count.setMinimum(0 if inr else 1)
        self.count.setValue(count or 0)
        label = self.fields.labelForField(self.count)
        label.setText("Epochs" if inr else "Iterations")
        fbp = self.method_name == "fbp"
        self.count.setEnabled(not fbp)
        self.count.setToolTip(
            "FBP needs no iterations"
            if fbp
            else "Passes over all pixels; as needed: fewer where there are more tilts"
            if inr
            else "Iterations"
        )
        self.preset.setEnabled(inr)
        self.poses.setEnabled(inr)
        reasons = []
        if not inr:
            name = self.method_name.upper()
            reasons.append(f"{name} keeps the poses fixed and has no presets.")
            if fbp:
                reasons.append("FBP needs no iterations.")
        self.poses_why.setText(" ".join(reasons))
        self.poses_why.setVisible(bool(reasons))
        self.preset.setToolTip(PRESET_TIP if inr else "Presets are for the INR only")

    def _settings_changed(self) -> None:
        count = len(self.form.changes)
        self.all_button.setText(f"All settings...{f' ({count} changed)' * bool(count)}")
        self._changed()

    def _changed(self, *_: Any) -> None:
        self.estimate_later()
        self.expected.changed()

    @property
    def devices(self) -> Devices | None:
        """What there is to compute on, None until it is known."""
        return self.more.devices

    def process_count(self) -> int:
        """Return how many processes a run would get."""
        return self.more.process_count(self.method_name)

    def _estimate(self) -> None:
        """Say how much memory the run would take (a formula, no computing)."""
        series = self.session.series
        if series is None or self.session.closed:
            self.memory.setText("")
            return
        try:
            words = estimate(series, self.config(), self.process_count())
        except UserError as error:
            words = str(error)
        self.memory.setText(words)

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the session."""
        run = self.session.run
        self.row.bar(self.start_button, run.why_not_start())
        self.row.bar(self.stop_button, run.why_not_stop())
        self.row.bar(self.cancel_button, run.why_not_cancel())
        bar_again(self.again_row, self.session, self.resume_button, self.open_button)
        text = run.state.value.capitalize()
        self.state.setText(f"{text}. {run.message}".strip())
        self.one_slice.refresh()
        self.expected.hold = (
            "A slice is being tried" if self.one_slice.running else None
        )
        self.expected.changed()


class ReconstructionDock(Dock):
    """Dock: reconstruct."""

    panels = (ReconstructionPanel,)
