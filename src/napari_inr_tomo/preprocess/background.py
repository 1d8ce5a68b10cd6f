"""Background under a bright specimen: smooth polynomials fitted outside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.background_box import darkest_box
from napari_inr_tomo.preprocess.background_fit import Degree, finite, fitted
from napari_inr_tomo.preprocess.background_series import SeriesFit
from napari_inr_tomo.preprocess.background_settings import (
    BackgroundSettings,
    checked_degree,
    checked_mask,
)
from napari_inr_tomo.preprocess.masks import (
    check_count,
    decode_mask,
    encode_mask,
    follow_tilts,
)
from napari_inr_tomo.types import BoolArray, ImageArray, Step, TiltSeries

_MOST_NEGATIVE = 0.6  # share of the pixels; noise about 0 leaves half


@dataclass(frozen=True, eq=False)
class BackgroundFit:
    """What was fitted to one image.

    mask: (y, x) bool, True where the specimen is and the fit did not look.
    background, residual: (y, x) float32, intensity units of the image;
    ``residual = image - background``, negative values kept.
    degree_yx: degree used, lower than asked for where that ran away under the
    specimen, (0, 0) where only a constant could be fitted.
    notice: why the degree is lower than asked for, or empty.
    """

    mask: BoolArray
    background: ImageArray
    residual: ImageArray
    degree_yx: Degree
    notice: str = ""


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
    values = np.asarray(image, np.float64)
    marked = checked_mask(mask, values.shape)
    values, blocked = finite(values[None], marked[None])
    degree = checked_degree(degree_yx)
    fits = fitted(values, blocked, degree, settings, mask is not None)
    return BackgroundFit(
        fits.specimen[0],
        fits.background[0].astype(np.float32),
        (values - fits.background)[0].astype(np.float32),
        fits.degrees[0],
        fits.notices[0],
    )


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
    device: str = "auto",
) -> TiltSeries:
    """Return the series with a background taken from every image.

    degree_yx: for all tilts, or one pair for each of them.
    mask: (y, x) for all tilts or (tilt, y, x), nonzero where the specimen is, or what a
    history holds of such a mask; see `fit_background` for it and the other settings.
    same_degree: where the degree must be lowered for a tilt, lower it for all.
    follow_mask: a tilt with nothing in its (tilt, y, x) mask takes it from the painted
    tilts next to it, see `follow_tilts`.
    device: ``cpu``, ``cuda`` (a graphics card; where it cannot be used, the processor,
    and a notice says so) or ``auto``, a card where there is one and the processor would
    need more than some seconds.  The history holds which it was: done again there, the
    result is the same bit for bit, and on the other one to rounding.
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
    work = SeriesFit(series, masks, settings, device)
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
            "device": work.device,
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
) -> BoolArray | None:
    if mask is None:
        return None
    marked = np.asarray(mask) != 0
    if marked.ndim == 3:
        check_count(marked, len(series))
        if follow:
            marked = follow_tilts(marked, series.angles_deg)
        checked_mask(marked[0], series.images.shape[1:])
        return np.asarray(marked)
    checked_mask(marked, series.images.shape[1:])
    return np.broadcast_to(marked, series.images.shape)
