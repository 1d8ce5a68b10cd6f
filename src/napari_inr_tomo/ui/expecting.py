"""Expected time and memory beside the presets: measured on this stack, this computer.

The steps are timed in a process of their own (`runs.timing`), waited for in a worker
thread, while the words are visible and nothing else is going on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget
from superqt.utils import qdebounced

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui.controls import words

if TYPE_CHECKING:
    from napari_inr_tomo.config import ReconstructionConfig
    from napari_inr_tomo.types import TiltSeries
    from napari_inr_tomo.ui.session import Session

STILL_MS = 1200
"""Series and settings must be left alone for so long before steps are timed."""
MEASURED = "Measured: a few steps on this stack and this computer."
MEASURING = (
    "Measuring a few steps on this stack and this computer; large stacks take minutes. "
    "Start need not wait for it."
)
BUSY = " The computer was busy then: a run alone is faster."
Wish = tuple[str, "ReconstructionConfig", int]
"""What it is called, its settings, how many processes it would get."""


class ExpectedTimes(QWidget):
    """Lines like ``fast: about 40 s, 460 MB``.

    wishes: returns what to show, the chosen one first; [] for nothing.
    """

    def __init__(self, session: Session, wishes: Callable[[], list[Wish]]) -> None:
        super().__init__()
        self.session, self._wishes = session, wishes
        self.hold = False
        """A slice is being tried: nothing is timed meanwhile; set from outside."""
        self._costs: dict[str, Any] = {}
        self._of: Any = None
        self._settings: dict[str, Any] = {}
        self._worker: Any = None
        self._stop = threading.Event()
        self.lines = words()
        self.source = words(dim=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.lines)
        self.again_button = QPushButton("Measure again")
        self.again_button.setToolTip(
            "For a computer that was busy with something else: time the steps anew"
        )
        self.again_button.clicked.connect(lambda _=False: self.measure_again())
        layout.addWidget(self.source)
        layout.addWidget(self.again_button)
        self.later = qdebounced(self.begin, timeout=STILL_MS, parent=self)

    @property
    def measuring(self) -> bool:
        """Whether steps are being timed."""
        return self._worker is not None

    def changed(self) -> None:
        """Take in that the series, the settings or what goes on are others."""
        from napari_inr_tomo.runs.timing import cost_settings

        series = None if self.session.closed else self.session.series
        wishes = [] if series is None else self._wishes()
        now = {name: cost_settings(config) for name, config, _ in wishes}
        if series is not self._of or now != self._settings or self.why_not():
            self.end()
        kept = series is self._of
        self._costs = {
            name: costs
            for name, costs in self._costs.items()
            if kept and name in now and now[name] == self._settings.get(name)
        }
        self._of, self._settings = series, now
        self._draw()
        missing = any(name not in self._costs for name in now)
        if missing and not self.measuring and self.isVisible():
            self.later()

    def showEvent(self, event: Any) -> None:
        """Begin once the words can be seen."""
        super().showEvent(event)
        self.changed()

    def hideEvent(self, event: Any) -> None:
        """Measure nothing that nobody sees."""
        super().hideEvent(event)
        self.end()

    def measure_again(self) -> None:
        """Forget what was measured, and time the steps anew."""
        self.end()
        self._costs.clear()
        self.begin(again=True)

    def why_not(self) -> str | None:
        """Return why nothing can be timed just now, or None."""
        if self.hold:
            return "A slice is being tried"
        if self.session.run.alive:
            return "Times are measured when the reconstruction has ended"
        return f"Busy: {self.session.busy}" if self.session.busy else None

    def begin(self, again: bool = False) -> None:
        """Look up what is known, and time what is not (again: everything)."""
        from napari_inr_tomo.ui.worker import quiet_worker

        series = self.session.series
        seen = self.isVisible() and not self.session.closed
        if series is None or not seen or self.measuring:
            return
        stop = threading.Event()
        wanted = [wish for wish in self._wishes() if wish[0] not in self._costs]
        may = self.why_not() is None
        self._stop = stop
        self.destroyed.connect(stop.set)  # closed with its window, from another tab
        worker = quiet_worker(
            *(found, series, wanted, may, stop, again),
            failed=lambda problem: self._ended(stop, problem),
        )
        worker.yielded.connect(lambda each: None if stop.is_set() else self._take(each))
        worker.returned.connect(lambda _: self._ended(stop))
        self._worker = worker
        worker.start()
        self._draw()

    def end(self) -> None:
        """Stop timing; the process is ended by the worker."""
        self._stop.set()
        self._worker = None

    def _take(self, each: tuple[str, Any]) -> None:
        name, costs = each
        self._costs[name] = costs
        self._draw()

    def _ended(self, stop: threading.Event, problem: str = "") -> None:
        if stop.is_set():
            return
        self._worker = None
        self._draw()
        if problem:
            self.source.setText(problem)

    def _draw(self) -> None:
        series = self.session.series
        wishes = [] if series is None or self.session.closed else self._wishes()
        shown = [self._line(series, *wish) for wish in sorted(wishes, key=_order)]
        self.lines.setText("<br>".join(shown))
        waiting = [w for w in wishes if w[0] not in self._costs]
        why = self.why_not()
        if not wishes:
            said = ""
        elif waiting and why is not None and not self.measuring:
            said = f"{why}."
        elif waiting:
            said = MEASURING
        else:
            busy = any(getattr(costs, "busy", False) for costs in self._costs.values())
            said = MEASURED + BUSY * busy
        self.source.setText(said)
        self.again_button.setVisible(said.startswith(MEASURED))

    def _line(
        self,
        series: TiltSeries,
        name: str,
        config: ReconstructionConfig,
        processes: int,
    ) -> str:
        from napari_inr_tomo.runs.estimates import in_words
        from napari_inr_tomo.runs.timing import expected, in_seconds

        costs = self._costs.get(name)
        if costs is None:
            return f"{name}: {'measuring...' if self.measuring else 'not measured yet'}"
        if isinstance(costs, UserError):
            return f"{name}: {costs.what.lower()}, {costs.why}"
        shape = (int(series.mask.sum()), *series.images.shape[1:])
        need = expected(config, shape, costs, processes)
        each = " per process" if processes > 1 else ""
        return (
            f"{name}: about <b>{in_seconds(need.seconds)}</b>, "
            f"{in_words(need.memory_bytes)}{each}"
        )


def _order(wish: Wish) -> int:
    from napari_inr_tomo.config import PRESETS

    return PRESETS.index(wish[0]) if wish[0] in PRESETS else 0


def found(
    series: TiltSeries,
    wanted: list[Wish],
    may: bool,
    stop: threading.Event,
    again: bool = False,
) -> Iterator[tuple[str, Any]]:
    """Yield the costs of every wish: first those known, then (may) new ones.

    again: nothing counts as known.
    """
    from napari_inr_tomo.runs import timing

    missing: list[tuple[str, ReconstructionConfig]] = []
    for name, config, _ in wanted:
        costs = None if again else timing.known(series, config)
        if costs is None:
            missing.append((name, config))
        else:
            yield name, costs
    done: list[dict[str, Any]] = []
    for name, config in missing if may else []:
        if stop.is_set():
            return
        kind = timing.cost_settings(config)
        anew, done = again and kind not in done, [*done, kind]
        try:
            costs = timing.measure(series, config, stop.is_set, again=anew)
        except UserError as error:
            yield name, error
            continue
        if costs is not None:
            yield name, costs
