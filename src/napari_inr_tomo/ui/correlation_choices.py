"""The settings of the cross-correlation, folded away."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_inr_tomo.ui.controls import form, number, tick, whole
from napari_inr_tomo.ui.fold import Fold


class CorrelationChoices(Fold):
    """Stretch, reference, band-pass, taper and limits of the cross-correlation."""

    def __init__(self) -> None:
        super().__init__("Settings of the cross-correlation")
        self.stretch = tick(
            "cosine stretch",
            "Stretch the neighbour across the axis by the ratio of the cosines; best "
            "with the angle of the axis known",
        )
        self.cumulative = tick(
            "cumulative",
            "Compare with the mean of all tilts that are aligned already, in place of "
            "the neighbours",
        )
        self.subpixel = tick(
            "sub-pixel", "Find the peak to a hundredth of a pixel", True
        )
        self.neighbours = whole(
            1, 1, 50, "How many aligned neighbours are averaged for comparison"
        )
        self.high_pass = number(
            25.0,
            1,
            400,
            "Damp structure wider than this share of the image",
            " %",
            5,
            0,
        )
        self.low_pass = number(
            2.0, 0, 50, "Damp structure finer than about this", " px", 0.5, 1
        )
        self.taper = number(
            15.0, 1, 50, "Share of each side over which the edges fade out", " %", 5, 0
        )
        self.limit = whole(
            0, 0, 4096, "Largest shift against the neighbour that is looked for", " px"
        )
        self.limit.setSpecialValueText("a third of the side")
        inside = QWidget()
        fields = form()
        inside.setLayout(fields)
        ticks = QHBoxLayout()
        for part in (self.stretch, self.cumulative, self.subpixel):
            ticks.addWidget(part)
        fields.addRow(ticks)
        fields.addRow("Neighbours", self.neighbours)
        band = QHBoxLayout()
        band.addWidget(self.high_pass)
        band.addWidget(self.low_pass)
        fields.addRow("Band-pass", band)
        fields.addRow("Edge taper", self.taper)
        fields.addRow("Largest shift", self.limit)
        self.cumulative.toggled.connect(lambda on: self.neighbours.setEnabled(not on))
        self.fill(inside)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of `align_cross_correlation`."""
        return {
            "stretch": self.stretch.isChecked(),
            "cumulative": self.cumulative.isChecked(),
            "subpixel": self.subpixel.isChecked(),
            "neighbours": self.neighbours.value(),
            "low_px": self.high_pass.value() / 100,
            "high_px": self.low_pass.value(),
            "taper": self.taper.value() / 100,
            "max_shift_px": self.limit.value() or None,
        }
