"""What is fitted as the background, and what the fit may look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import BoolArray

KINDS = ("bernstein", "constant", "box-mean")
SPECIMENS = ("robust", "threshold", "otsu")
DEVICES = ("auto", "cpu", "cuda")
_HIGHEST_DEGREE = 8


@dataclass(frozen=True)
class BackgroundSettings:
    """The settings of `fit_background` that one image and a series have in common."""

    threshold: float = 3.0
    dilation_px: int = 3
    automatic: bool = True
    kind: str = "bernstein"
    specimen: str = "robust"
    level: float | None = None
    reweight: bool = False
    edge_px: int = 0
    edge_weight: float = 0.0
    box: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        check_word("kind of background", self.kind, KINDS)
        check_word("way to find the specimen", self.specimen, SPECIMENS)
        if self.specimen == "threshold" and self.automatic and self.level is None:
            raise UserError(
                "The specimen cannot be told by a threshold",
                "no level was given",
                "Give the intensity above which a pixel is specimen",
            )
        numbers = (self.threshold, self.dilation_px, self.edge_px, self.edge_weight)
        if not all(np.isfinite(value) and value >= 0 for value in numbers):
            raise UserError(
                "A setting of the background is not valid",
                f"threshold, dilation, edge and its weight are {numbers}",
                "Give numbers that are not negative",
            )
        for name, form in _FORMS.items():
            object.__setattr__(self, name, form(getattr(self, name)))

    def to_json(self) -> dict[str, Any]:
        """Return what a history holds of the settings."""
        values = {name: getattr(self, name) for name in _FORMS}
        box = None if self.box is None else list(self.box)
        return values | {"box": box}


def _plain_box(box: Sequence[int] | None) -> tuple[int, int, int, int] | None:
    if box is None:
        return None
    edges = tuple(int(n) for n in box)
    if len(edges) != 4:
        raise UserError(
            "The box for the background is not understood",
            f"it has {len(edges)} numbers",
            "Give the first row, the row after the last, and the same for columns",
        )
    return edges


_FORMS: dict[str, Any] = {
    "threshold": float,
    "dilation_px": int,
    "automatic": bool,
    "kind": str,
    "specimen": str,
    "level": lambda level: None if level is None else float(level),
    "reweight": bool,
    "edge_px": int,
    "edge_weight": float,
    "box": _plain_box,
}


def checked_degree(degree_yx: Any) -> tuple[int, int]:
    """Return the degree along y and x; raises `UserError` if it is not 0 to 8."""
    degree = tuple(int(d) for d in degree_yx)
    if len(degree) != 2 or not all(0 <= d <= _HIGHEST_DEGREE for d in degree):
        raise UserError(
            "The degree of the background is not valid",
            f"it is {tuple(degree_yx)} for y and x",
            f"Give two whole numbers from 0 to {_HIGHEST_DEGREE}",
        )
    return degree[0], degree[1]


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> BoolArray:
    """Return (y, x) bool of a mask; raises `UserError` for another shape."""
    if len(shape) != 2:
        raise UserError(
            "The background is fitted to one image at a time",
            f"an array of shape {shape} was given",
            "Give one image (y, x)",
        )
    if mask is None:
        return np.zeros(shape, bool)
    marked: BoolArray = np.asarray(np.asarray(mask) != 0)
    if marked.shape != shape:
        raise UserError(
            "The mask does not belong to these images",
            f"its shape is {marked.shape} and the image is {shape} (y, x)",
            "Paint the mask on the tilt series itself",
        )
    return marked


def check_word(what: str, word: str, known: tuple[str, ...]) -> None:
    """Raise `UserError` for a word that is not known."""
    if word not in known:
        raise UserError(
            f"The {what} {word!r} is not known",
            f"it is none of {', '.join(known)}",
            f"Choose from {', '.join(known)}",
        )
