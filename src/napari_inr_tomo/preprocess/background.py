"""Background under a bright specimen: smooth polynomials fitted outside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.bernstein import SurfaceFit
from napari_inr_tomo.preprocess.masks import decode_mask, encode_mask
from napari_inr_tomo.preprocess.specimen import (
    FLOOR,
    PIXELS_PER_UNKNOWN,
    SMOOTHING_PX,
    find_specimen,
)
from napari_inr_tomo.types import (
    BoolArray,
    FloatArray,
    ImageArray,
    Step,
    TiltSeries,
    tilts_in_words,
)

_HIGHEST_DEGREE = 8
_LEAST_BACKGROUND = 0.03  # share of the image below which only a constant is fitted
_STRUCTURE_OVER_NOISE = 3.0
_STRUCTURE_OVER_RANGE = 0.08


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
    degree_yx: tuple[int, int]
    notice: str = ""


def fit_background(
    image: ArrayLike,
    degree_yx: tuple[int, int] = (3, 3),
    mask: ArrayLike | None = None,
    threshold: float = 3.0,
    dilation_px: int = 3,
    automatic: bool = True,
) -> BackgroundFit:
    """Fit a 2-D Bernstein polynomial to the part of an image outside the specimen.

    image: (y, x), specimen brighter than the background.
    degree_yx: degree along y and along x, each 0 to 8.
    mask: (y, x), nonzero where the specimen is (a Labels layer); added to the automatic
    mask, or used alone with ``automatic=False``.
    threshold: height above the background, in robust standard deviations of the lightly
    smoothed image, above which a pixel counts as specimen.
    dilation_px: pixels by which the automatic mask is grown.
    Where a specimen fills the frame, or too few pixels are left, only a constant is
    fitted (the darkest level) and the notice of the result says so.
    Raises `UserError` for a bad degree, a mask of another shape or one that leaves too
    little background.
    """
    values = np.asarray(image, np.float64)
    degree = _checked_degree(degree_yx)
    user = _checked_mask(mask, values.shape)
    blocked = user | ~np.isfinite(values)
    values = np.where(np.isfinite(values), values, 0.0)
    surface = SurfaceFit((values.shape[0], values.shape[1]), degree)
    free = int((~blocked).sum())
    if free < PIXELS_PER_UNKNOWN * surface.unknowns:
        raise UserError(
            "The mask leaves too little background",
            f"{free} pixels are outside it, and a polynomial of degree {degree} (y, x) "
            f"needs at least {PIXELS_PER_UNKNOWN * surface.unknowns}",
            "Paint a smaller mask or choose a lower degree",
        )
    specimen = blocked
    notice = ""
    if automatic:
        specimen = find_specimen(values, blocked, degree, threshold, dilation_px)
        least = max(
            _LEAST_BACKGROUND * values.size, PIXELS_PER_UNKNOWN * surface.unknowns
        )
        if (~specimen).sum() < least:
            notice = "the specimen leaves too little background"
    constant = bool(notice)
    if not constant:
        background, degree = _tame_fit(values, ~specimen, degree)
        if degree != _checked_degree(degree_yx):
            notice = "the specimen leaves parts of the frame without background"
        if automatic and max(degree) and mask is None:
            full = _filling(values, values - background, specimen)
            constant, notice = bool(full), full or notice
    if constant:
        degree = (0, 0)
        background = np.full(values.shape, _darkest(values, blocked))
    return BackgroundFit(
        np.asarray(specimen),
        background.astype(np.float32),
        (values - background).astype(np.float32),
        degree,
        notice,
    )


def subtract_background(
    series: TiltSeries,
    degree_yx: tuple[int, int] = (3, 3),
    mask: ArrayLike | Mapping[str, Any] | None = None,
    threshold: float = 3.0,
    dilation_px: int = 3,
    automatic: bool = True,
) -> TiltSeries:
    """Return the series with a polynomial background taken from every image.

    mask: (y, x) for all tilts or (tilt, y, x), nonzero where the specimen is, or what a
    history holds of such a mask; see `fit_background` for it and the other settings.
    Negative values are kept: clipping them would leave half of the noise as a haze.
    Tilts whose frame the specimen fills lose one constant, the same for all of them,
    and a notice lists them.  The series' own invalid pixels are ignored in the fit.
    Raises `UserError` as `fit_background` does.
    """
    if isinstance(mask, Mapping):
        mask = decode_mask(mask)
    masks = _mask_per_tilt(mask, series)
    settings: dict[str, Any] = {
        "threshold": float(threshold),
        "dilation_px": int(dilation_px),
        "automatic": bool(automatic),
    }
    residual = np.empty_like(series.images)
    levels, constant = np.zeros(len(series)), np.zeros(len(series), bool)
    reasons: set[str] = set()
    lowered: list[int] = []
    for tilt, image in enumerate(series.images):
        values = image
        if series.valid is not None:
            values = np.where(series.valid[tilt], image, np.nan)
        fit = fit_background(values, degree_yx, masks[tilt], **settings)
        residual[tilt] = image - fit.background
        levels[tilt] = float(fit.background.mean())
        constant[tilt] = bool(fit.notice) and fit.degree_yx == (0, 0)
        if constant[tilt]:
            reasons.add(fit.notice)
        elif fit.notice:
            lowered.append(tilt)
    if mask is None and automatic and _grows_like_a_slab(series, levels, ~constant):
        constant[:] = True
        lowered = []
        levels = np.array([_darkest(image) for image in series.images])
        reasons = {"the background grows with the tilt as a slab of specimen does"}
    notices = series.notices
    if constant.any():
        level = np.float32(levels[constant].min())
        residual[constant] = series.images[constant] - level
        notices = (*notices, _constant_notice(constant, reasons, float(level)))
    if lowered:
        notices = (*notices, _lowered_notice(lowered))
    step = Step(
        "subtract_background",
        {
            "degree_yx": list(_checked_degree(degree_yx)),
            "mask": None if mask is None else encode_mask(mask),
            **settings,
            "constant_tilts": np.flatnonzero(constant).tolist(),
        },
    )
    return series.evolve(step, images=residual, notices=notices)


def _tame_fit(
    values: FloatArray, free: BoolArray, degree_yx: tuple[int, int]
) -> tuple[FloatArray, tuple[int, int]]:
    """Fit, and lower the degree while the surface runs away where it sees nothing."""
    shape = (values.shape[0], values.shape[1])
    for highest in range(max(degree_yx), -1, -1):
        degree = (min(degree_yx[0], highest), min(degree_yx[1], highest))
        background = SurfaceFit(shape, degree)(values, free.astype(np.float64))
        outside = background[free]
        deviation = np.abs(values - background)[free]
        room = float(np.ptp(outside)) + 3 * 1.4826 * float(np.median(deviation))
        room = max(room, FLOOR * float(np.ptp(values)))
        above = float(background.max() - outside.max())
        below = float(outside.min() - background.min())
        if max(above, below) <= room:
            break
    return background, degree


def _filling(values: FloatArray, residual: FloatArray, specimen: BoolArray) -> str:
    """Return why the frame looks full, or nothing.

    Outside a specimen there is only noise.  Where what was taken for background has
    structure well above the pixel noise, and that structure is a good part of all
    contrast in the image, it is specimen.
    """
    outside = ~specimen
    differences = np.diff(residual, axis=1)[outside[:, 1:] & outside[:, :-1]]
    if differences.size == 0:
        return ""
    noise = 1.4826 * float(np.median(np.abs(differences))) / np.sqrt(2)
    sigma = 2.0
    smooth = ndimage.gaussian_filter(residual, sigma, mode="nearest")
    structure = 1.4826 * float(
        np.median(np.abs(smooth[outside] - np.median(smooth[outside])))
    )
    low, high = np.percentile(smooth, (1, 99))
    by_chance = noise / (2 * np.sqrt(np.pi) * sigma)
    full = (
        structure > _STRUCTURE_OVER_NOISE * by_chance
        and structure > _STRUCTURE_OVER_RANGE * (high - low)
        and structure > FLOOR * float(np.ptp(values))
    )
    return "the specimen seems to fill the frame" if full else ""


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


def _darkest(values: NDArray[np.floating], blocked: BoolArray | None = None) -> float:
    """Return the level of the darkest hundredth of the lightly smoothed image."""
    values = np.asarray(values, np.float64)
    free = np.isfinite(values) if blocked is None else ~blocked
    filled = np.where(free, values, np.median(values[free]) if free.any() else 0.0)
    smooth = ndimage.gaussian_filter(filled, SMOOTHING_PX, mode="nearest")
    return float(np.quantile(smooth[free], 0.01)) if free.any() else 0.0


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


def _checked_degree(degree_yx: tuple[int, int]) -> tuple[int, int]:
    degree = tuple(int(d) for d in degree_yx)
    if len(degree) != 2 or not all(0 <= d <= _HIGHEST_DEGREE for d in degree):
        raise UserError(
            "The degree of the background is not valid",
            f"it is {tuple(degree_yx)} for y and x",
            f"Give two whole numbers from 0 to {_HIGHEST_DEGREE}",
        )
    return degree[0], degree[1]


def _checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> BoolArray:
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


def _mask_per_tilt(
    mask: ArrayLike | None, series: TiltSeries
) -> list[ArrayLike | None]:
    if mask is None:
        return [None] * len(series)
    marked = np.asarray(mask) != 0
    if marked.ndim == 3 and len(marked) == len(series):
        return list(marked)
    if marked.ndim == 3:
        _checked_mask(marked.any(axis=0), (0, 0))
    _checked_mask(marked, series.images.shape[1:])
    return [marked] * len(series)
