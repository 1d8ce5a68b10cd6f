"""Lining the tilts up: shifts, tilt axis."""

from __future__ import annotations

from typing import Any

from superqt.utils import signals_blocked

from napari_inr_tomo.passes import in_words, passes_of
from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.aligned_tilts import AlignedTilts
from napari_inr_tomo.ui.axis_tool import AxisTool
from napari_inr_tomo.ui.controls import ActionRow, group, tick, words
from napari_inr_tomo.ui.correlation_choices import CorrelationChoices
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_step
from napari_inr_tomo.ui.plots import PosePlot
from napari_inr_tomo.ui.undoing import bar_undo, undo_button

ALIGNED_TIP = (
    "Turn and move every tilt by its pose while it is looked at: the tilt axis lies "
    "level through the middle, and the specimen stands still"
)


class AlignmentPanel(Panel):
    """Find the shift of every tilt, then the tilt axis."""

    title = "Alignment"
    intro = (
        "Alignment only changes the start poses of the tilts; the images are never "
        "resampled. First the shifts, then the tilt axis."
    )

    def build(self) -> None:
        """Make the controls."""
        box, layout = group("Shifts")
        self.row = ActionRow()
        self.xcorr_button = self.row.add(
            "Cross-correlation",
            "Compare each tilt with its neighbour, from 0 degrees outwards",
            lambda: start_step(
                self.session,
                "Cross-correlating",
                steps.cross_correlation,
                self.correlation.settings,
            ),
        )
        self.mass_button = self.row.add(
            "Centre of mass",
            "Bring the centre of mass of every tilt onto the axis; needs an isolated "
            "specimen and no background",
            lambda: start_step(
                self.session, "Finding centres of mass", steps.centre_of_mass
            ),
        )
        layout.addWidget(self.row)
        self.second_row = ActionRow()
        self.line_button = self.second_row.add(
            "Common line",
            "Find the angle of the axis on which the sums across it agree for all "
            "tilts, and lay the tilts together along it; needs no background",
            lambda: start_step(
                self.session, "Finding the common line", steps.common_line
            ),
        )
        self.match_button = self.second_row.add(
            "Projection matching",
            "Lay every tilt on what a reconstruction of all predicts: refines shifts "
            "and axis together; last, from rough poses",
            lambda: start_step(
                self.session, "Matching projections", steps.match_projections
            ),
        )
        layout.addWidget(self.second_row)
        self.correlation = CorrelationChoices()
        layout.addWidget(self.correlation)
        self.all_row = ActionRow()
        self.all_button = self.all_row.add(
            "Align automatically",
            "Cross-correlation, centre of mass, tilt axis and projection matching, one "
            "after the other",
            lambda: start_step(self.session, "Aligning", steps.align_all),
        )
        self.forget_button = self.all_row.add(
            "Forget all poses",
            "Set all shifts and the tilt axis back to zero",
            lambda: start_step(
                self.session, "Forgetting the poses", steps.forget_poses
            ),
        )
        layout.addWidget(self.all_row)
        self.plot = PosePlot(angles=False)
        layout.addWidget(self.plot)
        self.aligned = AlignedTilts(self.session, self._tick_aligned)
        self.aligned_tick = tick("Show the tilts aligned", ALIGNED_TIP)
        self.aligned_tick.toggled.connect(self._show_aligned)
        layout.addWidget(self.aligned_tick)
        self.undo_row = ActionRow()
        self.undo_button = undo_button(self.undo_row, self.session)
        layout.addWidget(self.undo_row)
        self.hand_row = ActionRow()
        self.hand_row.add(
            "By hand, files, other signals...",
            "Shift single tilts with the arrow keys; load and save alignments; take "
            "over the alignment of another signal",
            self.open_shifts,
        )
        layout.addWidget(self.hand_row)
        self.body.addWidget(box)
        box, layout = group("Tilt axis")
        self.axis_words = words()
        layout.addWidget(self.axis_words)
        self.tool = AxisTool(self.session)
        layout.addWidget(self.tool)
        self.body.addWidget(box)

    def open_shifts(self) -> None:
        """Open the dock in which tilts are shifted by hand."""
        from napari_inr_tomo.ui.docks.shifts import ShiftsDock
        from napari_inr_tomo.ui.open_docks import show_dock

        show_dock(self.session, ShiftsDock)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the theme and the layers as well."""
        session = self.session
        return [
            *super().connections(),
            (session.viewer.events.theme, self._theme),
            (session.layers_changed, self._follow_aligned),
        ]

    def attach(self) -> None:
        """Connect to the session."""
        super().attach()
        self._theme()

    def release(self) -> None:
        """Take the tool's lines and the aligned tilts away with the dock."""
        self.tool.disable()
        self.aligned.remove()
        super().release()

    def _show_aligned(self, on: bool) -> None:
        from napari.utils.notifications import show_info

        if not on:
            self.aligned.remove()
        elif self.tool.enabled:
            show_info(
                "The axis is being adjusted, on the tilts as they are: press "
                f"'{self.tool.switch.text()}' first."
            )
            self._tick_aligned()
        else:
            self.aligned.show()

    def _follow_aligned(self) -> None:
        self.aligned.refresh()
        self._tick_aligned()

    def _tick_aligned(self) -> None:
        with signals_blocked(self.aligned_tick):
            self.aligned_tick.setChecked(self.aligned.shown)

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            self.plot.set_theme(self.session.viewer.theme)

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the session."""
        session, series = self.session, self.session.series
        why = session.why_not_step()
        for button in (self.xcorr_button, self.mass_button):
            self.row.bar(button, why)
        for button in (self.line_button, self.match_button):
            self.second_row.bar(button, why)
        self.all_row.bar(self.all_button, why)
        bar_undo(self.undo_row, session, self.undo_button)
        moved = series is not None and series.start_poses.as_array().any()
        self.all_row.bar(
            self.forget_button, why or (None if moved else "All poses are zero")
        )
        self.plot.show_series(series)
        self._follow_aligned()
        none = session.why_not_look()
        self.aligned_tick.setEnabled(none is None)
        self.aligned_tick.setToolTip(
            ALIGNED_TIP if none is None else f"{none}.\n\n{ALIGNED_TIP}"
        )
        if series is None:
            self.axis_words.setText("")
        else:
            poses = series.start_poses.take(series.mask)
            self.axis_words.setText(
                f"The axis now: {poses.axis_deg:.2f} deg from +x, clockwise on screen. "
                f"{in_words(passes_of(series))}"
            )
        if self.tool.enabled and self.tool._for_layer is not session.layer:
            self.tool.disable()
        self.tool.refresh()


class AlignmentDock(Dock):
    """Dock: line the tilts up."""

    panels = (AlignmentPanel,)
