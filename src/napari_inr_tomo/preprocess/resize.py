"""Smaller images: mean over blocks, and cropping in Fourier space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.mapped import release
from napari_inr_tomo.types import BoolArray, FloatArray, Poses, Step, TiltSeries

_LEAST_PX = 4


def bin_images(series: TiltSeries, factor: int) -> TiltSeries:
    """Return the series with every ``factor`` x ``factor`` block replaced by its mean.

    A mapped stack is read image by image and let go of.
    Rows and columns that fill no block are cropped evenly from both sides, which a
    notice reports; pixel size and pose shifts follow.  A block with an invalid pixel
    is the mean of its valid pixels, and is invalid if fewer than half are valid.
    Raises `UserError` if the factor is below 1 or leaves fewer than 4 pixels.
    """
    count, rows, columns = series.images.shape
    factor = int(factor)
    small_y, small_x = (rows // factor, columns // factor) if factor > 0 else (0, 0)
    if min(small_y, small_x) < _LEAST_PX:
        raise UserError(
            f"The images cannot be binned by {factor}",
            f"they are {rows} x {columns} pixels (y, x)",
            f"Choose a factor from 1 to {max(1, min(rows, columns) // _LEAST_PX)}",
        )
    start_y, start_x = (rows - small_y * factor) // 2, (columns - small_x * factor) // 2
    window = (
        slice(start_y, start_y + small_y * factor),
        slice(start_x, start_x + small_x * factor),
    )
    blocks = (small_y, factor, small_x, factor)
    binned = np.empty((count, small_y, small_x), np.float32)
    valid = None if series.valid is None else np.empty(binned.shape, bool)
    for tilt in range(count):
        image = series.images[tilt][window].reshape(blocks)
        if series.valid is None or valid is None:
            binned[tilt] = image.mean(axis=(1, 3), dtype=np.float64)
        else:
            weight = series.valid[tilt][window].reshape(blocks)
            number = weight.sum(axis=(1, 3))
            total = np.where(weight, image, 0).sum(axis=(1, 3), dtype=np.float64)
            binned[tilt] = total / np.maximum(number, 1)
            valid[tilt] = 2 * number >= factor * factor
        release(series.images)
    cropped = (rows - small_y * factor, columns - small_x * factor)
    moved = (
        start_y + (small_y * factor - rows) / 2,
        start_x + (small_x * factor - columns) / 2,
    )
    return _resized(
        series,
        binned,
        valid,
        float(factor),
        moved,
        Step("bin_images", {"factor": factor}),
        _cropping_notice(cropped, "binning"),
    )


def fourier_downsample(series: TiltSeries, size_px: int) -> TiltSeries:
    """Return the series with its longer side cut to ``size_px`` in Fourier space.

    The images are taken as mirrored at their edges (cosine transform), so that nothing
    wraps round from one edge to the other; frequencies above the new limit are removed
    and the remaining smooth image is sampled at the new pixel centres.  Pixels stay
    square, means stay the same.  Where the shorter side is no whole number of new
    pixels, its excess (less than one new pixel) is cropped and a notice says so.
    Invalid pixels are first replaced by the mean of the valid ones of their image.
    Raises `UserError` if ``size_px`` is not between 4 and the present size.
    """
    rows, columns = series.images.shape[1:]
    size, longer = int(size_px), max(rows, columns)
    factor = longer / size if size > 0 else 0.0
    shape = [int(np.floor(n / factor + 1e-9)) if factor else 0 for n in (rows, columns)]
    if size > longer or min(shape) < _LEAST_PX:
        raise UserError(
            f"The images cannot be down-sampled to {size_px} pixels",
            f"they are {rows} x {columns} pixels (y, x)",
            f"Choose a size from {_LEAST_PX} to {longer} for the longer side",
        )
    along_y = _cosine_resampling(rows, shape[0], factor)
    along_x = _cosine_resampling(columns, shape[1], factor)
    valid: BoolArray | None = None
    images = np.empty((len(series), *shape), np.float32)
    for tilt, image in enumerate(series.images):
        values = image.astype(np.float64)
        if series.valid is not None:
            good = series.valid[tilt]
            values[~good] = values[good].mean() if good.any() else 0.0
        images[tilt] = along_y @ values @ along_x.T
        release(series.images)
    if series.valid is not None:
        reach_y, reach_x = (
            _footprint(n, m, factor)
            for n, m in zip((rows, columns), shape, strict=True)
        )
        valid = np.empty(images.shape, bool)
        for tilt, good in enumerate(series.valid):
            bad = (~good).astype(np.float64)
            valid[tilt] = (reach_y @ bad @ reach_x.T) < 0.5
    excess = (rows - shape[0] * factor, columns - shape[1] * factor)
    notice = ""
    if max(excess) > 1e-6:
        notice = (
            "Fourier down-sampling cropped "
            f"{excess[0]:.2f} rows and {excess[1]:.2f} columns of the original images, "
            "half on each side, to keep the pixels square"
        )
    step = Step("fourier_downsample", {"size_px": size})
    return _resized(series, images, valid, factor, (0.0, 0.0), step, notice)


def reduce_mask(mask: BoolArray, shape_yx: tuple[int, int], factor: float) -> BoolArray:
    """Return a mask for images that were made smaller: True where any old pixel is.

    mask: (y, x) or (tilt, y, x), of the images before.  shape_yx, factor: of those that
    `bin_images` or `fourier_downsample` has made, and how many old pixels one of theirs
    is long.
    """
    reach_y, reach_x = (
        _footprint(n, m, factor) for n, m in zip(mask.shape[-2:], shape_yx, strict=True)
    )
    return np.asarray(reach_y @ mask.astype(np.float64) @ reach_x.T > 0.5)


def _sample_positions(n: int, m: int, factor: float) -> FloatArray:
    """Return (m,) positions in old pixels of the new pixel centres."""
    return np.asarray((np.arange(m) - (m - 1) / 2) * factor + (n - 1) / 2, np.float64)


def _cosine_resampling(n: int, m: int, factor: float) -> FloatArray:
    """Return (m, n): low-pass at the new limit, sampled at the new pixel centres.

    Source: the type-II discrete cosine transform, whose basis
    ``cos(pi k (i + 1/2) / n)`` is a function of the position i that may be fractional.
    """
    k = np.arange(int(np.ceil(n / factor - 1e-9)))
    forward = np.cos(np.pi * np.outer(k, np.arange(n) + 0.5) / n) * (2 / n)
    forward[0] /= 2
    back = np.cos(np.pi * np.outer(_sample_positions(n, m, factor) + 0.5, k) / n)
    return np.asarray(back @ forward)


def _footprint(n: int, m: int, factor: float) -> FloatArray:
    """Return (m, n) with 1 where an old pixel touches a new one."""
    distance = np.abs(_sample_positions(n, m, factor)[:, None] - np.arange(n))
    return np.asarray(distance < (factor + 1) / 2 - 1e-9, np.float64)


def _cropping_notice(cropped_yx: tuple[int, int], action: str) -> str:
    if not any(cropped_yx):
        return ""
    return (
        f"{action.capitalize()} cropped {cropped_yx[0]} rows and {cropped_yx[1]} "
        "columns at the edges that filled no whole block"
    )


def _resized(
    series: TiltSeries,
    images: np.ndarray,
    valid: BoolArray | None,
    factor: float,
    moved_yx: tuple[float, float],
    step: Step,
    notice: str,
) -> TiltSeries:
    """Return the series with new images; the new centre is the old one + moved_yx."""
    poses: Poses = series.start_poses
    poses = replace(
        poses, dx_px=poses.dx_px - moved_yx[1], dy_px=poses.dy_px - moved_yx[0]
    ).scaled(1 / factor)
    size = series.pixel_size_nm
    return series.evolve(
        step,
        images=np.asarray(images, np.float32),
        valid=valid,
        poses=poses,
        pixel_size_nm=None if size is None else size * factor,
        notices=(*series.notices, notice) if notice else series.notices,
    )
