"""Drift within an image, taken out by scans of one field in orthogonal directions.

Along its fast direction a scan is sharp, across it the drift of the specimen moves
every line.  Two scans with orthogonal directions see the same field, so every line of
one crosses all lines of the other.  First one constant drift for all scans is searched,
then the offset of every line is refined in turns against the image that the other scans
make.  Source: Ophus, Ciston and Nelson, Ultramicroscopy 162, 1-9 (2016).

What no scans can tell is one shift of everything: an error of one scan depends on y
alone and that of an orthogonal one on x alone, and what both have in common is a
constant.  It is fixed by a mean offset of zero over all lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.scan_grid import COVERED, Grid, Scan
from napari_inr_tomo.preprocess.scan_lines import filled, fit_lines
from napari_inr_tomo.types import BoolArray, FloatArray, ImageArray

_COARSE_PX = 96
_STAGES = ((3.0, 8), (1.5, 8), (0.0, 16))
"""Blur in px, most rounds."""
_SETTLED_PX = 0.004
_LEAST_PX = 16
_MARGIN_PX = 6


@dataclass(frozen=True, eq=False)
class ScanDrift:
    """Scans of one field without their drift.

    corrected: (y, x) float32, the mean of all scans in the frame of the field; valid:
    (y, x), where there is one.  warped: (scan, y, x) float32, every scan for itself.
    residual: (y, x) float32, what the first two differ by; 0 where one is missing.
    offsets_yx: one (line, 2) per scan, px: how far from its place every line was
    measured, y and x of the field, mean zero.  seen: one (line,) per scan, False for
    lines outside the other scans, whose offset follows their neighbours.
    correlation_before, correlation_after: of the first two scans, 1 for equals.
    limited: the constant drift that was found lies at the end of the search.
    """

    corrected: ImageArray
    valid: BoolArray
    warped: ImageArray
    residual: ImageArray
    offsets_yx: tuple[FloatArray, ...]
    seen: tuple[BoolArray, ...]
    correlation_before: float
    correlation_after: float
    limited: bool = False

    @property
    def unseen(self) -> int:
        """Lines of all scans that no other scan shows."""
        return sum(int((~one).sum()) for one in self.seen)

    @property
    def largest_px(self) -> float:
        """The longest offset of a line."""
        return max(float(np.hypot(*o.T).max()) for o in self.offsets_yx)


def correct_scan_drift(
    images: Sequence[ArrayLike],
    directions_deg: Sequence[float] = (0.0, 90.0),
    upright: bool = False,
    largest_drift: float = 0.08,
    valid: Sequence[ArrayLike | None] | None = None,
) -> ScanDrift:
    """Return scans of one field without their drift, and the drift of every line.

    images: two or more (line, pixel), as the microscope stores them, lines in the order
    of time; scans at 90 degrees have rows and columns in exchange.
    directions_deg: fast direction of every scan in the field, a multiple of 90, from +x
    towards +y (clockwise on screen).
    upright: the images have been turned back already, and all show the field as the
    scan at 0 degrees does.
    largest_drift: most that is searched, over one scan, as a share of its height.
    valid: what counts in every image, same shape; none: all.
    Raises `UserError` without orthogonal directions, for images without structure and
    for sizes that do not fit.
    """
    scans, field = _scans(images, directions_deg, upright, valid)
    offsets = [np.zeros((len(scan.values), 2)) for scan in scans]
    before = _correlation(*_apart(scans, offsets, Grid(field, _MARGIN_PX)))
    offsets, limited = _constant_drift(scans, field, largest_drift)
    offsets, seen = _refined(scans, offsets, field)
    grid = _grid(field, offsets)
    image, density = grid.lay(scans, offsets)
    known = density > COVERED
    warped, there = _apart(scans, offsets, grid)
    both = there[0] & there[1]
    residual = np.where(both, warped[0] - warped[1], 0)
    return ScanDrift(
        filled(image, known)[grid.inner].astype(np.float32),
        known[grid.inner],
        np.stack([one[grid.inner] for one in warped]).astype(np.float32),
        residual[grid.inner].astype(np.float32),
        tuple(offsets),
        tuple(seen),
        before,
        _correlation(warped, there),
        limited,
    )


def _scans(
    images: Sequence[ArrayLike],
    directions_deg: Sequence[float],
    upright: bool,
    valid: Sequence[ArrayLike | None] | None,
) -> tuple[list[Scan], tuple[int, int]]:
    """Return the checked scans, and the shape of the field."""
    arrays = [np.asarray(image, np.float64) for image in images]
    masks: list[ArrayLike | None] = list(valid or [None] * len(arrays))
    quarters = [round(float(direction) / 90) for direction in directions_deg]
    _check(arrays, masks, directions_deg, quarters)
    scans = []
    for array, mask, quarter in zip(arrays, masks, quarters, strict=True):
        weight = np.ones(array.shape) if mask is None else np.asarray(mask, np.float64)
        if upright:
            array, weight = np.rot90(array, quarter), np.rot90(weight, quarter)
        weight = weight * np.isfinite(array)
        known = weight > 0  # what is elsewhere would be blurred over these
        flat = filled(array, known) if known.any() else np.zeros(array.shape)
        scans.append(Scan.of(flat, weight, 90.0 * quarter))
    rows, columns = scans[0].values.shape
    return scans, (columns, rows) if quarters[0] % 2 else (rows, columns)


def _check(
    arrays: list[FloatArray],
    masks: list[ArrayLike | None],
    directions_deg: Sequence[float],
    quarters: list[int],
) -> None:
    if len(arrays) < 2 or len({len(arrays), len(directions_deg), len(masks)}) > 1:
        raise UserError(
            "These are not scans of one field",
            f"there are {len(arrays)} images, {len(directions_deg)} directions",
            "Give two or more images and one scan direction for each",
        )
    for array in arrays:
        if array.ndim != 2 or min(array.shape) < _LEAST_PX:
            raise UserError(
                "A scan cannot be used",
                f"its shape is {array.shape}, and (line, pixel) is needed",
                f"Give two-dimensional images of at least {_LEAST_PX} x {_LEAST_PX}",
            )
        finite = array[np.isfinite(array)]
        if not finite.size or np.ptp(finite) <= 0:
            raise UserError(
                "A scan shows nothing",
                "all its pixels have one value",
                "Choose images with some structure",
            )
    askew = np.abs(np.array(directions_deg) - 90 * np.array(quarters)).max()
    if askew > 1e-6 or len({quarter % 2 for quarter in quarters}) < 2:
        listed = ", ".join(f"{direction:g}" for direction in directions_deg)
        raise UserError(
            "These scan directions cannot be used",
            f"they are {listed} degrees, and drift shows only between scans at right "
            "angles",
            "Give multiples of 90 degrees, two of them at right angles, e.g. 0,90",
        )


def _grid(field: tuple[int, int], offsets: Sequence[FloatArray]) -> Grid:
    largest = max(float(np.abs(one).max()) for one in offsets)
    return Grid(field, int(np.ceil(largest)) + _MARGIN_PX)


def _apart(
    scans: Sequence[Scan], offsets: Sequence[FloatArray], grid: Grid
) -> tuple[list[FloatArray], list[BoolArray]]:
    """Return the image of every scan alone, and where there is one."""
    laid = [grid.lay([scan], [one]) for scan, one in zip(scans, offsets, strict=True)]
    return [image for image, _ in laid], [density > COVERED for _, density in laid]


def _correlation(images: list[FloatArray], there: list[BoolArray]) -> float:
    """Return the correlation of the first two images where both are."""
    both = there[0] & there[1]
    if both.sum() < 2:
        return 0.0
    a, b = images[0][both], images[1][both]
    power = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / power if power else 0.0


def _centred(offsets: list[FloatArray]) -> list[FloatArray]:
    """Return the offsets with a mean of zero over all lines."""
    mean = np.concatenate(offsets).mean(axis=0)
    return [one - mean for one in offsets]


def _refined(
    scans: Sequence[Scan], offsets: list[FloatArray], field: tuple[int, int]
) -> tuple[list[FloatArray], list[BoolArray]]:
    """Refine the lines of every scan in turns against what the others show.

    The least numbers there are for intensities around 1, whatever their unit.
    """
    unit = max(float(np.abs(scan.values).max()) for scan in scans) or 1.0
    scans = [replace(scan, values=scan.values / unit) for scan in scans]
    seen = [np.ones(len(one), bool) for one in offsets]
    for blur_px, rounds in _STAGES:
        largest = max(0.5, blur_px)
        for _ in range(rounds):
            grid = _grid(field, offsets)
            moved = 0.0
            for number, scan in enumerate(scans):
                others = [k for k in range(len(scans)) if k != number]
                reference, density = grid.lay(
                    [scans[k] for k in others], [offsets[k] for k in others]
                )
                if not (density > COVERED).any():
                    continue
                fit = fit_lines(
                    scan, offsets[number], reference, density, grid, blur_px, largest
                )
                offsets[number] = offsets[number] + fit.change_yx
                seen[number] = fit.seen
                moved = max(moved, float(np.sqrt(np.mean(fit.change_yx**2))))
            offsets = _centred(offsets)
            if moved < _SETTLED_PX * (1 + 5 * blur_px):
                break
    return offsets, seen


def _constant_drift(
    scans: Sequence[Scan], field: tuple[int, int], largest_drift: float
) -> tuple[list[FloatArray], bool]:
    """Return offsets of one constant velocity and of a shift between the scans.

    The velocity in px a line, on a grid that is refined twice, on coarse images.
    Returns as well whether it was found at the end of the range.
    """
    factor = max(1, round(max(field) / _COARSE_PX))
    coarse = [_binned(scan, factor) for scan in scans]
    small = (max(1, field[0] // factor), max(1, field[1] // factor))
    reach = largest_drift * max(small)
    grid = Grid(small, int(np.ceil(reach / 2)) + _MARGIN_PX)
    match = _Match(coarse, grid, 2.5 * reach + 2)
    best, step = np.zeros(2), reach / 4
    least = match.score(best)[0]
    for count in (4, 2, 2):
        ticks = step * np.arange(-count, count + 1)
        middle = best
        for move in np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(
            -1, 2
        ):
            score = match.score(middle + move)[0]
            if score > least + 1e-3:
                best, least = middle + move, score
        step /= 2.5
    shifts = match.score(best)[1]
    offsets = []
    for scan, shift in zip(scans, shifts, strict=True):
        time = np.linspace(-0.5, 0.5, len(scan.values))[:, None]
        offsets.append((best * time + shift) * factor)
    return _centred(offsets), bool(np.abs(best).max() >= reach)


def _binned(scan: Scan, factor: int) -> Scan:
    """Return a scan of blocks; places in px of the blocks, about the same centre."""
    lines, pixels = (n // factor for n in scan.values.shape)
    window = tuple(
        slice((n - m * factor) // 2, (n - m * factor) // 2 + m * factor)
        for n, m in zip(scan.values.shape, (lines, pixels), strict=True)
    )

    def mean(array: FloatArray) -> FloatArray:
        blocks = (lines, factor, pixels, factor, *array.shape[2:])
        return np.asarray(array[window].reshape(blocks).mean(axis=(1, 3)))

    return Scan(mean(scan.values), mean(scan.weight), mean(scan.places_yx) / factor)


class _Match:
    """How well coarse scans agree for a velocity, at the best shift between them."""

    def __init__(self, scans: list[Scan], grid: Grid, largest_px: float) -> None:
        self._scans, self._grid = [scan.blurred(1.0) for scan in scans], grid
        rows, columns = grid.shape
        self._shape = (2 * rows, 2 * columns)
        y, x = (np.fft.fftfreq(n) * n for n in self._shape)
        self._moves = np.hypot(y[:, None], x)
        self._far = self._moves > largest_px

    def score(self, drift_px: FloatArray) -> tuple[float, list[FloatArray]]:
        """Return the mean correlation with the first scan, and a shift per scan.

        drift_px: (2,) y and x over the whole of a scan.
        """
        spectra = []
        for scan in self._scans:
            time = np.linspace(-0.5, 0.5, len(scan.values))[:, None]
            image, density = self._grid.lay([scan], [drift_px * time], rounds=1)
            inside = density > COVERED
            mean = image[inside].mean() if inside.any() else 0.0
            flat = np.where(inside, image - mean, 0)
            wide = ndimage.gaussian_filter(flat, 8, mode="constant")
            flat = np.where(inside, flat - wide, 0)
            power = float(np.sqrt((flat**2).sum())) or 1.0
            spectra.append(np.fft.rfft2(flat / power, self._shape))
        shifts, total = [np.zeros(2)], 0.0
        for spectrum in spectra[1:]:
            product = spectra[0] * spectrum.conj()
            overlap = np.fft.irfft2(product, self._shape)
            overlap[self._far] = -np.inf
            peak = np.unravel_index(int(np.argmax(overlap)), self._shape)
            total += float(overlap[peak])
            shifts.append(
                np.array(
                    [
                        (p + n // 2) % n - n // 2
                        for p, n in zip(peak, self._shape, strict=True)
                    ],
                    np.float64,
                )
            )
        return total / max(len(spectra) - 1, 1), shifts
