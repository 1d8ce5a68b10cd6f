"""The background of images: what is fitted, and where.

Written for batches, (tilt, y, x), of arrays or tensors alike: see `arrays`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.arrays import (
    Batch,
    beside,
    by_rows,
    copied,
    count,
    doubles,
    exp,
    extremes,
    on_device,
    per_tilt,
    put,
    taken,
    where,
    zeros,
)
from napari_inr_tomo.preprocess.background_box import box_mean
from napari_inr_tomo.preprocess.background_settings import BackgroundSettings
from napari_inr_tomo.preprocess.bernstein import SurfaceFit
from napari_inr_tomo.preprocess.filters import gaussian
from napari_inr_tomo.preprocess.ranks import (
    TO_SIGMA,
    centre_and_spread,
    median,
    quantile,
)
from napari_inr_tomo.preprocess.specimen import (
    PIXELS_PER_UNKNOWN,
    SMOOTHING_PX,
    above_level,
    above_otsu,
    find_specimen,
    least_signal,
    lower_envelope,
    smoothed,
)
from napari_inr_tomo.types import BoolArray, FloatArray

Degree = tuple[int, int]
_LEAST_BACKGROUND = 0.03  # share of the image below which only a constant is fitted
_STRUCTURE_OVER_NOISE = 3.0
_STRUCTURE_OVER_RANGE = 0.08
_TOO_LITTLE = "the specimen leaves too little background"
_LOWERED = "the specimen leaves parts of the frame without background"
_FILLED = "the specimen seems to fill the frame"
REASONS = (_LOWERED, _TOO_LITTLE, _FILLED)
"""Why only a constant was fitted: degrees of one thing, the last says the most."""


@dataclass(frozen=True, eq=False)
class Fits:
    """What was fitted to a batch of images.

    specimen: (tilt, y, x) bool, where the fit did not look.
    background: (tilt, y, x) float64, intensity units of the images.
    degrees: (y, x) of every tilt, lower than asked for where that ran away under the
    specimen, (0, 0) where only a constant could be fitted.
    notices: for every tilt why the degree is lower than asked for, or empty.
    """

    specimen: Batch
    background: Batch
    degrees: list[Degree]
    notices: list[str]


def finite(
    images: NDArray[np.floating], masks: BoolArray | None
) -> tuple[FloatArray, BoolArray]:
    """Return images in float64, 0 where not finite, and what does not count of them.

    images, masks: (tilt, y, x); the latter True where a user has drawn specimen.
    """
    values = np.asarray(images, np.float64)
    known = np.isfinite(values)
    blocked = ~known if masks is None else masks | ~known
    return values if known.all() else np.where(known, values, 0.0), blocked


def fitted(
    values: FloatArray,
    blocked: BoolArray,
    degree_yx: Degree,
    settings: BackgroundSettings,
    drawn: bool = False,
    device: str = "cpu",
) -> Fits:
    """Return the backgrounds of images, computed on a device.

    values: (tilt, y, x) float64, finite.  blocked: (tilt, y, x) pixels that do not
    count.  drawn: whether a user has drawn what is specimen.
    device: ``cpu`` for numpy, else one of torch.
    Raises `UserError` where too little background is left.
    """
    if settings.kind == "box-mean":
        return _box_means(values, blocked, settings)
    if settings.kind == "constant":
        degree_yx = (0, 0)
    edge = edge_weights(values.shape[1:], settings)[None]
    needed = _checked_room(~blocked & (edge > 0), degree_yx)
    batch, closed = on_device(values, device), on_device(blocked, device)
    weight = beside(edge, batch)
    specimen, few = closed, np.zeros(len(values), bool)
    if settings.automatic:
        specimen = _specimen(batch, closed | (weight == 0), degree_yx, settings)
        few = count(~specimen) < max(_LEAST_BACKGROUND * edge.size, needed)
    background = zeros(batch, values.shape[1:])
    degrees, notices = [(0, 0)] * len(values), [_TOO_LITTLE] * len(values)
    tilts = np.flatnonzero(~few)
    if len(tilts):
        seen, covered = taken(batch, tilts), taken(specimen, tilts)
        found, reached, said = _surfaces(
            seen, covered, weight, degree_yx, settings, drawn
        )
        put(background, tilts, found)
        for tilt, degree, notice in zip(tilts, reached, said, strict=True):
            degrees[tilt], notices[tilt] = degree, notice
    tilts = np.flatnonzero([notice in (_TOO_LITTLE, _FILLED) for notice in notices])
    if len(tilts):
        level = darkest(taken(batch, tilts), ~taken(closed, tilts))
        put(background, tilts, 0 * taken(background, tilts) + per_tilt(level, batch))
    return Fits(specimen, background, degrees, notices)


def _checked_room(free: BoolArray, degree_yx: Degree) -> int:
    """Return how many pixels a fit needs; raises `UserError` where fewer are free."""
    least = int(np.count_nonzero(free, axis=(1, 2)).min())
    needed = PIXELS_PER_UNKNOWN * (degree_yx[0] + 1) * (degree_yx[1] + 1)
    if least < needed:
        raise UserError(
            "The mask leaves too little background",
            f"{least} pixels are outside it, and a polynomial of degree {degree_yx} "
            f"(y, x) needs at least {needed}",
            "Paint a smaller mask or choose a lower degree",
        )
    return needed


def _surfaces(
    values: Batch,
    specimen: Batch,
    weight: Batch,
    degree_yx: Degree,
    settings: BackgroundSettings,
    drawn: bool,
) -> tuple[Batch, list[Degree], list[str]]:
    """Return surfaces outside the specimens, their degrees and what is to be said.

    weight: (1, y, x) of the pixels outside.
    """
    weight = where(specimen, 0.0, weight)
    if settings.reweight:
        weight = _reweighted(values, weight, SurfaceFit(values, degree_yx))
    found, degrees = _tame_fit(values, weight, degree_yx)
    notices = ["" if degree == degree_yx else _LOWERED for degree in degrees]
    if settings.automatic and not drawn and max(degree_yx):
        full = _filling(values, values - found, specimen)
        for tilt in np.flatnonzero(full & (np.max(degrees, axis=1) > 0)):
            degrees[tilt], notices[tilt] = (0, 0), _FILLED
    return found, degrees, notices


def _box_means(
    values: FloatArray, blocked: BoolArray, settings: BackgroundSettings
) -> Fits:
    pairs = zip(values, blocked, strict=True)
    found = [box_mean(image, closed, settings) for image, closed in pairs]
    background = np.stack([np.full(values.shape[1:], mean) for _, mean in found])
    outside = np.stack([outside for outside, _ in found])
    return Fits(outside, background, [(0, 0)] * len(values), [""] * len(values))


def _specimen(
    values: Batch, blocked: Batch, degree: Degree, settings: BackgroundSettings
) -> Batch:
    """Return (tilt, y, x) bool: where the specimen is, or blocked."""
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
    values: Batch, weight: Batch, surface: SurfaceFit, rounds: int = 30
) -> Batch:
    """Return (tilt, y, x) weights that fall off where images rise above the surface.

    Iteratively reweighted least squares, begun from a surface under the image.  What is
    below the surface, or less than 2.5 robust standard deviations above it, keeps its
    weight; beyond, the weight falls as that of Welsch (Holland and Welsch 1977).
    """
    smooth = _smoothed_among(values, weight > 0)
    floor = least_signal(smooth, weight > 0)
    heaviest = extremes(weight)[1]
    below = copied(lower_envelope(smooth, weight, surface))
    present, tilts = copied(weight), np.arange(len(values))
    for _ in range(rounds):
        parts = (smooth, below, weight, present)
        seen, under, whole, before = (taken(part, tilts) for part in parts)
        height = seen - under
        kept = before > per_tilt(0.5 * heaviest[tilts], before)
        few = count(kept) < PIXELS_PER_UNKNOWN * surface.unknowns
        kept = kept | (per_tilt(few, kept) & (whole > 0))
        centre, spread = centre_and_spread(height, kept)
        middle = per_tilt(centre, height)
        scale = per_tilt(np.maximum(spread, floor[tilts]), height)

        def fallen(
            height: Batch, whole: Batch, middle: Batch = middle, scale: Batch = scale
        ) -> Batch:
            beyond = ((height - middle) / scale - 2.5).clip(0)
            return whole * exp(-(beyond**2))

        after = by_rows(fallen, height, whole)
        change = extremes(abs(after - before))[1]
        put(present, tilts, after)
        going = np.flatnonzero(change >= 1e-3 * heaviest[tilts])
        tilts = tilts[going]
        if len(tilts) == 0:
            break
        put(below, tilts, surface(taken(seen, going), taken(after, going)))
    return present


def _smoothed_among(values: Batch, free: Batch) -> Batch:
    """Return the smoothed images to which only free pixels have contributed."""
    total = gaussian(where(free, values, 0.0), SMOOTHING_PX)
    share = gaussian(doubles(free), SMOOTHING_PX)
    return where(free, total / share.clip(1e-12), values)


def _tame_fit(
    values: Batch, weight: Batch, degree_yx: Degree
) -> tuple[Batch, list[Degree]]:
    """Fit, and lower the degree while the surface runs away where it sees nothing."""
    free = weight > per_tilt(0.5 * extremes(weight)[1], weight)
    floor = least_signal(values)
    background = zeros(values, values.shape[1:])
    tilts, degrees = np.arange(len(values)), [(0, 0)] * len(values)
    for highest in range(max(degree_yx), -1, -1):
        degree = (min(degree_yx[0], highest), min(degree_yx[1], highest))
        parts = (values, weight, free)
        seen, heavy, outside = (taken(part, tilts) for part in parts)
        found = SurfaceFit(values, degree)(seen, heavy)
        put(background, tilts, found)
        for tilt in tilts:
            degrees[tilt] = degree
        (bottom, top), (low, high) = extremes(found, outside), extremes(found)
        deviation = TO_SIGMA * median(abs(seen - found), outside)
        room = np.maximum(top - bottom + 3 * deviation, floor[tilts])
        tilts = tilts[np.maximum(high - top, bottom - low) > room]
        if len(tilts) == 0:
            break
    return background, degrees


def _filling(values: Batch, residual: Batch, specimen: Batch) -> BoolArray:
    """Return (tilt,) whether the frame looks full.

    Outside a specimen there is only noise.  Where what was taken for background has
    structure well above the pixel noise, and that structure is a good part of all
    contrast in the image, it is specimen.
    """
    outside = ~specimen
    pairs = outside[:, :, 1:] & outside[:, :, :-1]
    steps = abs(residual[:, :, 1:] - residual[:, :, :-1])
    noise = TO_SIGMA * median(steps, pairs) / np.sqrt(2)
    sigma = 2.0
    smooth = gaussian(residual, sigma)
    apart = abs(smooth - per_tilt(median(smooth, outside), smooth))
    structure = TO_SIGMA * median(apart, outside)
    low, high = quantile(smooth, None, 0.01), quantile(smooth, None, 0.99)
    by_chance = noise / (2 * np.sqrt(np.pi) * sigma)
    return np.asarray(
        (count(pairs) > 0)
        & (structure > _STRUCTURE_OVER_NOISE * by_chance)
        & (structure > _STRUCTURE_OVER_RANGE * (high - low))
        & (structure > least_signal(values))
    )


def darkest(values: Batch, free: Batch) -> FloatArray:
    """Return (tilt,) the level of the darkest hundredth of the lightly smoothed images.

    values, free: (tilt, y, x); where no pixel is free the level is 0.
    """
    level = quantile(smoothed(values, free), free, 0.01)
    return np.where(count(free) > 0, level, 0.0)
