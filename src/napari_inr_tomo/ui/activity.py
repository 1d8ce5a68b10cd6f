"""How far a run is, in napari's activity dock."""

from __future__ import annotations

from typing import Any

from napari_inr_tomo.ui.record import PHASES, RunRecord
from napari_inr_tomo.ui.turns import later


class Activity:
    """The bar of one run: its present phase, in per cent.

    napari draws the whole window whenever such a bar moves, so it moves in a turn of
    the event loop of its own.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._wanted: RunRecord | None = None

    def show(self, record: RunRecord) -> None:
        """Show the state of a run soon."""
        if not record.total:
            return
        if self._wanted is None:
            later(self._show)
        self._wanted = record

    def _show(self) -> None:
        from napari.utils import progress

        record, self._wanted = self._wanted, None
        if record is None:
            return
        phase = PHASES.get(record.phase, record.phase)
        name = f"{record.method.upper()}: {phase}"
        if self._bar is not None and self._bar.desc.strip(" :") != name:
            self.close()
        if self._bar is None:
            self._bar = progress(total=100, desc=name)
        advance = int(100 * record.share) - self._bar.n
        if advance > 0:
            self._bar.update(advance)

    def close(self) -> None:
        """Take the bar away."""
        self._wanted = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None
