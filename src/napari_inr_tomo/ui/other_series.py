"""Choosing a second tilt series: another pass, or the other scan direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_inr_tomo.ui import pass_steps as steps
from napari_inr_tomo.ui.controls import ActionRow, form, group
from napari_inr_tomo.ui.jobs import start_job, start_step
from napari_inr_tomo.ui.series_layer import series_of

if TYPE_CHECKING:
    from napari_inr_tomo.types import TiltSeries
    from napari_inr_tomo.ui.session import Session


class OtherSeries(QComboBox):
    """The tilt series that are open, but for the current one."""

    def __init__(self, session: Session, tip: str) -> None:
        super().__init__()
        self._session = session
        self.setToolTip(tip)
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def list_layers(self) -> None:
        """List what is open now; the choice stays where it can."""
        chosen = self.currentData()
        self.blockSignals(True)
        self.clear()
        for layer in self._session.series_layers():
            if layer is not self._session.layer:
                self.addItem(layer.name, layer)
                if layer is chosen:
                    self.setCurrentIndex(self.count() - 1)
        self.blockSignals(False)

    @property
    def series(self) -> TiltSeries | None:
        """The chosen tilt series, or None where it is gone."""
        layer = self.currentData()
        return series_of(layer) if self._session.has_layer(layer) else None


class MergeBox:
    """The controls that merge the current series with another pass."""

    def __init__(self, session: Session, selected: Callable[[], Sequence[int]]) -> None:
        """Make them; ``selected`` returns the tilts that are selected in a table."""
        self._session, self._selected = session, selected
        self.box, layout = group("Passes")
        self.other = OtherSeries(
            session,
            "Another pass over the same specimen, open as a tilt series with images of "
            "the same size",
        )
        fields = form()
        fields.addRow("Merge with", self.other)
        layout.addLayout(fields)
        self.row = ActionRow()
        self.button = self.row.add(
            "Merge",
            "Make one tilt series of both, sorted by angle; every tilt remembers its "
            "pass, and projection matching gives each pass its own tilt axis",
            self.merge,
        )
        self.mark_button = self.row.add(
            "Begin at selected",
            "For one stack that holds its passes one after the other, in the order "
            "they were recorded: a pass begins at each view selected above",
            self.mark,
        )
        layout.addWidget(self.row)

    def mark(self) -> None:
        """Let a pass begin at every selected tilt."""
        start_step(
            self._session, "Marking the passes", steps.set_passes, self._selected()
        )

    def merge(self) -> None:
        """Merge the current series with the chosen one into a new layer."""
        series, other = self._session.series, self.other.series
        if series is None or other is None:
            return
        start_job(
            self._session,
            "Merging the passes",
            steps.merge_series,
            series,
            [other],
            done=self._session.add_series,
        )

    def refresh(self, *_: Any) -> None:
        """List the other series and bar the button where there is none."""
        self.other.list_layers()
        alone = None if self.other.count() else "Open the other pass as well"
        why = self._session.why_not_step()
        self.row.bar(self.button, why or alone)
        chosen = None if self._selected() else "Select views in the table"
        self.row.bar(self.mark_button, why or chosen)
