"""Three slices across the tilt axis, computed in a worker while the axis is dragged."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.axis_line import reversed_axis
from napari_inr_tomo.ui.controls import SlicePicture, words
from napari_inr_tomo.ui.series_layer import picture_pixel, place_words

SLICE_TIP = (
    "Slice across the tilt axis at one of the red lines (depth downwards), by filtered "
    "back-projection. A small particle is a round spot when the axis is right and a "
    "crescent when it is off: crescents of the same sense in all slices mean a shift, "
    "of opposite sense a wrong angle. 'negative' is the share of negative energy, "
    "'left' what no slice could explain of the data: the smaller, the better"
)
HOW = (
    "Drag the middle of the yellow line to shift the axis, the rest of it to turn it; "
    "drag a red line to see another slice"
)


class AxisSlices(QWidget):
    """The pictures, with the numbers of each, and a line that sums them up.

    Every result is shown, also one that a newer wish has overtaken: the slices follow
    the mouse.  The newest wish is served last.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        self.pictures = [SlicePicture(SLICE_TIP, 96) for _ in range(count)]
        for picture in self.pictures:
            row.addWidget(picture, 1)
        layout.addLayout(row)
        self.state = words(dim=True)
        layout.addWidget(self.state)
        self.told = ""
        """The numbers of the slices shown together, in words."""
        self._on = False
        self._worker: Any = None
        self._next: tuple[Any, ...] | None = None
        self._previewer = steps.AxisPreviewer()

    @property
    def idle(self) -> bool:
        """Whether the slices shown are those asked for last."""
        return self._worker is None

    def ask(
        self,
        series: TiltSeries,
        line: tuple[float, float],
        is_reversed: bool,
        positions_px: tuple[float, ...],
    ) -> None:
        """Compute the slices across an axis, now or when the present ones are done.

        line, is_reversed: as `axis_line.line_of` gives them.
        """
        self._on = True
        self._next = (series, line, is_reversed, positions_px)
        if self._worker is None:
            self._start()

    def forget(self) -> None:
        """Clear the pictures; nothing is shown until the next wish."""
        self._on, self._next, self.told = False, None, ""
        self._previewer.forget()
        for picture in self.pictures:
            picture.clear()
        self.state.setText("")

    def _start(self) -> None:
        from napari.qt.threading import create_worker

        assert self._next is not None  # noqa: S101 - the callers look
        (series, line, is_reversed, places), self._next = self._next, None
        self.state.setText("Computing the slices...")
        axis = reversed_axis(*line) if is_reversed else line
        along = tuple(-p if is_reversed else p for p in places)
        worker = create_worker(self._previewer, series, *axis, along)
        nm = series.pixel_size_nm
        worker.returned.connect(lambda result: self.show_result(result, places, nm))
        worker.errored.connect(self._failed)
        worker.finished.connect(self._finished)
        self._worker = worker
        worker.start()

    def show_result(
        self, result: Any, places: tuple[float, ...], nm: float | None
    ) -> None:
        """Show slices, each with its place along the line and its numbers.

        nm: size of a pixel, None where it is unknown.
        """
        if not self._on:
            return
        negative, left = result.negativity, result.residual
        for picture, image, bad, rest, place in zip(
            self.pictures, result.slices, negative, left, places, strict=True
        ):
            at = place_words(place, nm, 0)
            text = f"at {at}\nnegative {bad:.3g}\nleft {rest:.1%}"
            picture.show_image(image, text, pixel=picture_pixel(nm))
        self.told = (
            f"mean negativity {np.mean(negative):.3g}, left unexplained "
            f"{np.mean(left):.1%}"
        )
        self.state.setText(f"{self.told[0].upper()}{self.told[1:]}. {HOW}.")

    def _failed(self, error: Exception) -> None:
        self.state.setText(f"The slices could not be computed: {error}")

    def _finished(self) -> None:
        self._worker = None
        if self._next is not None:
            self._start()
