"""All steps in order, in one dock."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from napari_inr_tomo.ui.controls import ActionRow
from napari_inr_tomo.ui.dock import Dock, scrolled
from napari_inr_tomo.ui.docks.alignment import AlignmentPanel
from napari_inr_tomo.ui.docks.background import BackgroundPanel
from napari_inr_tomo.ui.docks.export import ExportPanel
from napari_inr_tomo.ui.docks.monitor import MonitorPanel
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesPanel
from napari_inr_tomo.ui.run_control import RunState


class WorkflowDock(Dock):
    """Dock: from the file to the exported volume, step by step."""

    panels = (
        TiltSeriesPanel,
        BackgroundPanel,
        AlignmentPanel,
        ReconstructionPanel,
        MonitorPanel,
        ExportPanel,
    )

    def make_body(self) -> QWidget:
        """Return the steps above, the panel of the chosen one below."""
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        self.chooser = QComboBox()
        self.chooser.setToolTip("The steps in order; any can be opened at any time")
        for index, part in enumerate(self.parts, 1):
            self.chooser.addItem(f"{index}. {part.title}")
        self.pages = QStackedWidget()
        for part in self.parts:
            self.pages.addWidget(scrolled(part))
        self.chooser.currentIndexChanged.connect(self.pages.setCurrentIndex)
        self.chooser.currentIndexChanged.connect(self._turned)
        self.steps_row = ActionRow()
        self.back_button = self.steps_row.add("Back", "The step before", self.go_back)
        self.next_button = self.steps_row.add("Next", "The next step", self.go_on)
        head = QHBoxLayout()
        head.addWidget(self.chooser, 1)
        layout.addLayout(head)
        layout.addWidget(self.pages, 1)
        layout.addWidget(self.steps_row)
        self._turned()
        return body

    @property
    def step(self) -> int:
        """The step shown, from 0."""
        return self.chooser.currentIndex()

    def go(self, step: int) -> None:
        """Show a step."""
        self.chooser.setCurrentIndex(min(max(step, 0), len(self.parts) - 1))

    def go_back(self) -> None:
        """Show the step before."""
        self.go(self.step - 1)

    def go_on(self) -> None:
        """Show the next step."""
        self.go(self.step + 1)

    def part(self, kind: type) -> Any:
        """Return the panel of a kind."""
        return next(part for part in self.parts if isinstance(part, kind))

    def attach(self) -> None:
        """Follow the run: a started one turns to the Monitor."""
        fresh = not self._attached
        super().attach()
        if fresh and self._attached:
            self.session.run.changed.connect(self._run_changed)

    def release(self) -> None:
        """Stop following."""
        if self._attached:
            self.session.run.changed.disconnect(self._run_changed, missing_ok=True)
        super().release()

    def _run_changed(self) -> None:
        started = self.session.run.state is RunState.RUNNING
        if started and isinstance(self.parts[self.step], ReconstructionPanel):
            self.go(self.step + 1)

    def _turned(self, *_: Any) -> None:
        last = len(self.parts) - 1
        first = "This is the first step" if self.step == 0 else None
        end = "This is the last step" if self.step == last else None
        follows = self.parts[min(self.step + 1, last)].title
        self.next_button.setText("Next" if end else f"Next: {follows}")
        self.steps_row.bar(self.back_button, first)
        self.steps_row.bar(self.next_button, end)
