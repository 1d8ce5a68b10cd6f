"""Sequential cross-correlation: every tilt against its neighbours nearer to 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_inr_tomo.align.frame import (
    axis_directions,
    border_level,
    current_axis,
    edge_window,
    filled_images,
    resample,
    shifted,
    shifts_xy,
)
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import FloatArray, Step, TiltSeries

_STEEPEST_DEG = 70.0  # beyond it, nothing is as thin as the cosine law supposes


def align_cross_correlation(
    series: TiltSeries,
    stretch: bool = False,
    low_px: float = 0.25,
    high_px: float = 2.0,
    max_shift_px: float | None = None,
    neighbours: int = 1,
    rounds: int = 2,
    taper: float = 0.15,
    subpixel: bool = True,
    cumulative: bool = False,
) -> TiltSeries:
    """Return the series with shifts found by sequential cross-correlation.

    From the used tilt nearest 0 outwards, in the order of the angles whatever the order
    of the stack, every image is laid on its neighbours nearer to 0, seen in the frame
    of the tilt axis that the poses describe (along x if none is known).  The reference
    tilt keeps its shift; excluded tilts keep theirs.

    stretch: scale the neighbours across the axis by the ratio of the cosines.  About
    the axis where the poses hold one; about the centre of mass of the reference image
    where they are still all zero.
    low_px: width of the high-pass as a share of the image side: structure larger than
    that is damped; high_px: finest structure used, in pixels (standard deviation).
    max_shift_px: largest shift against the neighbour; none: a third of the side.
    neighbours: how many aligned images are averaged for comparison.
    rounds: how often the image is resampled from the original and measured again.
    taper: share of each side over which the images fade out towards the edges.
    subpixel: find the peak to about 0.01 px; False: shifts of whole pixels.
    cumulative: compare with the mean of all images of that side that are aligned
    already, in place of ``neighbours``; use ``stretch`` with it.
    Raises `UserError` if fewer than two views are used, or for a setting that makes no
    sense.
    """
    _check(low_px, high_px, max_shift_px, neighbours, rounds, taper)
    images = filled_images(series)
    order = np.flatnonzero(series.mask)[np.argsort(series.angles_deg[series.mask])]
    if len(order) < 2:
        raise UserError(
            "There is nothing to align",
            f"{len(order)} view is used",
            "Include at least two views",
        )
    shape = (images.shape[1], images.shape[2])
    if max_shift_px is None:
        max_shift_px = min(shape) / 3
    axis_deg, _ = current_axis(series)
    shifts = shifts_xy(series.start_poses).copy()
    pivot = 0.0 if series.start_poses.as_array().any() else _centroid(series, images)
    correlator = Correlator(shape, low_px, high_px, max_shift_px, taper, subpixel)
    flattened = {tilt: images[tilt] - border_level(images[tilt]) for tilt in order}
    cosine = np.cos(np.deg2rad(np.minimum(np.abs(series.angles_deg), _STEEPEST_DEG)))
    frame = np.stack(axis_directions(axis_deg))
    start = int(np.flatnonzero(order == series.reference)[0])
    height = np.ones(len(series))
    start_shifts = shifts.copy()
    for side in (order[start:], order[: start + 1][::-1]):
        for k in range(1, len(side)):
            first = 0 if cumulative else max(0, k - neighbours)
            tilt, seen = side[k], side[first:k]
            reference = np.zeros(shape)
            for other in seen:
                scale = cosine[tilt] / cosine[other] if stretch else 1.0
                reference += resample(
                    flattened[other], axis_deg, shifts[other], scale, pivot
                )
            guess = shifts[side[k - 1]] - start_shifts[side[k - 1]] + start_shifts[tilt]
            spectrum = correlator.spectrum(reference)
            for _ in range(rounds):
                moving = resample(flattened[tilt], axis_deg, guess)
                found, height[tilt] = correlator.shift(spectrum, moving)
                guess = guess + found @ frame
            shifts[tilt] = guess
    parameters: dict[str, Any] = {
        "stretch": bool(stretch),
        "low_px": float(low_px),
        "high_px": float(high_px),
        "max_shift_px": float(max_shift_px),
        "neighbours": int(neighbours),
        "rounds": int(rounds),
        "taper": float(taper),
        "subpixel": bool(subpixel),
        "cumulative": bool(cumulative),
        "axis_deg": axis_deg,
        "reference": series.reference,
        "dx_px": shifts[:, 0].tolist(),
        "dy_px": shifts[:, 1].tolist(),
        "correlation": height.tolist(),
    }
    return shifted(series, shifts, Step("align_cross_correlation", parameters))


def _check(
    low_px: float,
    high_px: float,
    max_shift_px: float | None,
    neighbours: int,
    rounds: int,
    taper: float,
) -> None:
    most = 1.0 if max_shift_px is None else max_shift_px
    if not (low_px > 0 and high_px >= 0 and most > 0 and 0 < taper <= 0.5):
        raise UserError(
            "A setting of the cross-correlation makes no sense",
            f"low_px {low_px}, high_px {high_px}, max_shift_px {max_shift_px}, "
            f"taper {taper}",
            "Give sizes above 0, and a taper of at most 0.5",
        )
    if neighbours < 1 or rounds < 1:
        raise UserError(
            "A setting of the cross-correlation makes no sense",
            f"neighbours {neighbours}, rounds {rounds}",
            "Give 1 or more",
        )


def _centroid(series: TiltSeries, images: np.ndarray) -> float:
    """Return the centre of mass of the reference image along y, px about the centre."""
    image = np.asarray(images[series.reference], np.float64)
    bright = np.clip(image - border_level(image), 0, None) * edge_window(image.shape)
    bright[bright < 0.1 * bright.max()] = 0
    total = float(bright.sum())
    y = np.arange(len(image)) - (len(image) - 1) / 2
    return float(bright.sum(axis=1) @ y) / total if total > 0 else 0.0


class Correlator:
    """Finds by how much one image must move to lie on another; images of one shape."""

    def __init__(
        self,
        shape_yx: tuple[int, int],
        low: float,
        high_px: float,
        max_shift_px: float,
        taper: float,
        subpixel: bool,
    ) -> None:
        self._subpixel = subpixel
        self._window = edge_window(shape_yx, taper)
        self._shape = (2 * shape_yx[0], 2 * shape_yx[1])
        self._ky = np.fft.fftfreq(self._shape[0])
        self._kx = np.fft.rfftfreq(self._shape[1])
        square = self._ky[:, None] ** 2 + self._kx**2
        coarse = low * min(shape_yx) / (2 * np.pi)
        fine = high_px / 2
        self._band = np.exp(-2 * (np.pi * fine) ** 2 * square) * (
            1 - np.exp(-2 * (np.pi * coarse) ** 2 * square)
        )
        distance = np.hypot(
            self._ky[:, None] * self._shape[0],
            np.fft.fftfreq(self._shape[1]) * self._shape[1],
        )
        self._far = distance > max_shift_px

    def spectrum(self, image: FloatArray) -> np.ndarray:
        """Return the band-passed transform of the tapered image."""
        weight = self._window / self._window.sum()
        flat = (image - (image * weight).sum()) * self._window
        return np.asarray(np.fft.rfft2(flat, self._shape) * self._band)

    def shift(self, fixed: np.ndarray, image: FloatArray) -> tuple[FloatArray, float]:
        """Return where the content of ``image`` lies relative to the fixed spectrum.

        Returns (along, across) in pixels and the height of the peak, 1 for equals.
        """
        moving = self.spectrum(image)
        product = moving * fixed.conj()
        correlation = np.fft.irfft2(product, self._shape)
        correlation[self._far] = -np.inf
        peak = np.unravel_index(np.argmax(correlation), correlation.shape)
        near = [
            float((p + n // 2) % n - n // 2)
            for p, n in zip(peak, self._shape, strict=True)
        ]
        y, x = near
        if self._subpixel:
            y, x = self._refine(product, y, x)
        power = np.sqrt(self._energy(moving) * self._energy(fixed))
        height = float(correlation[peak]) / power if power > 0 else 0.0
        return np.array([x, y]), height

    def _energy(self, spectrum: np.ndarray) -> float:
        """Return the height of the autocorrelation at zero shift."""
        twice = 2 * np.abs(spectrum) ** 2
        total = twice.sum() - (twice[:, 0].sum() + twice[:, -1].sum()) / 2
        return float(total) / (self._shape[0] * self._shape[1])

    def _refine(self, product: np.ndarray, y: float, x: float) -> tuple[float, float]:
        """Return the peak to about 0.01 px from the transform evaluated around it."""
        weight = np.full(len(self._kx), 2.0)
        weight[0] = weight[-1] = 1.0
        for step in (0.5, 0.1):
            grid = np.arange(-2, 3) * step
            rows = np.exp(2j * np.pi * np.outer(y + grid, self._ky))
            columns = np.exp(2j * np.pi * np.outer(self._kx, x + grid))
            local = (rows @ (product * weight) @ columns).real
            i, j = np.unravel_index(np.argmax(local), local.shape)
            i, j = np.clip(i, 1, 3), np.clip(j, 1, 3)
            y += grid[i] + step * _parabola(local[i - 1 : i + 2, j])
            x += grid[j] + step * _parabola(local[i, j - 1 : j + 2])
        return y, x


def _parabola(values: FloatArray) -> float:
    """Return the maximum of a parabola through three values, in steps, within +-1."""
    curvature = values[0] - 2 * values[1] + values[2]
    if curvature >= 0:
        return 0.0
    return float(np.clip((values[0] - values[2]) / (2 * curvature), -1, 1))
