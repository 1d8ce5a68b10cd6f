"""One slice first: a slab with the current settings, shown while it forms.

The slab is a run of its own in a temporary folder; it touches neither the layers nor
the run that the session follows.
"""

from __future__ import annotations

import math
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_inr_tomo import events
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui import live
from napari_inr_tomo.ui.controls import ActionRow, SlicePicture, number, words
from napari_inr_tomo.ui.series_layer import picture_pixel, place_words

if TYPE_CHECKING:
    from napari_inr_tomo.config import ReconstructionConfig
    from napari_inr_tomo.types import TiltSeries
    from napari_inr_tomo.ui.record import RunRecord
    from napari_inr_tomo.ui.session import Session

THICKNESS_PX = 8
LEAVE_S = 0.2
"""How long a slab that is no longer wanted may take to end by itself."""


@dataclass(frozen=True, eq=False)
class SlicePreview:
    """A slice (z, across the tilt axis) so far, and where it lies.

    place: from the centre, in words; pixel: edge of a voxel of it and its unit; state:
    what the run is at and how far, or that it has finished.
    """

    image: np.ndarray
    axis: str
    place: str
    pixel: tuple[float, str]
    state: str
    elapsed_s: float


class OneSlice(QWidget):
    """A button, a number and a picture; ``config`` returns the current settings."""

    changed = Signal()
    """A slab was begun or has ended."""

    def __init__(
        self, session: Session, config: Callable[[], ReconstructionConfig]
    ) -> None:
        super().__init__()
        self.session, self._config = session, config
        self._worker: Any = None
        self._stop = threading.Event()
        self.row = ActionRow()
        self.button = self.row.add(
            "Try one slice",
            "Reconstruct a few slices across the tilt axis with these settings, poses "
            "as they start, and show the middle one here while it forms",
            self.toggle,
        )
        tip = "Where along the tilt axis, pixels from the centre"
        self.position = self.row.add_widget(number(0, 0, 0, tip, " px", 1.0, 1))
        self.position.setPrefix("at ")
        self.picture = SlicePicture("Slice across the tilt axis; z downwards", 200)
        self.picture.hide()
        self.problem = words()
        self.problem.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.row)
        layout.addWidget(self.picture)
        layout.addWidget(self.problem)
        self._shape: tuple[int, ...] = ()

    @property
    def running(self) -> bool:
        """Whether a slab is being reconstructed."""
        return self._worker is not None

    def hideEvent(self, event: Any) -> None:
        """End with the whole window; in another tab it goes on."""
        super().hideEvent(event)
        if not self.window().isVisible():
            self.end()

    def refresh(self) -> None:
        """Bring button and range into agreement with the series."""
        run, series = self.session.run, self.session.series
        why = None if self.running else run.why_not_start()
        self.row.bar(self.button, why)
        self.row.bar(self.position, why)
        if series is not None and series.images.shape != self._shape:
            self._shape = series.images.shape
            size = self._shape[2 if _along_x(series) else 1]
            self.position.setRange(-(size - 1) / 2, (size - 1) / 2)
            self.position.setValue(0)

    def toggle(self) -> None:
        """Begin, or end what goes on."""
        self.end() if self.running else self.begin()

    def begin(self) -> None:
        """Start the slab."""
        from napari_inr_tomo.ui.worker import quiet_worker

        try:
            config = self._config()
        except UserError as error:
            self._say(str(error))
            return
        self._say("")
        stop = self._stop = threading.Event()
        series, position = self.session.series, self.position.value()
        self.destroyed.connect(stop.set)  # closed with its window, from another tab

        def wanted() -> bool:
            return not stop.is_set() and isalive(self)

        def failed(problem: str) -> None:
            if wanted():
                self._done(problem)

        worker = quiet_worker(previews, series, config, position, stop, failed=failed)
        worker.yielded.connect(
            lambda each: self._show(each) if each is not None and wanted() else None
        )
        worker.returned.connect(lambda _: self._done() if wanted() else None)
        self._worker = worker
        self.button.setText("End the try")
        self.picture.show()
        self.picture.clear("Preview: starting (this takes some seconds)")
        worker.start()
        self.changed.emit()

    def end(self) -> None:
        """End the slab; its processes are ended by the worker."""
        self._stop.set()
        if self.running:
            self._done()
            self.picture.caption.setText(f"{self.picture.caption.text()} (ended)")

    def _done(self, problem: str = "") -> None:
        self._worker = None
        self.button.setText("Try one slice")
        self._say(problem)
        if problem:
            self.picture.hide()
        self.changed.emit()

    def _say(self, problem: str) -> None:
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def _show(self, now: SlicePreview) -> None:
        self.picture.show_image(
            now.image,
            f"Preview: slice {now.axis} = {now.place}, poses as they start. "
            f"{now.state}, after {now.elapsed_s:.0f} s.",
            pixel=now.pixel,
        )


def _along_x(series: TiltSeries) -> bool:
    from napari_inr_tomo.preprocess.slab import is_along_x

    return is_along_x(series)


def previews(
    series: TiltSeries,
    config: ReconstructionConfig,
    place_px: float,
    stop: threading.Event,
) -> Iterator[SlicePreview | None]:
    """Reconstruct a slab and yield its middle slice again and again (worker thread).

    place_px: along the tilt axis, from the centre.  None, a place to quit at, else.
    """
    from napari_inr_tomo import runs
    from napari_inr_tomo.preprocess import cut_slab
    from napari_inr_tomo.ui.record import RunRecord

    began, record = time.monotonic(), RunRecord()
    size = series.images.shape[2 if _along_x(series) else 1]
    position = min(max(math.floor(place_px + size / 2), 0), size - 1)
    place = place_words(position - (size - 1) / 2, series.pixel_size_nm)
    slab = cut_slab(series, position, THICKNESS_PX)
    config = slab.settings(config).merged(
        {"compute": {"preview_seconds": 0.5, "processes": 1}}
    )
    show = threading.Event()
    show.set()
    with tempfile.TemporaryDirectory(
        prefix="inr-tomo-slice-",
        ignore_cleanup_errors=True,  # a process may leave a moment after its end
    ) as folder:
        run = runs.create_run(Path(folder) / "slab", slab.series, config)
        launched, data = runs.launch(run), None
        try:
            for update in live.follow(run, show, stop):
                if update is None:
                    yield None
                    continue
                if isinstance(update.end, events.Failed):
                    end = update.end
                    raise UserError(end.what, end.why, end.do)
                record.take(update)
                new = update.preview if update.result is None else update.result.data
                data = data if new is None else new
                if data is None:
                    continue
                share = (slab.inside.start + position - slab.first + 0.5) / (
                    slab.series.images.shape[slab.axis]
                )
                across = 3 - slab.axis
                edge, unit = picture_pixel(series.pixel_size_nm)
                edge *= slab.series.images.shape[across] / data.shape[across]
                yield SlicePreview(
                    np.take(data, int(share * data.shape[slab.axis]), slab.axis),
                    "x" if slab.axis == 2 else "y",
                    place,
                    (edge, unit),
                    "Finished" if update.result is not None else _state(record),
                    time.monotonic() - began,
                )
        finally:
            if launched.poll() is None:  # nothing of it is to be kept
                run.end(LEAVE_S)
                launched.wait(LEAVE_S)


def _state(record: RunRecord) -> str:
    left = f", {record.left_words}" if record.left_words else ""
    return f"{record.progress_words}{left}"
