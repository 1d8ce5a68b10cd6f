"""Background under a bright specimen: smooth polynomials fitted outside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.background_fit import (
    BackgroundFit,
    checked_mask,
    darkest,
    darkest_box,
    fitted,
)
from napari_inr_tomo.preprocess.background_settings import (
    BackgroundSettings,
    checked_degree,
)
from napari_inr_tomo.preprocess.masks import decode_mask, encode_mask, follow_tilts
from napari_inr_tomo.types import (
    BoolArray,
    FloatArray,
    Step,
    TiltSeries,
    tilts_in_words,
)

Degree = tuple[int, int]
Fit = TypeVar("Fit")
_MOST_NEGATIVE = 0.6  # share of the pixels; noise about 0 leaves half


def fit_background(
    image: ArrayLike,
    degree_yx: Degree = (3, 3),
    mask: ArrayLike | None = None,
    threshold: float = 3.0,
    dilation_px: int = 3,
    automatic: bool = True,
    kind: str = "bernstein",
    specimen: str = "robust",
    level: float | None = None,
    reweight: bool = False,
    edge_px: int = 0,
    edge_weight: float = 0.0,
    box: Sequence[int] | None = None,
) -> BackgroundFit:
    """Fit a 2-D Bernstein polynomial to the part of an image outside the specimen.

    image: (y, x), specimen brighter than the background.
    degree_yx: degree along y and along x, each 0 to 8.
    mask: (y, x), nonzero where the specimen is (a Labels layer); added to the automatic
    mask, or used alone with ``automatic=False``.
    threshold: height above the background, in robust standard deviations of the lightly
    smoothed image, above which a pixel counts as specimen.
    dilation_px: pixels by which the automatic mask is grown.
    kind: ``bernstein``, or for comparison ``constant`` (the mean outside the specimen)
    and ``box-mean`` (the mean in ``box``).
    specimen: how it is found: ``robust`` (a surface that grows from the darkest
    pixels), ``threshold`` (intensity above ``level``) or ``otsu``.
    reweight: fit again and again, and let what stands out above the fit count less.
    edge_px, edge_weight: pixels so near a border count with this weight; 0: not at all.
    box: first row, row after the last, first column, column after the last; none: the
    darkest place, an eighth of each side.
    Where a specimen fills the frame, or too few pixels are left, only a constant is
    fitted (the darkest level) and the notice of the result says so.
    Raises `UserError` for a bad degree, a mask of another shape or one that leaves too
    little background.
    """
    settings = BackgroundSettings(
        threshold,
        dilation_px,
        automatic,
        kind,
        specimen,
        level,
        reweight,
        edge_px,
        edge_weight,
        None if box is None else tuple(box),  # type: ignore[arg-type]
    )
    return fitted(image, degree_yx, mask, settings)


def subtract_background(
    series: TiltSeries,
    degree_yx: Degree | Sequence[Degree] = (3, 3),
    mask: ArrayLike | Mapping[str, Any] | None = None,
    threshold: float = 3.0,
    dilation_px: int = 3,
    automatic: bool = True,
    kind: str = "bernstein",
    specimen: str = "robust",
    level: float | None = None,
    reweight: bool = False,
    edge_px: int = 0,
    edge_weight: float = 0.0,
    box: Sequence[int] | None = None,
    same_degree: bool = False,
    follow_mask: bool = False,
) -> TiltSeries:
    """Return the series with a background taken from every image.

    degree_yx: for all tilts, or one pair for each of them.
    mask: (y, x) for all tilts or (tilt, y, x), nonzero where the specimen is, or what a
    history holds of such a mask; see `fit_background` for it and the other settings.
    same_degree: where the degree must be lowered for a tilt, lower it for all.
    follow_mask: a tilt with nothing in its (tilt, y, x) mask takes it from the painted
    tilts next to it, see `follow_tilts`.
    Negative values are kept: clipping them would leave half of the noise as a haze.
    How many there are is in the history; a notice where noise alone would leave fewer.
    Tilts whose frame the specimen fills lose one constant, the same for all of them,
    and a notice lists them.  The series' own invalid pixels are ignored in the fit.
    Without a box, ``box-mean`` takes the place that is darkest in the mean of them all.
    Raises `UserError` as `fit_background` does.
    """
    if isinstance(mask, Mapping):
        mask = decode_mask(mask)
    settings = BackgroundSettings(
        threshold,
        dilation_px,
        automatic,
        kind,
        specimen,
        level,
        reweight,
        edge_px,
        edge_weight,
        None if box is None else tuple(box),  # type: ignore[arg-type]
    )
    if kind == "box-mean" and settings.box is None:
        mean = series.images[series.mask].mean(axis=0, dtype=np.float64)
        settings = replace(settings, box=darkest_box(mean))
    masks = _mask_per_tilt(mask, series, follow_mask)
    degrees = _degree_per_tilt(degree_yx, len(series))
    work = _Subtraction(series, masks, settings)
    work.fit(degrees)
    if same_degree and work.lowered:
        lowest = np.min([work.degrees[tilt] for tilt in work.lowered], axis=0)
        work.fit([(min(y, lowest[0]), min(x, lowest[1])) for y, x in degrees])
    if mask is None:
        work.watch_for_a_slab()
    notices = [*series.notices, *work.finish()]
    negative = negative_values(series.evolve(images=work.residual))
    if negative["share"] > _MOST_NEGATIVE:
        notices.append(
            f"Background: {negative['share']:.0%} of the pixels are negative now, more "
            "than noise alone leaves, so it may lie too high; look at the fit"
        )
    step = Step(
        "subtract_background",
        {
            "degree_yx": np.asarray(degree_yx).tolist(),
            "mask": None if mask is None else encode_mask(mask),
            **settings.to_json(),
            "same_degree": bool(same_degree),
            "follow_mask": bool(follow_mask),
            "constant_tilts": np.flatnonzero(work.constant).tolist(),
            "negative_share": negative["share"],
            "negative_sum_share": negative["sum_share"],
        },
    )
    return series.evolve(step, images=work.residual, notices=tuple(notices))


def negative_values(series: TiltSeries) -> dict[str, float]:
    """Return how much of the used, valid pixels is negative.

    share: of their number; sum_share: of the sum of their sizes.
    """
    images = series.images[series.mask]
    if series.valid is not None:
        images = images[series.valid[series.mask]]
    total = float(np.abs(images).sum(dtype=np.float64))
    below = float(-np.minimum(images, 0).sum(dtype=np.float64))
    count = max(images.size, 1)
    return {
        "share": float(np.count_nonzero(images < 0)) / count,
        "sum_share": below / total if total > 0 else 0.0,
    }


def each_tilt(work: Callable[[int], Fit], tilts: int) -> Iterator[Fit]:
    """Yield what ``work`` returns for every tilt, in order; all processors share it.

    Every tilt is worked on by one thread alone, so the result does not depend on how
    many there are.
    """
    with ThreadPoolExecutor(min(tilts, os.cpu_count() or 1)) as pool:
        yield from pool.map(work, range(tilts))


class _Subtraction:
    """The fits of all tilts, and what has to be said about them."""

    def __init__(
        self,
        series: TiltSeries,
        masks: list[ArrayLike | None],
        settings: BackgroundSettings,
    ) -> None:
        self.series, self._masks, self._settings = series, masks, settings
        self.residual = np.empty_like(series.images)
        self.lowered: list[int] = []
        self.degrees: list[Degree] = []
        self.constant = np.zeros(len(series), bool)
        self._levels = np.zeros(len(series))
        self._reasons: set[str] = set()

    def fit(self, degrees: list[Degree]) -> None:
        """Fit and subtract the background of every tilt."""
        self.lowered, self.degrees, self._reasons = [], [], set()

        def work(tilt: int) -> BackgroundFit:
            image = values = self.series.images[tilt]
            if self.series.valid is not None:
                values = np.where(self.series.valid[tilt], image, np.nan)
            fit = fitted(values, degrees[tilt], self._masks[tilt], self._settings)
            self.residual[tilt] = image - fit.background
            return fit

        for tilt, fit in enumerate(each_tilt(work, len(self.series))):
            self.degrees.append(fit.degree_yx)
            self._levels[tilt] = float(fit.background.mean())
            self.constant[tilt] = bool(fit.notice) and fit.degree_yx == (0, 0)
            if self.constant[tilt]:
                self._reasons.add(fit.notice)
            elif fit.notice:
                self.lowered.append(tilt)

    def watch_for_a_slab(self) -> None:
        """Take one constant from all tilts where the level grows as a slab's does."""
        settings, series = self._settings, self.series
        if not settings.automatic or settings.kind != "bernstein":
            return
        if _grows_like_a_slab(series, self._levels, ~self.constant):
            self.constant[:] = True
            self.lowered = []
            self._levels = np.array([darkest(image) for image in series.images])
            reason = "the background grows with the tilt as a slab of specimen does"
            self._reasons = {reason}

    def finish(self) -> list[str]:
        """Take the one constant from the tilts that need it; return the notices."""
        notices = []
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
        which = "tilts " + ", ".join(map(str, tilts))
    return (
        f"Background: only a constant ({level:.4g}) was subtracted from {which}, since "
        f"{' and '.join(sorted(reasons))}; mask the specimen by hand if this is wrong"
    )


def _degree_per_tilt(degree_yx: Any, count: int) -> list[Degree]:
    if np.ndim(degree_yx) < 2:
        return [checked_degree(degree_yx)] * count
    degrees = [checked_degree(degree) for degree in degree_yx]
    if len(degrees) != count:
        raise UserError(
            "The degrees of the background do not belong to these images",
            f"there are {len(degrees)} of them and {count} images",
            "Give one pair for all, or one for each image",
        )
    return degrees


def _mask_per_tilt(
    mask: ArrayLike | None, series: TiltSeries, follow: bool
) -> list[ArrayLike | None]:
    if mask is None:
        return [None] * len(series)
    marked = np.asarray(mask) != 0
    if marked.ndim == 3 and len(marked) == len(series):
        if follow:
            marked = follow_tilts(marked, series.angles_deg)
        return list(marked)
    if marked.ndim == 3:
        checked_mask(marked.any(axis=0), (0, 0))
    checked_mask(marked, series.images.shape[1:])
    return [marked] * len(series)
