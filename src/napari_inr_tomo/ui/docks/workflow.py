"""All steps in order, in one dock."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from napari_inr_tomo.ui.controls import ActionRow
from napari_inr_tomo.ui.dock import Dock, Panel, scrolled
from napari_inr_tomo.ui.docks.alignment import AlignmentPanel
from napari_inr_tomo.ui.docks.background import BackgroundPanel
from napari_inr_tomo.ui.docks.export import ExportPanel
from napari_inr_tomo.ui.docks.monitor import MonitorPanel
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesPanel
from napari_inr_tomo.ui.run_control import RunState

CHARACTERS = 85
"""Width of the dock when it is opened, in letters."""
FIRST_MS, REST_MS = 200, 20
"""Until the first of the steps not shown is made; from one to the next."""


class WorkflowDock(Dock):
    """Dock: from the file to the exported volume, step by step.

    The step that is shown is made at once; the others, one a turn of the event loop.
    """

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
        self.pages = QStackedWidget()
        for index, kind in enumerate(self.panels, 1):
            self.chooser.addItem(f"{index}. {kind.title}")
            self.pages.addWidget(scrolled())
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
        self._rest = QTimer(self)
        self._rest.timeout.connect(self._make_next)
        self._turned()
        return body

    def sizeHint(self) -> QSize:
        """Return the width that all steps are at ease with, though not all are made."""
        wide = CHARACTERS * self.fontMetrics().averageCharWidth()
        return super().sizeHint().expandedTo(QSize(wide, 0))

    @property
    def step(self) -> int:
        """The step shown, from 0."""
        return self.chooser.currentIndex()

    def go(self, step: int) -> None:
        """Show a step."""
        self.chooser.setCurrentIndex(min(max(step, 0), len(self.panels) - 1))

    def go_back(self) -> None:
        """Show the step before."""
        self.go(self.step - 1)

    def go_on(self) -> None:
        """Show the next step."""
        self.go(self.step + 1)

    def part(self, kind: type[Panel]) -> Any:
        """Return the panel of a kind; it is made when first asked for."""
        fresh = kind not in self._made
        part = super().part(kind)
        if fresh:
            self.pages.widget(self.panels.index(kind)).setWidget(part)
        return part

    def _make_next(self) -> None:
        """Make one of the steps that were not yet shown."""
        self._rest.setInterval(REST_MS)
        for kind in self.panels:
            if kind not in self._made:
                self.part(kind)
                return
        self._rest.stop()

    def attach(self) -> None:
        """Follow the run: a started one turns to the Monitor."""
        fresh = not self._attached
        super().attach()
        if fresh and self._attached:
            self.session.run.changed.connect(self._run_changed)
            self._rest.start(FIRST_MS)

    def release(self) -> None:
        """Stop following."""
        if self._attached:
            self.session.run.changed.disconnect(self._run_changed, missing_ok=True)
        self._rest.stop()
        super().release()

    def _run_changed(self) -> None:
        started = self.session.run.state is RunState.RUNNING
        if started and self.panels[self.step] is ReconstructionPanel:
            self.go(self.step + 1)

    def _turned(self, *_: Any) -> None:
        self.part(self.panels[self.step])
        last = len(self.panels) - 1
        first = "This is the first step" if self.step == 0 else None
        end = "This is the last step" if self.step == last else None
        follows = self.panels[min(self.step + 1, last)].title
        self.next_button.setText("Next" if end else f"Next: {follows}")
        self.steps_row.bar(self.back_button, first)
        self.steps_row.bar(self.next_button, end)
