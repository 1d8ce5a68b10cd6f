"""Keeps the steps on the series of a file, and offers those of an earlier time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from superqt.utils import qdebounced

from napari_inr_tomo import kept
from napari_inr_tomo.kept import KeptSteps
from napari_inr_tomo.replay import is_repeatable
from napari_inr_tomo.types import Step, TiltSeries
from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.controls import ActionRow, group, words
from napari_inr_tomo.ui.jobs import start_step
from napari_inr_tomo.ui.latest import Latest
from napari_inr_tomo.ui.series_layer import FILE, is_series_layer, series_of

if TYPE_CHECKING:
    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget

    from napari_inr_tomo.ui.session import Session

KEPT_AFTER_MS = 1000
OPENED = "napari_inr_tomo_opened"
"""In a layer's metadata: its name as a keeper, and the history it was opened with."""


class EarlierSteps:
    """The box that says what was done to a file before, and does it again."""

    def __init__(self, session: Session, owner: QWidget) -> None:
        self._session = session
        self._offer: KeptSteps | None = None
        self._of: Layer | None = None
        self._seen: tuple[Step, ...] = ()
        self._due = False
        self._keeping = Latest(owner, lambda _: None, lambda _: None)
        self._recalling = Latest(owner, self._recalled, lambda _: None)
        self._later = qdebounced(self._keep_later, timeout=KEPT_AFTER_MS, parent=owner)
        self.box, layout = group("Earlier steps")
        self.words = words()
        layout.addWidget(self.words)
        self.row = ActionRow()
        self.again_button = self.row.add(
            "Do them again",
            "Read the file again and take the same steps with the same settings; Undo "
            "takes all of them back",
            self.do_again,
        )
        self.forget_button = self.row.add(
            "Forget them", "Do not offer these steps any more", self.forget
        )
        layout.addWidget(self.row)
        self.box.hide()

    def refresh(self) -> None:
        """Note what has changed; offer what was done when the file was open before."""
        layer, series = self._session.layer, self._session.series
        if layer is not self._of:
            self.close()
            self._of, self._offer = layer, None
            self._recalling.forget()
            file = file_of(layer)
            if file is not None and series is not None:
                keeper = _opened(layer, series)[0]
                self._recalling.ask(kept.recall, file, keeper)
                self._seen = series.history
        elif series is not None and series.history is not self._seen:
            self._seen, self._due = series.history, True
            self._later()
        self._show()

    @property
    def idle(self) -> bool:
        """Whether nothing is read or written."""
        return self._recalling.idle and self._keeping.idle

    def _recalled(self, found: KeptSteps | None) -> None:
        series = self._session.series
        if series is not None and self._session.layer is self._of:
            self._offer = found if _adds(found, series) else None
            self._show()

    def close(self) -> None:
        """Keep what is still to be kept, at once."""
        if self._due:
            self._keep(kept.keep)

    def _keep_later(self) -> None:
        if self._due:
            self._keep(partial(self._keeping.ask, kept.keep))

    def _keep(self, keep: Callable[..., None]) -> None:
        """Keep the steps on the series that was current when they were taken."""
        self._due = False
        layer, file = self._of, file_of(self._of)
        if layer is None or file is None or not is_series_layer(layer):
            return
        series = series_of(layer)
        keeper, first = _opened(layer, series)
        if series.history is first:
            keep(file, None, keeper)
        elif is_repeatable(series.history[len(first) :]):
            keep(file, series, keeper)

    def do_again(self) -> None:
        """Do the earlier steps, from the file on."""
        file, offer = file_of(self._of), self._offer
        if file is not None and offer is not None:
            start_step(
                self._session,
                "Doing the earlier steps",
                steps.do_again,
                file,
                offer,
                after=lambda _: self._taken(),
            )

    def _taken(self) -> None:
        self._offer = None
        self._show()

    def forget(self) -> None:
        """Offer these steps no more."""
        file, series = file_of(self._of), self._session.series
        if file is not None and series is not None:
            kept.forget(file, _opened(self._of, series)[0])
        self._taken()

    def _show(self) -> None:
        offer = self._offer
        self.box.setVisible(offer is not None)
        if offer is None:
            return
        self.words.setText(in_words(offer))
        for button in (self.again_button, self.forget_button):
            self.row.bar(button, self._session.why_not_step())


def in_words(earlier: KeptSteps) -> str:
    """Return when the file was worked on, and what was done."""
    when = datetime.fromisoformat(earlier.when).astimezone()
    names = [step.name.replace("_", " ") for step in earlier.history]
    told = list(dict.fromkeys(names))
    return (
        f"This file was worked on before, the last time {when:%Y-%m-%d %H:%M}: "
        f"{', '.join(told)}."
    )


def file_of(layer: Layer | None) -> Path | None:
    """Return what a layer was read from."""
    return (
        None
        if layer is None or FILE not in layer.metadata
        else Path(layer.metadata[FILE])
    )


def _opened(layer: Any, series: TiltSeries) -> tuple[str, tuple[Step, ...]]:
    """Return the keeper of a layer's steps, and the history it was opened with."""
    known: tuple[str, tuple[Step, ...]] = layer.metadata.setdefault(
        OPENED, (uuid4().hex, series.history)
    )
    return known


def _adds(earlier: KeptSteps | None, series: TiltSeries) -> bool:
    """Return whether earlier steps begin with those of a series, and go further."""
    if earlier is None:
        return False
    known = [step.to_json() for step in series.history]
    wanted = [step.to_json() for step in earlier.history]
    return wanted[: len(known)] == known and len(wanted) > len(known)
