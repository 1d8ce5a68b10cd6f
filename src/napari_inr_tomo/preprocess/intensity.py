"""The brightness of the tilts: brought to one level, and watched for faults."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import (
    BoolArray,
    FloatArray,
    Step,
    TiltSeries,
    tilts_in_words,
)

_LEAST_SHARE = 0.05  # of the median mass: what is below has no specimen to speak of
_JUMP = 0.25
_JUMP_SIGMA = 5.0
_NEIGHBOURS = 2
_BLOCKS = 8
_BLOCKED_SHARE = 0.1
_MISSING_SHARE = 0.5  # of what dark places lost, the least that the whole image lacks
_EMPTY_BORDER = 0.1
_SMOOTH_PX = 5


def normalise_tilts(
    series: TiltSeries, thickness: bool = False, only_isolated: bool = False
) -> TiltSeries:
    """Return the series with every tilt scaled to the same total intensity.

    The intensity of HAADF-STEM grows with the mass, and the mass of a specimen that
    stays in the field is the same in every tilt: what changes is the beam or the
    detector.  Subtract the background first.  The common level is the median of the
    used tilts, so the units stay.

    thickness: take the specimen for a slab that fills the field and grows as
    1 / cos(tilt) along the beam, and scale to that.
    only_isolated: leave the series as it is, with a notice, where the specimen reaches
    the edges and its mass in the field changes with the tilt.
    Raises `UserError` where a used tilt has no positive total, or with ``thickness``
    a used tilt is at 85 degrees or more.
    """
    angles = series.angles_deg
    if thickness and np.abs(angles[series.mask]).max() >= 85:
        raise UserError(
            "A slab cannot be normalised at these tilts",
            f"its thickness has no limit towards 90 degrees, and a tilt is at "
            f"{angles[series.mask][np.abs(angles[series.mask]).argmax()]:g}",
            "Leave the steepest tilts out or normalise without the thickness",
        )
    if only_isolated and not thickness and not _isolated(series):
        notice = (
            "Intensities: the tilts were not normalised, since the specimen reaches "
            "the edges of the field and its mass in it may change"
        )
        step = Step("normalise_tilts", {"only_isolated": True, "factors": None})
        return series.evolve(step, notices=(*series.notices, notice))
    mass = mean_intensities(series)
    if thickness:
        mass = mass * np.cos(np.deg2rad(np.clip(angles, -89, 89)))
    level = float(np.median(mass[series.mask]))
    low = mass <= _LEAST_SHARE * level
    if level <= 0 or (low & series.mask).any():
        tilts = ", ".join(map(str, np.flatnonzero(low & series.mask))) or "most tilts"
        raise UserError(
            "The tilts cannot be brought to one intensity",
            f"there is no intensity to speak of in {tilts}",
            "Leave these views out, or check the background",
        )
    factors = np.where(low, 1.0, level / np.where(low, 1.0, mass))
    parameters = {
        "thickness": bool(thickness),
        "only_isolated": bool(only_isolated),
        "factors": factors.tolist(),
    }
    images = series.images * factors.astype(np.float32)[:, None, None]
    return series.evolve(Step("normalise_tilts", parameters), images=images)


def mean_intensities(series: TiltSeries) -> FloatArray:
    """Return the (tilt,) mean of the valid pixels, intensity units of the images."""
    if series.valid is None:
        return np.asarray(series.images.mean(axis=(1, 2), dtype=np.float64))
    number = series.valid.sum(axis=(1, 2))
    total = np.where(series.valid, series.images, 0).sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(total / np.maximum(number, 1))


def check_views(series: TiltSeries, exclude: bool = False) -> TiltSeries:
    """Return the series with a notice about tilts with a blocked beam or a jump.

    A tilt jumps where its mean intensity is a quarter off the median of its four
    neighbours in angle, and far more than tilts usually are.  The beam is blocked, by
    a grid bar or the holder, where more than a tenth of the field is darker than half
    of what both neighbours show there, and the image as a whole lacks at least half of
    what these places lack: a specimen that has moved is elsewhere.  Raw images, before
    the background is subtracted, tell this best.

    exclude: leave these tilts out of everything that follows; else they are only named.
    """
    order = np.flatnonzero(series.mask)[np.argsort(series.angles_deg[series.mask])]
    ratio = np.ones(len(series))
    ratio[order] = _ratios(mean_intensities(series)[order])
    size = np.abs(np.log(np.maximum(ratio, 1e-6)))
    usual = 1.4826 * float(np.median(size[order])) if len(order) else 0.0
    jump = size > max(np.log(1 + _JUMP), _JUMP_SIGMA * usual)
    blocked = np.zeros(len(series), bool)
    blocked[order] = _blocked(_filled(series.take(order)))
    bad = blocked | jump
    parameters = {
        "exclude": bool(exclude),
        "blocked_tilts": np.flatnonzero(blocked).tolist(),
        "jump_tilts": np.flatnonzero(jump).tolist(),
        "intensity_ratio": ratio.tolist(),
    }
    lines = []
    for flags, what in (
        (blocked, "part of the field is dark, as if something blocked the beam"),
        (jump & ~blocked, "the intensity jumps against the neighbours"),
    ):
        if flags.any():
            lines.append(f"Views: in {_listed(flags)} {what}")
    used = series.mask
    if exclude and bad.any() and (used & ~bad).sum() >= 2:
        used = used & ~bad
        lines.append(f"Views: left out: {_listed(bad)}")
    new = [line for line in lines if line not in series.notices]
    return series.evolve(
        Step("check_views", parameters), used=used, notices=(*series.notices, *new)
    )


def _listed(flags: BoolArray) -> str:
    return tilts_in_words(np.flatnonzero(flags).tolist())


def _filled(series: TiltSeries) -> NDArray[np.float32]:
    """Return the images with the median of their valid pixels in place of others."""
    if series.valid is None:
        return series.images
    images = np.array(series.images)
    for image, valid in zip(images, series.valid, strict=True):
        image[~valid] = np.median(image[valid]) if valid.any() else 0
    return images


def _isolated(series: TiltSeries) -> bool:
    """Return whether the border is empty in nine tenths of the used tilts."""
    kept = series.only_used()
    full = 0
    for image in _filled(kept):
        smooth = ndimage.uniform_filter(image, _SMOOTH_PX, mode="nearest")
        sides = (image[:3], image[-3:], image[:, :3].T, image[:, -3:].T)
        parts = [part for side in sides for part in np.array_split(side, 5, axis=1)]
        rim = max(float(part.mean()) for part in parts)
        full += rim > _EMPTY_BORDER * float(np.quantile(smooth, 0.99))
    return full <= 0.1 * len(kept)


def _ratios(values: FloatArray) -> FloatArray:
    """Return (tilt,) values over the median of up to two neighbours on each side."""
    found = np.ones(len(values))
    for k in range(len(values)):
        first, last = max(0, k - _NEIGHBOURS), k + _NEIGHBOURS + 1
        near = np.concatenate([values[first:k], values[k + 1 : last]])
        middle = float(np.median(near)) if near.size else 0.0
        found[k] = values[k] / middle if middle > 0 else 1.0
    return found


def _blocked(images: NDArray[np.float32]) -> BoolArray:
    """Return (tilt,): dark where both neighbours are not, and nowhere brighter for it.

    A specimen that has moved is dark in one place and bright in another.
    """
    flags = np.zeros(len(images), bool)
    if len(images) < 3:
        return flags
    rows, columns = (max(1, n // _BLOCKS) for n in images.shape[1:])
    cut = images[:, : rows * _BLOCKS, : columns * _BLOCKS]
    if min(images.shape[1:]) < _BLOCKS:
        return flags
    blocks = cut.reshape(len(images), _BLOCKS, rows, _BLOCKS, columns)
    means = blocks.mean(axis=(2, 4), dtype=np.float64)
    means -= float(np.quantile(means, 0.001))
    bright = 0.1 * float(np.quantile(means, 0.99))
    for k in range(len(images)):
        others = [j for j in (k - 1, k + 1) if 0 <= j < len(images)]
        near = means[others].min(axis=0)
        dark = (means[k] < 0.5 * near) & (near > bright)
        lost = float((near - means[k])[dark].sum())
        less = float(means[others].sum(axis=(1, 2)).min() - means[k].sum())
        wide = float(dark.mean()) > _BLOCKED_SHARE
        flags[k] = len(others) == 2 and wide and less > _MISSING_SHARE * lost
    return flags
