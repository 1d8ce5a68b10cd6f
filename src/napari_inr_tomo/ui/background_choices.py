"""The controls that say what is fitted as the background, and where."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui.controls import form, number, tick, whole
from napari_inr_tomo.ui.fold import Fold

KINDS = {
    "smooth surface": "bernstein",
    "constant": "constant",
    "mean of a box": "box-mean",
}
SPECIMENS = {
    "automatic": "robust",
    "Otsu's threshold": "otsu",
    "above a level": "threshold",
    "only what is painted": "none",
}


DEVICES = {word: word for word in ("auto", "cpu", "cuda")}


class BackgroundChoices(QWidget):
    """Kind and degree of the background; folded away, the specimen and the device."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = _choice(
            KINDS,
            "A smooth surface (Bernstein polynomial); for comparison, the mean outside "
            "the specimen or in a box",
        )
        tip = "Degree of the polynomial along {}: 0 constant, 1 plane, 3 usual"
        self.degree_y = whole(3, 0, 8, tip.format("y"))
        self.degree_x = whole(3, 0, 8, tip.format("x"))
        self.same = tick(
            "same for all",
            "Where one tilt allows only a lower degree, take that for all tilts",
        )
        self.box = QLineEdit()
        self.box.setPlaceholderText("darkest place")
        self.box.setToolTip(
            "First row, row after the last, first column, column after the last, in "
            "pixels with commas; empty: the darkest place, an eighth of each side"
        )
        fields = form()
        fields.addRow("Background", self.kind)
        degrees = QHBoxLayout()
        for part in (self.degree_y, self.degree_x, self.same):
            degrees.addWidget(part)
        fields.addRow("Degree y, x", degrees)
        fields.addRow("Box", self.box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(fields)
        layout.addWidget(self._more())
        for box in (self.kind, self.specimen):
            box.currentIndexChanged.connect(self.refresh)
        self.refresh()

    def _more(self) -> Fold:
        self.specimen = _choice(
            SPECIMENS, "How the specimen is told from the background; it is not fitted"
        )
        self.threshold = number(
            3.0,
            0.5,
            20,
            "Automatic: height above the background that counts as specimen, in "
            "standard deviations of the noise",
            " sigma",
            0.5,
            1,
        )
        self.level = number(
            0.0, -1e9, 1e9, "Above a level: intensities above it are specimen", step=1
        )
        self.dilation = whole(
            3, 0, 200, "Pixels by which what was found is grown", " px"
        )
        self.reweight = tick(
            "reweight",
            "Fit again and again; what stands out above the fit counts less each time",
        )
        self.edge = whole(
            0, 0, 1000, "Pixels so near a border count with the weight beside", " px"
        )
        self.edge_weight = number(
            0.0, 0, 100, "Weight of the pixels at the borders; 0: not fitted", " x", 0.5
        )
        self.device = _choice(
            DEVICES,
            "For all tilts: auto takes the graphics card where there is one and the "
            "processor would need more than some seconds",
        )
        fields = form()
        fields.addRow("Specimen", self.specimen)
        fields.addRow("Threshold", self.threshold)
        fields.addRow("Level", self.level)
        grown = QHBoxLayout()
        grown.addWidget(self.dilation)
        grown.addWidget(self.reweight)
        fields.addRow("Grown by", grown)
        edges = QHBoxLayout()
        edges.addWidget(self.edge)
        edges.addWidget(self.edge_weight)
        fields.addRow("Edges", edges)
        fields.addRow("Device", self.device)
        inside = QWidget()
        inside.setLayout(fields)
        return Fold("Specimen and edges", inside)

    @property
    def degrees(self) -> tuple[int, int]:
        """Degree along y and x."""
        return self.degree_y.value(), self.degree_x.value()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of `fit_background`; raises `UserError` for a bad box."""
        kind = KINDS[self.kind.currentText()]
        specimen = SPECIMENS[self.specimen.currentText()]
        found = {"specimen": specimen, "automatic": True}
        if specimen == "none":
            found = {"specimen": "robust", "automatic": False}
        return found | {
            "kind": kind,
            "threshold": self.threshold.value(),
            "level": self.level.value() if specimen == "threshold" else None,
            "dilation_px": self.dilation.value(),
            "reweight": self.reweight.isChecked(),
            "edge_px": self.edge.value(),
            "edge_weight": self.edge_weight.value(),
            "box": self._box() if kind == "box-mean" else None,
        }

    @property
    def series_settings(self) -> dict[str, Any]:
        """What `subtract_background` takes beside them."""
        device = self.device.currentText()
        return {"same_degree": self.same.isChecked(), "device": device}

    def _box(self) -> tuple[int, ...] | None:
        text = self.box.text().strip()
        if not text:
            return None
        try:
            box = tuple(int(part) for part in text.split(","))
        except ValueError:
            box = ()
        if len(box) != 4:
            raise UserError(
                "The box for the background is not understood",
                f"{text!r} is not four whole numbers with commas between them",
                "Write e.g. 0, 20, 0, 30: rows 0 to 19, columns 0 to 29",
            )
        return box

    def refresh(self, *_: Any) -> None:
        """Grey out what the choice does not use."""
        smooth = KINDS[self.kind.currentText()] == "bernstein"
        for part in (self.degree_y, self.degree_x, self.same):
            part.setEnabled(smooth)
        boxed = KINDS[self.kind.currentText()] == "box-mean"
        self.box.setEnabled(boxed)
        chosen = SPECIMENS[self.specimen.currentText()]
        self.specimen.setEnabled(not boxed)
        self.threshold.setEnabled(not boxed and chosen == "robust")
        self.device.setEnabled(not boxed)
        self.level.setEnabled(not boxed and chosen == "threshold")
        self.dilation.setEnabled(not boxed and chosen != "none")
        for part in (self.reweight, self.edge, self.edge_weight):
            part.setEnabled(not boxed)


def _choice(words: dict[str, str], tip: str) -> QComboBox:
    box = QComboBox()
    box.addItems(list(words))
    box.setToolTip(tip)
    return box
