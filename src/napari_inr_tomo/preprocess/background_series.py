"""The backgrounds of all tilts of a series, and what has to be said about them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.preprocess.arrays import release_card, to_numpy
from napari_inr_tomo.preprocess.background_device import (
    device_for,
    in_batches,
    on_processor_instead,
)
from napari_inr_tomo.preprocess.background_fit import (
    REASONS,
    Degree,
    darkest,
    finite,
    fitted,
)
from napari_inr_tomo.preprocess.background_settings import BackgroundSettings
from napari_inr_tomo.types import BoolArray, FloatArray, TiltSeries, tilts_in_words


class SeriesFit:
    """The fits of all tilts.

    masks: (tilt, y, x) bool, what a user has drawn of the specimen, if anything.
    device: as `subtract_background` takes it; then the one that was used.
    residual: (tilt, y, x) float32, images minus background.
    """

    def __init__(
        self,
        series: TiltSeries,
        masks: BoolArray | None,
        settings: BackgroundSettings,
        device: str,
    ) -> None:
        self.series, self._masks, self._settings = series, masks, settings
        self.device, self._on_processor = device_for(
            device, series.images.size, settings
        )
        self.residual = np.empty_like(series.images)
        self.lowered: list[int] = []
        self.degrees: list[Degree] = []
        self.constant = np.zeros(len(series), bool)
        self._levels = np.zeros(len(series))
        self._reasons: set[str] = set()

    def fit(self, degrees: list[Degree]) -> None:
        """Fit and subtract the background of every tilt.

        Where a card fails, the processor begins again: nothing is lost.
        """
        try:
            self._fit(degrees)
            return
        except (RuntimeError, OSError) as error:
            if self.device == "cpu":
                raise
            why = " ".join(str(error).split()).partition(". ")[0][:120]
        release_card()  # outside of the handler: the error holds on to tensors
        self._on_processor = on_processor_instead(f"the card failed ({why})")
        self.device = "cpu"
        self._fit(degrees)

    def _fit(self, degrees: list[Degree]) -> None:
        series, size = self.series, self.series.images[0].size
        self.lowered, self.degrees, self._reasons = [], [], set()

        def work(tilts: slice) -> tuple[list[Degree], list[str], list[float]]:
            masks = None if self._masks is None else self._masks[tilts]
            fits = fitted(
                *finite(self._counted(tilts), masks),
                degrees[tilts.start],
                self._settings,
                masks is not None,
                self.device,
            )
            background = to_numpy(fits.background).astype(np.float32)
            self.residual[tilts] = series.images[tilts] - background
            return fits.degrees, fits.notices, [float(b.mean()) for b in background]

        levels: list[float] = []
        notices: list[str] = []
        for found, said, level in in_batches(work, degrees, size, self.device):
            self.degrees += found
            notices += said
            levels += level
        self._levels[:] = levels
        for tilt, notice in enumerate(notices):
            self.constant[tilt] = bool(notice) and self.degrees[tilt] == (0, 0)
            if self.constant[tilt]:
                self._reasons.add(notice)
            elif notice:
                self.lowered.append(tilt)

    def _counted(self, tilts: slice) -> NDArray[np.floating]:
        """Return some of the images, NaN where a pixel does not count."""
        images, valid = self.series.images[tilts], self.series.valid
        return images if valid is None else np.where(valid[tilts], images, np.nan)

    def watch_for_a_slab(self) -> None:
        """Take one constant from all tilts where the level grows as a slab's does."""
        settings, series = self._settings, self.series
        if not settings.automatic or settings.kind != "bernstein":
            return
        if _grows_like_a_slab(series, self._levels, ~self.constant):
            self.constant[:] = True
            self.lowered = []
            each = (slice(tilt, tilt + 1) for tilt in range(len(series)))
            images = (finite(self._counted(tilt), None) for tilt in each)
            self._levels = np.array([darkest(v, ~no)[0] for v, no in images])
            reason = "the background grows with the tilt as a slab of specimen does"
            self._reasons = {reason}

    def finish(self) -> list[str]:
        """Take the one constant from the tilts that need it; return the notices."""
        notices = [self._on_processor] if self._on_processor else []
        if self.constant.any():
            level = np.float32(self._levels[self.constant].min())
            self.residual[self.constant] = self.series.images[self.constant] - level
            notices.append(_constant_notice(self.constant, self._reasons, float(level)))
        if self.lowered:
            notices.append(_lowered_notice(self.lowered))
        return notices


def _grows_like_a_slab(
    series: TiltSeries, levels: FloatArray, fitted: BoolArray
) -> bool:
    """Return whether the level rises with 1 / cos(angle), as a slab does."""
    cosine = np.cos(np.deg2rad(series.angles_deg))
    keep = fitted & series.mask & (cosine > 0.2)
    if keep.sum() < 5 or np.ptp(1 / cosine[keep]) < 0.3:
        return False
    thickness, level = 1 / cosine[keep], levels[keep]
    if np.std(level) < 1e-12 * max(1.0, float(np.abs(level).max())):
        return False
    slope = float(np.polyfit(thickness, level, 1)[0])
    correlation = float(np.corrcoef(thickness, level)[0, 1])
    return correlation > 0.97 and slope > 0.3 * float(level[np.argmin(thickness)])


def _lowered_notice(tilts: list[int]) -> str:
    return (
        f"Background: the degree was lowered for {tilts_in_words(tilts)}, where "
        "the specimen leaves parts of the frame without background"
    )


def _constant_notice(constant: BoolArray, reasons: set[str], level: float) -> str:
    tilts = np.flatnonzero(constant)
    if len(tilts) == len(constant):
        which = "all tilts"
    else:
        which = tilts_in_words(tilts.tolist())
    known = [reason for reason in REASONS if reason in reasons]
    why = known[-1] if known else " and ".join(sorted(reasons))
    return (
        f"Background: only a constant ({level:.4g}) was subtracted from {which}, since "
        f"{why}; mask the specimen by hand if this is wrong"
    )
