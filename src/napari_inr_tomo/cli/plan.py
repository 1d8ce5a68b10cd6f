"""The steps that ``preprocess`` was asked for, checked before any file is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inr_tomo.cli import common
from napari_inr_tomo.cli.step_settings import step_settings
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import BoolArray, TiltSeries


@dataclass(frozen=True)
class Plan:
    """Cleaning and alignment, step by step; the words are those of the command line."""

    mask_outliers: bool
    check_views: bool
    background: str | None
    degree: str
    mask: Path | None
    normalise: str | None
    align: str
    words: list[str]

    @property
    def alignments(self) -> list[str]:
        """The alignments in their order."""
        return [name.strip() for name in self.align.split(",") if name.strip()]

    def _functions(self) -> dict[str, Callable[..., Any]]:
        from napari_inr_tomo import preprocess as steps
        from napari_inr_tomo.align import ALIGNMENTS

        wanted: dict[str, Callable[..., Any]] = {}
        if self.mask_outliers:
            wanted["outliers"] = steps.mask_outliers
        if self.check_views:
            wanted["views"] = steps.check_views
        if self.background is not None:
            wanted["background"] = steps.subtract_background
        if self.normalise is not None:
            wanted["normalise"] = steps.normalise_tilts
        for name in self.alignments:
            if name in ALIGNMENTS:
                wanted[name] = ALIGNMENTS[name]
        return wanted

    def check(self) -> None:
        """Raise `UserError` for what cannot be done."""
        from napari_inr_tomo.preprocess import KINDS

        if self.normalise not in (None, "mass", "thickness"):
            raise UserError(
                f"The normalisation {self.normalise!r} is not known",
                "it is neither mass nor thickness",
                "Write --normalise mass or --normalise thickness",
            )
        if self.background not in (None, *KINDS):
            raise UserError(
                f"The background {self.background!r} is not known",
                f"it is none of {', '.join(KINDS)}",
                "Write --background bernstein",
            )
        if self.mask is not None and self.background is None:
            raise UserError(
                "A mask was given, but no background to fit",
                "the mask says what the fit of the background must not look at",
                "Add --background bernstein, or leave out --mask",
            )
        chosen = step_settings(self.words, self._functions())
        self._check_background(chosen.get("background", {}))
        self._degree()

    def _check_background(self, chosen: dict[str, Any]) -> None:
        """Refuse what would silently do nothing."""
        kind = chosen.get("kind", self.background)
        other = _missing(chosen, kind, self.mask is not None)
        if self.degree and kind != "bernstein":
            other = {"--degree": "--background bernstein"}
        elif self.degree and "degree_yx" in chosen:
            other = {"--degree": "no background.degree_yx beside it"}
        for option, need in other.items():
            raise UserError(
                f"{option} has no meaning here",
                f"it goes with {need}",
                "Add that, or leave it out",
            )

    def _degree(self) -> tuple[int, ...]:
        degree = common.numbers(self.degree, "--degree") or [3]
        return (degree[0], degree[0]) if len(degree) == 1 else tuple(degree)

    def __call__(
        self, series: TiltSeries, whole: TiltSeries, ratio: float
    ) -> TiltSeries:
        """Return the series after all steps.

        whole: it before the images were made smaller, by this ratio of the pixels.
        """
        from napari_inr_tomo import preprocess as steps
        from napari_inr_tomo.align import align as aligned

        chosen = step_settings(self.words, self._functions())
        if self.mask_outliers:
            series = steps.mask_outliers(series, **chosen.get("outliers", {}))
        if self.check_views:
            series = steps.check_views(series, **chosen.get("views", {}))
        if self.background is not None:
            settings: dict[str, Any] = {
                "degree_yx": self._degree(),
                "kind": self.background,
            }
            if self.mask is not None:
                settings |= {
                    "mask": _mask(self.mask, series, whole, ratio),
                    "follow_mask": True,
                }
            settings |= chosen.get("background", {})
            series = steps.subtract_background(series, **settings)
        if self.normalise is not None:
            settings = {"thickness": self.normalise == "thickness"}
            settings |= chosen.get("normalise", {})
            series = steps.normalise_tilts(series, **settings)
        return aligned(series, self.alignments, chosen)


def _mask(path: Path, series: TiltSeries, whole: TiltSeries, ratio: float) -> BoolArray:
    """Return a mask for the series; one of the whole images is made smaller as they."""
    from napari_inr_tomo.io import read_mask
    from napari_inr_tomo.preprocess import reduce_mask

    mask = read_mask(path)
    rows, columns = series.images.shape[1:]
    if ratio != 1 and mask.shape[-2:] == whole.images.shape[1:]:
        return reduce_mask(mask, (rows, columns), ratio)
    return mask


def _missing(chosen: dict[str, Any], kind: str | None, masked: bool) -> dict[str, str]:
    """Return the settings of the background that do nothing, and what they go with."""
    specimen = chosen.get("specimen", "robust")
    needs = {
        "degree_yx": (kind == "bernstein", "--background bernstein"),
        "same_degree": (kind == "bernstein", "--background bernstein"),
        "box": (kind == "box-mean", "--background box-mean"),
        "follow_mask": (masked, "--mask"),
        "level": (specimen == "threshold", "background.specimen=threshold"),
        "threshold": (specimen == "robust", "background.specimen=robust"),
        "edge_weight": (chosen.get("edge_px", 0) > 0, "background.edge_px"),
    }
    if kind == "box-mean":
        others = "specimen level threshold dilation_px automatic edge_px edge_weight"
        nothing = (False, "--background bernstein")
        needs |= dict.fromkeys([*others.split(), "reweight"], nothing)
    return {
        f"--set background.{name}": need
        for name, (there, need) in needs.items()
        if name in chosen and not there
    }
