"""The background of one image: what is fitted, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.background_settings import (
    BackgroundSettings,
    checked_degree,
)
from napari_inr_tomo.preprocess.bernstein import SurfaceFit
from napari_inr_tomo.preprocess.specimen import (
    FLOOR,
    PIXELS_PER_UNKNOWN,
    SMOOTHING_PX,
    above_level,
    above_otsu,
    centre_and_spread,
    find_specimen,
    lower_envelope,
    smoothed,
)
from napari_inr_tomo.types import BoolArray, FloatArray, ImageArray

_LEAST_BACKGROUND = 0.03  # share of the image below which only a constant is fitted
_STRUCTURE_OVER_NOISE = 3.0
_STRUCTURE_OVER_RANGE = 0.08
_BOX_SHARE = 8  # the automatic box is this part of each side


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


def fitted(
    image: ArrayLike,
    degree_yx: tuple[int, int],
    mask: ArrayLike | None,
    settings: BackgroundSettings,
) -> BackgroundFit:
    """Return the background of one image; the arguments as in `fit_background`."""
    values = np.asarray(image, np.float64)
    degree = checked_degree(degree_yx)
    blocked = checked_mask(mask, values.shape) | ~np.isfinite(values)
    values = np.where(np.isfinite(values), values, 0.0)
    if settings.kind == "box-mean":
        return _box_mean(values, blocked, settings)
    if settings.kind == "constant":
        degree = (0, 0)
    edge = edge_weights(values.shape, settings)
    surface = SurfaceFit((values.shape[0], values.shape[1]), degree)
    free = int((~blocked & (edge > 0)).sum())
    if free < PIXELS_PER_UNKNOWN * surface.unknowns:
        raise UserError(
            "The mask leaves too little background",
            f"{free} pixels are outside it, and a polynomial of degree {degree} (y, x) "
            f"needs at least {PIXELS_PER_UNKNOWN * surface.unknowns}",
            "Paint a smaller mask or choose a lower degree",
        )
    specimen = blocked
    notice = ""
    if settings.automatic:
        specimen = _specimen(values, blocked | (edge == 0), degree, settings)
        least = max(
            _LEAST_BACKGROUND * values.size, PIXELS_PER_UNKNOWN * surface.unknowns
        )
        if (~specimen).sum() < least:
            notice = "the specimen leaves too little background"
    constant = bool(notice)
    if not constant:
        wanted, weight = degree, np.where(specimen, 0.0, edge)
        if settings.reweight:
            weight = _reweighted(values, weight, surface)
        background, degree = _tame_fit(values, weight, degree)
        if degree != wanted:
            notice = "the specimen leaves parts of the frame without background"
        if settings.automatic and max(degree) and mask is None:
            full = _filling(values, values - background, specimen)
            constant, notice = bool(full), full or notice
    if constant:
        degree = (0, 0)
        background = np.full(values.shape, darkest(values, blocked))
    return _fit(values, specimen, background, degree, notice)


def _fit(
    values: FloatArray,
    specimen: BoolArray,
    background: FloatArray,
    degree: tuple[int, int],
    notice: str = "",
) -> BackgroundFit:
    return BackgroundFit(
        np.asarray(specimen),
        background.astype(np.float32),
        (values - background).astype(np.float32),
        degree,
        notice,
    )


def _specimen(
    values: FloatArray,
    blocked: BoolArray,
    degree: tuple[int, int],
    settings: BackgroundSettings,
) -> BoolArray:
    """Return (y, x) bool: where the specimen is, or blocked."""
    grown = settings.dilation_px
    if settings.specimen == "threshold":
        level = np.inf if settings.level is None else settings.level
        return above_level(values, blocked, level, grown)
    if settings.specimen == "otsu":
        return above_otsu(values, blocked, degree, grown)
    return find_specimen(values, blocked, degree, settings.threshold, grown)


def edge_weights(shape: tuple[int, ...], settings: BackgroundSettings) -> FloatArray:
    """Return (y, x) weights: ``edge_weight`` within ``edge_px`` of a border, else 1."""
    weight = np.full(shape, settings.edge_weight)
    inner = tuple(
        slice(settings.edge_px, max(n - settings.edge_px, settings.edge_px))
        for n in shape
    )
    weight[inner] = 1.0
    return weight


def _reweighted(
    values: FloatArray, weight: FloatArray, surface: SurfaceFit, rounds: int = 30
) -> FloatArray:
    """Return (y, x) weights that fall off where the image rises above the surface.

    Iteratively reweighted least squares, begun from a surface under the image.  What is
    below the surface, or less than 2.5 robust standard deviations above it, keeps its
    weight; beyond, the weight falls as that of Welsch (Holland and Welsch 1977).
    """
    smooth = _smoothed_among(values, weight > 0)
    floor = FLOOR * float(np.ptp(smooth[weight > 0]))
    below = lower_envelope(smooth, weight, surface)
    present = weight
    for _ in range(rounds):
        height = smooth - below
        kept = present > 0.5 * weight.max()
        if kept.sum() < PIXELS_PER_UNKNOWN * surface.unknowns:
            kept = weight > 0
        centre, spread = centre_and_spread(height[kept])
        beyond = np.maximum((height - centre) / max(spread, floor) - 2.5, 0)
        before, present = present, weight * np.exp(-(beyond**2))
        below = surface(smooth, present)
        if np.abs(present - before).max() < 1e-3 * weight.max():
            break
    return present


def _smoothed_among(values: FloatArray, free: BoolArray) -> FloatArray:
    """Return the smoothed image to which only free pixels have contributed."""
    share, total = (
        ndimage.gaussian_filter(part, SMOOTHING_PX, mode="nearest")
        for part in (free.astype(np.float64), np.where(free, values, 0.0))
    )
    return np.where(free, total / np.maximum(share, 1e-12), values)


def _box_mean(
    values: FloatArray, blocked: BoolArray, settings: BackgroundSettings
) -> BackgroundFit:
    """Fit the mean of the pixels in a box, that of the settings or the darkest one."""
    if settings.box is None:
        settings = replace(settings, box=darkest_box(values))
    rows, columns = box_slices(settings, values.shape)
    outside = np.ones(values.shape, bool)
    outside[rows, columns] = blocked[rows, columns]
    if outside.all():
        raise UserError(
            "The box for the background holds no pixel to use",
            "all of it is masked",
            "Choose another box",
        )
    mean = float(values[~outside].mean())
    return _fit(values, outside, np.full(values.shape, mean), (0, 0))


def darkest_box(values: NDArray[np.floating]) -> tuple[int, int, int, int]:
    """Return y0, y1, x0, x1 of the box, an eighth of each side, with the least mean."""
    rows, columns = (max(1, n // _BOX_SHARE) for n in values.shape)
    mean = ndimage.uniform_filter(
        np.asarray(values, np.float64), (rows, columns), mode="nearest"
    )
    top, left = rows // 2, columns // 2
    inside = mean[
        top : top + values.shape[0] - rows + 1,
        left : left + values.shape[1] - columns + 1,
    ]
    y, x = (int(n) for n in np.unravel_index(int(np.argmin(inside)), inside.shape))
    return y, y + rows, x, x + columns


def box_slices(
    settings: BackgroundSettings, shape: tuple[int, ...]
) -> tuple[slice, slice]:
    """Return the rows and columns of the box; raises `UserError` if it is outside."""
    assert settings.box is not None  # noqa: S101 - filled in by the callers
    y0, y1, x0, x1 = settings.box
    if not (0 <= y0 < y1 <= shape[0] and 0 <= x0 < x1 <= shape[1]):
        raise UserError(
            "The box for the background is not in the image",
            f"it is rows {y0} to {y1} and columns {x0} to {x1} of {shape[0]} x "
            f"{shape[1]} pixels (y, x)",
            "Give the first row, the row after the last, and the same for columns",
        )
    return slice(y0, y1), slice(x0, x1)


def _tame_fit(
    values: FloatArray, weight: FloatArray, degree_yx: tuple[int, int]
) -> tuple[FloatArray, tuple[int, int]]:
    """Fit, and lower the degree while the surface runs away where it sees nothing."""
    shape, free = (values.shape[0], values.shape[1]), weight > 0.5 * weight.max()
    for highest in range(max(degree_yx), -1, -1):
        degree = (min(degree_yx[0], highest), min(degree_yx[1], highest))
        background = SurfaceFit(shape, degree)(values, weight)
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


def darkest(values: NDArray[np.floating], blocked: BoolArray | None = None) -> float:
    """Return the level of the darkest hundredth of the lightly smoothed image."""
    values = np.asarray(values, np.float64)
    free = np.isfinite(values) if blocked is None else ~blocked
    smooth = smoothed(np.asarray(values, np.float64), free)
    return float(np.quantile(smooth[free], 0.01)) if free.any() else 0.0


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
