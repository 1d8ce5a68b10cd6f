"""Shifts by hand: what is stored, which tilts are compared, and what is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_inr_tomo.align.frame import border_level, shifted, shifts_xy
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import FloatArray, ImageArray, Step, TiltSeries

MOST_SIDE = 2048
"""Images are compared on at most this many pixels a side."""
_NAME = "shift_by_hand"


def shift_by_hand(
    series: TiltSeries,
    tilts: Sequence[int],
    dx_px: Sequence[float],
    dy_px: Sequence[float],
) -> TiltSeries:
    """Return the series with the shifts of some tilts put to these numbers.

    tilts: indices into the stack; dx_px, dy_px: (tilt,), how far the content of each
    image lies right of and below its place, pixels.
    They replace the old ones.  Doing it several times in a row leaves one line of
    history.  Raises `UserError` for a tilt that does not exist or a shift that is no
    number.
    """
    values = np.column_stack([dx_px, dy_px]).astype(np.float64)
    index = [int(tilt) for tilt in tilts]
    if any(not 0 <= tilt < len(series) for tilt in index):
        raise UserError(
            "A tilt to shift does not exist",
            f"the views are 0 to {len(series) - 1}",
            "Give indices counted from 0, in the order of the stack",
        )
    if len(values) != len(index) or not np.isfinite(values).all():
        raise UserError(
            "A shift is not a number",
            "every tilt needs a dx and a dy in pixels",
            "Write numbers such as -1.5",
        )
    shifts = shifts_xy(series.start_poses)
    shifts[index] = values
    history = series.history
    changed = set(index)
    if history and history[-1].name == _NAME:
        changed |= set(history[-1].parameters["tilts"])
        history = history[:-1]
    rows = sorted(changed)
    step = Step(
        _NAME,
        {
            "tilts": rows,
            "dx_px": shifts[rows, 0].tolist(),
            "dy_px": shifts[rows, 1].tolist(),
        },
    )
    return shifted(series.evolve(history=history), shifts, step)


def in_order(series: TiltSeries) -> list[int]:
    """Return all tilts in the order of their angles."""
    return [int(tilt) for tilt in np.argsort(series.angles_deg, kind="stable")]


def neighbour(series: TiltSeries, tilt: int, step: int) -> int | None:
    """Return the used tilt before (-1) or after (1) this one in angle, or None."""
    order = in_order(series)
    place = order.index(tilt) + step
    while 0 <= place < len(order):
        if series.mask[order[place]]:
            return order[place]
        place += step
    return None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two tilts, both moved back by their shifts, on one scale of intensity.

    tilt, reference, difference: (y, x) float32; means 0 and standard deviations 1 where
    both images lie; difference = tilt - reference, 0 outside.
    agreement: their correlation coefficient there, NaN where they share nothing.
    pixel_px: pixels of the images per pixel shown.
    """

    tilt: ImageArray
    reference: ImageArray
    difference: ImageArray
    agreement: float
    pixel_px: int = 1


def compare_tilts(series: TiltSeries, tilt: int, reference: int) -> Comparison:
    """Return two tilts of a series as they lie on one another."""
    pixel = -(-max(series.images.shape[1:]) // MOST_SIDE)
    first, inside_first = _moved_back(series, tilt, pixel)
    second, inside_second = _moved_back(series, reference, pixel)
    both = inside_first & inside_second
    first, second = _standard(first, both), _standard(second, both)
    enough = int(both.sum()) > 1
    agreement = float(np.mean(first[both] * second[both])) if enough else float("nan")
    difference = np.where(both, first - second, 0)
    return Comparison(
        first.astype(np.float32),
        second.astype(np.float32),
        difference.astype(np.float32),
        agreement,
        pixel,
    )


def _moved_back(
    series: TiltSeries, tilt: int, pixel: int
) -> tuple[FloatArray, np.ndarray]:
    """Return an image without its shift, and where it has pixels."""
    image = np.asarray(series.images[tilt], np.float64)
    if series.valid is not None and not series.valid[tilt].all():
        image = np.where(series.valid[tilt], image, border_level(image))
    image = image[::pixel, ::pixel]
    poses = series.start_poses
    shift_yx = np.array([poses.dy_px[tilt], poses.dx_px[tilt]]) / pixel
    level = border_level(image)
    moved = ndimage.shift(image, -shift_yx, order=1, mode="constant", cval=level)
    rows, columns = (
        (at + shift >= 0) & (at + shift <= count - 1)
        for at, shift, count in zip(
            np.ogrid[: image.shape[0], : image.shape[1]],
            shift_yx,
            image.shape,
            strict=True,
        )
    )
    return moved, rows & columns


def _standard(image: FloatArray, where: np.ndarray) -> FloatArray:
    """Return an image with mean 0 and standard deviation 1 over some pixels."""
    if not where.any():
        return np.zeros_like(image)
    values = image[where]
    # what is left of a constant image is rounding, of whatever unit
    least = max(1e-6 * float(np.abs(values).max()), float(np.finfo(np.float32).tiny))
    return np.asarray((image - values.mean()) / max(float(values.std()), least))
