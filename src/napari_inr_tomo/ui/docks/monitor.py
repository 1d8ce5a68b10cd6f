"""Watching a run: state, time left, loss, poses; what its layers show."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QProgressBar

from napari_inr_tomo.ui.controls import ActionRow, group, tick, words
from napari_inr_tomo.ui.curve_layers import curves_to_layers
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.plots import LossPlot, PosePlot
from napari_inr_tomo.ui.run_buttons import again_buttons, bar_again, stop_buttons
from napari_inr_tomo.ui.run_control import ALIVE, NO_RUN, RunState
from napari_inr_tomo.ui.turns import Pieces

if TYPE_CHECKING:
    from napari_inr_tomo.ui.session import Session

CLOSER = {
    "Slices": "Cut the volume with a crosshair; at full resolution while an INR learns",
    "Check tilts": "Compare every tilt with the volume; leave out bad ones; the poses",
    "Sinogram": "A line of the images against the tilt, measured and computed",
    "Compare": "Compare two volumes: pictures, similarity, resolution",
    "Runs": "All runs so far",
}
NO_VOLUME = {
    False: "No volume has come yet",
    True: "Its layer was removed: press 'Show layers again'",
}
"""Why there is no volume to show, by whether the user has removed it."""


class MonitorPanel(Panel):
    """See how the reconstruction comes along."""

    title = "Monitor"
    intro = ""

    def build(self) -> None:
        """Make the controls."""
        run = self.session.run
        box, layout = group("Run")
        self.state = words()
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.numbers = words()
        layout.addWidget(self.state)
        layout.addWidget(self.bar)
        layout.addWidget(self.numbers)
        self.row = ActionRow()
        self.stop_button, self.cancel_button = stop_buttons(self.row, run)
        self.save_button = self.row.add(
            "Save now",
            "Write a checkpoint now and go on",
            lambda: run.request("save-now"),
        )
        layout.addWidget(self.row)
        self.again_row = ActionRow()
        self.resume_button, self.open_button = again_buttons(self.again_row, self)
        layout.addWidget(self.again_row)
        self.body.addWidget(box)
        self._build_closer()
        self._build_layers()
        self._build_curves()
        self._soon = Pieces(self, self._draw_loss, self._draw_poses)

    def _build_layers(self) -> None:
        run = self.session.run
        box, layout = group("Layers")
        self.live = tick(
            "Update the volume live", "Show new volumes as they come", True
        )
        self.live.toggled.connect(lambda on: run.live.set() if on else run.live.clear())
        layout.addWidget(self.live)
        self.show_row = ActionRow()
        self.volume_button = self.show_row.add(
            "Show volume",
            "Show the volume and hide the tilt series",
            lambda: run.layers.show_only("volume"),
        )
        self.stack_button = self.show_row.add(
            "Show tilts",
            "Show the tilt series with the tilt axis and the poses of the run",
            self.show_tilts,
        )
        layout.addWidget(self.show_row)
        self.layer_row = ActionRow()
        self.rescale_button = self.layer_row.add(
            "Rescale contrast",
            "Fit the contrast to the volume as it is now; by itself it changes only "
            "where it is far off, and never once you have set it",
            run.layers.rescale,
        )
        self.back_button = self.layer_row.add(
            "Show layers again",
            "Bring back layers of the run that were removed",
            self.bring_back,
        )
        layout.addWidget(self.layer_row)
        self.body.addWidget(box)

    def _build_curves(self) -> None:
        box, layout = group("Curves")
        self.loss = LossPlot()
        self.poses = PosePlot()
        self.loss_words = words(dim=True)
        layout.addWidget(self.loss)
        layout.addWidget(self.loss_words)
        layout.addWidget(self.poses)
        self.curve_row = ActionRow()
        self.curve_button = self.curve_row.add(
            "Curves to layers",
            "Put the loss and pose curves into layers, with all numbers in their "
            "features tables",
            self.to_layers,
        )
        layout.addWidget(self.curve_row)
        self.body.addWidget(box)

    def _build_closer(self) -> None:
        box, layout = group("Look closer")
        for titles in (list(CLOSER)[:3], list(CLOSER)[3:]):
            row = ActionRow()
            for title in titles:
                act = partial(self.show_dock, title)
                row.add(title, CLOSER[title], act)
            layout.addWidget(row)
        self.body.addWidget(box)

    def show_dock(self, title: str) -> Any:
        """Open one of the docks for a closer look."""
        return open_closer(self.session, title)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the run."""
        session = self.session
        return [
            (session.run.changed, self.refresh),
            (session.run.updated, self._updated),
            (session.layers_changed, self.refresh),
            (session.busy_changed, self.refresh),
            (session.viewer.events.theme, self._theme),
        ]

    def attach(self) -> None:
        """Connect, and draw what there is already."""
        super().attach()
        self._theme()
        self._draw_loss()
        self._draw_poses()

    def release(self) -> None:
        """Let go."""
        super().release()
        self._soon.forget()

    def bring_back(self) -> None:
        """Let the layers come again, at once where the result is complete."""
        run = self.session.run
        run.layers.bring_back()
        if run.state is RunState.DONE:
            run.load_result()
        if run.record.poses is not None:
            run.layers.show_poses(run.record.poses, run.record)
        self.refresh()

    def show_tilts(self) -> None:
        """Show tilts and poses; say so where the tilts are not there."""
        from napari.utils.notifications import show_info

        self.session.run.layers.show_only("stack")
        if self.session.layer is None:
            show_info(
                "No tilt series is open: only the poses are shown. 'Use settings' in "
                "Runs opens the one of the run."
            )

    def to_layers(self) -> None:
        """Put the curves into layers."""
        curves_to_layers(self.session, self.session.run.record)

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            for plot in (self.loss, self.poses):
                plot.set_theme(self.session.viewer.theme)

    def _updated(self, update: Any) -> None:
        self._numbers()
        if update.epochs or update.poses is not None:
            self._soon()
        if update.preview is not None or update.poses is not None:
            self._bar_buttons()

    def _draw_loss(self) -> None:
        record = self.session.run.record
        self.loss.show_record(record)
        self.loss_words.setText(record.loss_words)
        self.loss_words.setHidden(not record.loss_words)

    def _draw_poses(self) -> None:
        run = self.session.run
        groups = None if run.run is None else run.run.spec.groups
        self.poses.show_poses(run.record.poses, groups)

    def _numbers(self) -> None:
        run, record = self.session.run, self.session.run.record
        alive = run.state in ALIVE
        if alive and not record.total:
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, 1000)
            self.bar.setUpdatesEnabled(False)  # else it draws the window at once
            self.bar.setValue(int(1000 * record.share))
            self.bar.setUpdatesEnabled(True)
        words = record.progress_words
        self.bar.setFormat(words if record.total else "")
        lines = []
        if record.device:
            ranks = f"{record.ranks} process" + ("es" if record.ranks != 1 else "")
            lines.append(f"{record.method.upper()} on {record.device}, {ranks}")
        curve = record.curves.get(record.phase)
        if curve is not None and curve.losses:
            lines.append(f"Loss {curve.losses[-1]:.4g}")
        lines += filter(None, [record.time_words])
        self.numbers.setText("\n".join(lines))

    def _bar_buttons(self) -> None:
        session, run = self.session, self.session.run
        layers, record = run.layers, run.record
        none = NO_RUN if run.run is None else None
        self.row.bar(self.stop_button, run.why_not_stop())
        self.row.bar(self.cancel_button, run.why_not_cancel())
        self.row.bar(self.save_button, run.why_not_cancel())
        bar_again(self.again_row, session, self.resume_button, self.open_button)
        came = layers.volume is not None
        volume = none or (None if came else NO_VOLUME[layers.removed])
        self.show_row.bar(self.volume_button, volume)
        tilts = session.layer is not None or layers.has_poses
        stack = None if tilts else "No tilt series is open"
        self.show_row.bar(self.stack_button, stack)
        self.layer_row.bar(self.rescale_button, volume)
        self.back_button.setVisible(bool(layers.dismissed))
        curves = None if record.curves or record.poses else "No curves have come yet"
        self.curve_row.bar(self.curve_button, none or curves)

    def refresh(self, *_: Any) -> None:
        """Bring everything into agreement with the run."""
        run = self.session.run
        name = f" ({run.record.name})" if run.record.name else ""
        text = f"{run.state.value.capitalize()}{name}. {run.message}"
        self.state.setText(text.strip())
        self._numbers()
        self._bar_buttons()
        if run.state is RunState.STARTING:
            self._soon()


def open_closer(session: Session, title: str) -> Any:
    """Open the dock of this title, one of `CLOSER`."""
    from napari_inr_tomo.ui.docks.compare import CompareDock
    from napari_inr_tomo.ui.docks.runs import RunsDock
    from napari_inr_tomo.ui.docks.sinogram import SinogramDock
    from napari_inr_tomo.ui.docks.slices import SlicesDock
    from napari_inr_tomo.ui.docks.tilts import TiltsDock
    from napari_inr_tomo.ui.open_docks import show_dock

    kinds = (SlicesDock, TiltsDock, SinogramDock, CompareDock, RunsDock)
    kind = next(k for k in kinds if k.panels[0].title == title)
    return show_dock(session, kind)


class MonitorDock(Dock):
    """Dock: watch a run."""

    panels = (MonitorPanel,)
