"""Every tilt against the volume: image, projection, residual, pose; leaving out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui import pass_steps, slicing, steps, tilt_checks
from napari_inr_tomo.ui.controls import (
    ActionRow,
    SlicePicture,
    form,
    group,
    inner_limits,
    whole,
    words,
)
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_step
from napari_inr_tomo.ui.latest import Latest
from napari_inr_tomo.ui.plots import PosePlot, ResidualBars
from napari_inr_tomo.ui.pose_editor import PoseEditor
from napari_inr_tomo.ui.run_control import NO_RUN, OTHER_SERIES
from napari_inr_tomo.ui.run_folders import next_folder
from napari_inr_tomo.ui.series_layer import STACK_LABELS, frozen_of, pixel_and_unit
from napari_inr_tomo.ui.turns import Pieces

FLICKER_MS = 400
VIEWS = ("measured", "computed", "residual")
NO_RESIDUALS = (
    "No residuals yet: they come after the first epochs of an INR, and with the result "
    "of SIRT, TV and FBP."
)
NO_POSES = "No poses have come yet"


class TiltsPanel(Panel):
    """See which tilts the volume explains, and leave out those it cannot."""

    title = "Check tilts"
    intro = (
        "The volume, projected at the pose of a tilt, should be the image of that "
        "tilt. Where it is not, the tilt is shaded, blurred or out of place."
    )

    def build(self) -> None:
        """Make the controls."""
        self._view: slicing.TiltView | None = None
        self._run: Any = None
        self._bad = np.empty(0, int)
        self._work = Latest(self, self._computed, self._failed)
        self._soon = Pieces(self, self._draw_bars, self._draw_poses, self._compute)
        self._timer = QTimer(self)
        self._timer.setInterval(FLICKER_MS)
        self._timer.timeout.connect(self._flick)
        self.of = words()
        self.body.addWidget(self.of)
        self._build_view()
        self._build_bars()
        self._build_poses()

    def _build_view(self) -> None:
        box, layout = group("One tilt")
        self.tilt = whole(0, 0, 0, "Number of the tilt, from 0")
        self.tilt.valueChanged.connect(self._tilt_chosen)
        self.what = QComboBox()
        self.what.addItems(VIEWS)
        self.what.setToolTip(
            "measured: the image. computed: the volume projected at its pose, with the "
            "same contrast. residual: measured minus computed; grey is no difference"
        )
        self.what.currentIndexChanged.connect(self._draw)
        fields = form()
        fields.addRow("Tilt", self.tilt)
        fields.addRow("Show", self.what)
        layout.addLayout(fields)
        self.view_row = ActionRow()
        self.flicker_button = self.view_row.add(
            "Flicker",
            "Show measured and computed in turn: what jumps is out of place",
            self.flicker,
        )
        self.flicker_button.setCheckable(True)
        layout.addWidget(self.view_row)
        self.picture = SlicePicture("The tilt, as chosen above", side=230)
        layout.addWidget(self.picture)
        self.body.addWidget(box)

    def _build_bars(self) -> None:
        box, layout = group("Residual of every tilt")
        self.bars = ResidualBars(self.tilt.setValue)
        layout.addWidget(self.bars)
        self.stand_out = words()
        layout.addWidget(self.stand_out)
        self.row = ActionRow()
        self.out_button = self.row.add(
            "Leave out this tilt",
            "Leave the shown tilt out of everything that follows; it stays in the "
            "stack, and the Tilt series step takes it back",
            lambda: self.leave_out([self.tilt.value()]),
        )
        self.all_button = self.row.add(
            "Leave out all that stand out",
            "Leave the tilts with red bars out of everything that follows",
            lambda: self.leave_out(self._bad.tolist()),
        )
        layout.addWidget(self.row)
        self.again_row = ActionRow()
        self.again_button = self.again_row.add(
            "Run again from here",
            "Start a new run with the settings of this one, from the poses it has "
            "found, with the tilts that are used now",
            self.run_again,
        )
        layout.addWidget(self.again_row)
        self.body.addWidget(box)

    def _build_poses(self) -> None:
        box, layout = group("Poses")
        self.poses = PosePlot(sums=True)
        layout.addWidget(self.poses)
        self.steps_found = words()
        layout.addWidget(self.steps_found)
        self.pose_row = ActionRow()
        self.start_button = self.pose_row.add(
            "Start from these poses",
            "Make the poses of the run the start poses of the tilt series, for the "
            "next run or for export",
            self.take_poses,
        )
        layout.addWidget(self.pose_row)
        self.body.addWidget(box)
        self.editor = PoseEditor(self.session)
        self.body.addWidget(self.editor)

    # following ----------------------------------------------------------------

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow series, run and napari's slider."""
        session, viewer = self.session, self.session.viewer
        return [
            *super().connections(),
            (session.layers_changed, self._layers_changed),
            (session.run.changed, self.refresh),
            (session.run.updated, self._updated),
            (viewer.dims.events.point, self._slider_moved),
            (viewer.events.theme, self._theme),
        ]

    def attach(self) -> None:
        """Connect, and show what there is."""
        super().attach()
        self._theme()
        self._draw_bars()
        self._draw_poses()
        self._compute()
        self._slider_moved()
        self._begin()
        self.refresh()

    def release(self) -> None:
        """Let go; the flicker ends."""
        super().release()
        self.stop_flicker()
        self._soon.forget()
        self._work.forget()

    def hideEvent(self, event: Any) -> None:
        """End the flicker with the picture."""
        super().hideEvent(event)
        self.stop_flicker()

    def _updated(self, update: Any) -> None:
        if update.poses is not None or update.preview is not None or update.result:
            self._soon()
            self.refresh()

    def _layers_changed(self) -> None:
        if self._view is None:
            self._compute()  # the volume of the run may have come
        self.refresh()

    def _slider_moved(self, *_: Any) -> None:
        session, tilt = self.session, self.session.shown_tilt()
        if tilt is None or not session.layer.visible or not session.run.of_current:
            return
        if session.on_top() == STACK_LABELS[0] and session.viewer.dims.ndisplay == 2:
            self.tilt.setValue(tilt)

    def _begin(self) -> None:
        """Go to the nearest tilt the run has used: the others have no picture."""
        run = self._run = self.session.run.run
        if run is not None:
            away = np.abs(run.spec.tilts - self.tilt.value())
            self.tilt.setValue(int(run.spec.tilts[np.argmin(away)]))

    # the picture --------------------------------------------------------------

    def why_no_view(self) -> str | None:
        """Return why no tilt can be compared now, or None."""
        run = self.session.run
        if run.run is None:
            return NO_RUN
        if run.record.poses is None and run.run.spec.config.method == "inr":
            return NO_POSES
        if not self.session.has_layer(run.layers.volume):
            return "No volume of the run is open"
        return None

    def _compute(self) -> None:
        """Project the volume at the pose of the tilt, in a worker."""
        run = self.session.run
        if self.why_no_view() is not None or self.session.closed:
            self._view = None
            self._work.forget()
            self.picture.clear()
            return
        data = np.asarray(run.layers.volume.data)
        full = run.record.shape_zyx or data.shape
        voxel = max(f / n for f, n in zip(full, data.shape, strict=True))
        shown = slicing.Shown(data, max(1.0, float(round(voxel))))
        self._work.ask(
            slicing.view_of, run.run, shown, self.tilt.value(), run.record.poses
        )

    def _computed(self, result: tuple[int, Any]) -> None:
        tilt, view = result
        if tilt == self.tilt.value() and not self.session.closed:
            self._view = view
            self._draw()

    def _failed(self, error: Exception) -> None:
        self._view = None
        self.picture.clear(str(error))

    def _draw(self, *_: Any) -> None:
        view = self._view
        if view is None:
            return
        what = self.what.currentText()
        limits = inner_limits(view.measured)
        if what == "residual":
            most = float(np.quantile(np.abs(view.residual), 0.995)) or 1.0
            limits = (-most, most)
        angle = self._angle(self.tilt.value())
        self.picture.show_image(
            getattr(view, what),
            f"{what}, tilt {self.tilt.value()} at {angle:+.1f} deg; residual "
            f"{100 * view.share:.1f} % of the image (rms)",
            limits,
            pixel=self._pixel(view.measured.shape[1]),
        )

    def _pixel(self, columns: int) -> tuple[float, str]:
        """Return the edge of a pixel of the (maybe binned) picture, and its unit."""
        spec = self.session.run.run.spec
        edge, unit = pixel_and_unit(spec.pixel_size_nm)
        return edge * spec.shape[2] / columns, unit.replace("pixel", "px")

    def _angle(self, tilt: int) -> float:
        spec = self.session.run.run.spec
        return float(spec.original_angles_deg[tilt])

    def _tilt_chosen(self, *_: Any) -> None:
        on_top = self.session.on_top() == STACK_LABELS[0]  # else the volume stays
        if on_top and self.session.run.of_current:
            self.session.show_tilt(self.tilt.value())
        self._bars()
        self._compute()
        self.refresh()

    def flicker(self) -> None:
        """Begin or end showing measured and computed in turn."""
        if self.flicker_button.isChecked():
            self._timer.start()
        else:
            self.stop_flicker()

    def stop_flicker(self) -> None:
        """End the flicker."""
        self._timer.stop()
        self.flicker_button.setChecked(False)

    def _flick(self) -> None:
        shown = self.what.currentText()
        self.what.setCurrentText("computed" if shown == "measured" else "measured")

    # the run ------------------------------------------------------------------

    def _bars(self) -> None:
        table = self.session.run.record.poses
        self._bad = self.bars.show_poses(table, self.tilt.value())

    def _draw_bars(self) -> None:
        """Draw the residuals, and say which stand out."""
        table = self.session.run.record.poses
        self._bars()
        text = ""
        if table is not None and len(self.bars.tilts):
            text = tilt_checks.in_words(self._bad, table["angle_deg"])
        elif self.session.run.run is not None:
            text = NO_RESIDUALS
        self.stand_out.setText(text)
        self.refresh()

    def _draw_poses(self) -> None:
        """Draw the poses, and say where they step."""
        run, table = self.session.run.run, self.session.run.record.poses
        groups = None if run is None else run.spec.groups
        self.poses.show_poses(table, groups)
        said = pass_steps.poses_in_words(self.poses.found, table, groups)
        self.steps_found.setText(said)

    def leave_out(self, tilts: list[int]) -> None:
        """Leave tilts out of the current series."""
        start_step(self.session, "Leaving views out", steps.set_used, tilts, False)

    def take_poses(self) -> None:
        """Make the poses of the run the start poses of the series."""
        run = self.session.run
        table = run.fitting_poses()
        if table is not None:
            start_step(
                self.session,
                "Taking the poses of the run",
                steps.take_poses,
                table.poses(),
                run.record.name,
            )

    def run_again(self) -> None:
        """Start a new run from the poses of this one."""
        from napari.utils.notifications import show_error

        run = self.session.run
        frozen = {"frozen": frozen_of(self.session.layer)}
        folder = next_folder(Path(run.run.path))
        config = run.run.config.merged({"inr": {"poses": frozen}})

        def begin(_: Any) -> None:
            try:
                run.begin(folder, config)
            except UserError as error:
                show_error(str(error))

        start_step(
            self.session,
            "Taking the poses of the run",
            steps.take_poses,
            run.fitting_poses().poses(),
            run.record.name,
            after=begin,
        )

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            for plot in (self.bars, self.poses):
                plot.set_theme(self.session.viewer.theme)

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with series and run."""
        session, run = self.session, self.session.run
        if run.run is not None:
            self.tilt.setMaximum(len(run.run.spec.original_angles_deg) - 1)
        if run.run is not self._run:
            self._begin()
        self.of.setText(run.of_another())
        self.of.setHidden(not self.of.text())
        why = self.why_no_view()
        self.view_row.bar(self.flicker_button, why)
        if why:
            self.stop_flicker()
            self.picture.clear()
        none = NO_RUN if run.run is None else session.why_not_step()
        other = none or (None if run.of_current else OTHER_SERIES)
        poses = other or (None if run.record.poses is not None else NO_POSES)
        used = other
        if other is None and not session.series.mask[self.tilt.value()]:
            used = "This tilt is left out already"
        self.row.bar(self.out_button, used)
        fresh = other is None and session.series.mask[self._bad].any()
        self.row.bar(
            self.all_button, other or (None if fresh else "No used tilt stands out")
        )
        self.again_row.bar(self.again_button, poses or run.why_not_start())
        self.pose_row.bar(self.start_button, poses)
        self.editor.show_tilt(self.tilt.value())


class TiltsDock(Dock):
    """Dock: tilts and poses of a run."""

    panels = (TiltsPanel,)
