"""How near a reconstruction is to the truth, and poses to theirs.

Volumes are (z, y, x) in the same intensity units and on the same voxels.  Every number
that needs a range of intensities takes it from the truth, so that a bright artefact in
a reconstruction cannot change its own yardstick.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import align_gauge
from napari_inr_tomo.types import FloatArray, ImageArray, Poses, Volume

Data = Volume | NDArray[Any]
Criterion = float | Literal["half-bit"]

_WINDOW = 7


def _array(volume: Data) -> FloatArray:
    return np.asarray(volume.data if isinstance(volume, Volume) else volume, np.float64)


def _pair(volume: Data, truth: Data) -> tuple[FloatArray, FloatArray]:
    """Return both as float64 of one shape; raises `UserError` where they differ."""
    a, b = _array(volume), _array(truth)
    if a.shape != b.shape:
        raise UserError(
            "The volumes cannot be compared",
            f"their shapes (z, y, x) are {a.shape} and {b.shape}",
            "Reconstruct with the depth and the image size of the truth",
        )
    for name, data in (("volume", a), ("truth", b)):
        if not np.isfinite(data).all():
            raise UserError(
                "The volumes cannot be compared",
                f"the {name} holds NaN or infinite voxels",
                "Repeat the reconstruction, or export it again",
            )
    return a, b


def _range(truth: FloatArray) -> float:
    span = float(np.ptp(truth))
    if span <= 0:
        raise UserError(
            "The volumes cannot be compared",
            "every voxel of the truth has the same value",
            "Check that the second file is the right one",
        )
    return span


def _ssim_map(a: FloatArray, b: FloatArray, span: float) -> FloatArray:
    from skimage.metrics import structural_similarity

    window = min(_WINDOW, *a.shape)
    window -= 1 - window % 2
    if window < 3:
        raise UserError(
            "The similarity cannot be computed",
            f"the shape is {a.shape} and every side must have 3 voxels or more",
            "Compare larger volumes",
        )
    _, full = structural_similarity(
        a, b, data_range=span, win_size=window, gradient=False, full=True
    )
    return np.asarray(full, np.float64)


def _inner_mean(values: FloatArray) -> float:
    """Return the mean but for the border where the window is incomplete."""
    border = [
        slice(min(3, (n - 1) // 2), n - min(3, (n - 1) // 2)) for n in values.shape
    ]
    return float(values[tuple(border)].mean())


def ssim(volume: Data, truth: Data) -> float:
    """Return the structural similarity of two volumes with 7 x 7 x 7 windows.

    The range of intensities is that of the truth.  Source: Wang et al. 2004.
    """
    a, b = _pair(volume, truth)
    return _inner_mean(_ssim_map(a, b, _range(b)))


def ssim_in_support(volume: Data, truth: Data, threshold: float = 0.01) -> float:
    """Return the same similarity, averaged over the specimen only.

    threshold: the specimen is where the truth is above its minimum by more than this
    fraction of its range.  Vacuum, easy to get right, does not flatter this number.
    """
    a, b = _pair(volume, truth)
    span = _range(b)
    return _support_mean(_ssim_map(a, b, span), b, span, threshold)


def _support_mean(
    values: FloatArray, b: FloatArray, span: float, threshold: float = 0.01
) -> float:
    """Return the mean where the truth is above its minimum by a part of its range."""
    return float(values[b > b.min() + threshold * span].mean())


def ssim_slices(volume: Data, truth: Data, axis: int = 2) -> float:
    """Return the mean of the two-dimensional similarity over all slices.

    axis: the slices are perpendicular to it (0 z, 1 y, 2 x: those that hold the
    missing wedge).  The range of intensities is that of the whole truth.
    """
    a, b = _pair(volume, truth)
    span = _range(b)
    pairs = zip(np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0), strict=True)
    return float(np.mean([_inner_mean(_ssim_map(p, q, span)) for p, q in pairs]))


def ssim_central(volume: Data, truth: Data, axis: int = 2, thickness: int = 5) -> float:
    """Return the similarity of the mean of the middle slices (figure 2 of the paper).

    axis: the slices are perpendicular to it; thickness: slices averaged.
    """
    a, b = _pair(volume, truth)
    first = max((a.shape[axis] - thickness) // 2, 0)
    middle = slice(first, first + thickness)
    p, q = (np.moveaxis(data, axis, 0)[middle].mean(axis=0) for data in (a, b))
    return _inner_mean(_ssim_map(p, q, _range(q)))


def psnr(volume: Data, truth: Data) -> float:
    """Return the peak signal-to-noise ratio in dB; the peak is the truth's range.

    Infinite where the two are equal.
    """
    a, b = _pair(volume, truth)
    error = float(np.mean((a - b) ** 2))
    return 10 * math.log10(_range(b) ** 2 / error) if error > 0 else math.inf


def fit_scale(volume: Data, truth: Data) -> float:
    """Return the factor on ``volume`` that brings it nearest to ``truth``.

    Least squares; 0 where the volume is blank.  Near 1 if the units are right.
    """
    a, b = _pair(volume, truth)
    power = float((a * a).sum())
    return float((a * b).sum()) / power if power > 0 else 0.0


def _shells(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the frequency, correlation and number of Fourier voxels of every shell."""
    shape = a.shape
    frequencies = [np.fft.fftfreq(n) for n in shape[:-1]]
    frequencies.append(np.fft.rfftfreq(shape[-1]))
    grids = np.meshgrid(*frequencies, indexing="ij", sparse=True)
    radius = np.sqrt(sum(f**2 for f in grids))
    count = min(shape) // 2
    shell = np.rint(radius * min(shape)).astype(np.intp)
    # the half spectrum holds one of every pair of conjugate voxels
    last = np.full(shape[-1] // 2 + 1, 2.0)
    last[0] = 1
    if shape[-1] % 2 == 0:
        last[-1] = 1
    weights = np.broadcast_to(last, radius.shape)

    def gather(values: FloatArray) -> FloatArray:
        flat = np.bincount(shell.ravel(), (weights * values).ravel())
        return np.asarray(flat[: count + 1], np.float64)

    fa, fb = np.fft.rfftn(a), np.fft.rfftn(b)
    cross = gather((fa * fb.conj()).real)
    power = np.sqrt(gather(np.abs(fa) ** 2) * gather(np.abs(fb) ** 2))
    curve = np.divide(cross, power, out=np.zeros_like(cross), where=power > 0)
    return np.arange(count + 1) / min(shape), curve, gather(np.ones_like(radius))


def fsc(volume: Data, truth: Data) -> tuple[FloatArray, FloatArray]:
    """Return the Fourier shell correlation of two volumes.

    Returns the spatial frequency in 1/px, from 0 to 0.5 in steps of one over the
    shortest side, and the correlation of every shell (0 where a shell is empty).
    """
    frequency, curve, _ = _shells(*_pair(volume, truth))
    return frequency, curve


def fsc_half_bit(
    volume: Data, truth: Data
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what `fsc` does, and the half-bit limit of every shell.

    Source: equation 17 of van Heel and Schatz 2005.
    """
    frequency, curve, counts = _shells(*_pair(volume, truth))
    return frequency, curve, _half_bit(counts)


def _half_bit(counts: FloatArray) -> FloatArray:
    root = 1 / np.sqrt(counts)
    return np.asarray((0.2071 + 1.9102 * root) / (1.2071 + 0.9102 * root))


def fsc_resolution(volume: Data, truth: Data, criterion: Criterion = 0.5) -> float:
    """Return the resolution in px: one over where the correlation first falls below.

    criterion: a number (0.5 suits a volume against the truth, 0.143 two halves of one
    data set) or "half-bit" (van Heel and Schatz 2005).  2 px, the finest there is, if
    the curve stays above; infinite if it never rises above.
    """
    return _crossing(*_shells(*_pair(volume, truth)), criterion)


def _crossing(
    frequency: FloatArray, curve: FloatArray, counts: FloatArray, criterion: Criterion
) -> float:
    """Return one over the frequency of the first fall below the criterion."""
    if criterion == "half-bit":
        limit = _half_bit(counts)
    else:
        limit = np.full_like(curve, float(criterion))
    margin = (curve - limit)[1:]
    below = np.flatnonzero(margin < 0)
    if len(below) == 0:
        return 2.0
    k = int(below[0])
    if k == 0:
        return math.inf
    part = margin[k - 1] / (margin[k - 1] - margin[k])
    return float(1 / (frequency[k] + part * (frequency[k + 1] - frequency[k])))


def fsc_by_direction(
    volume: Data,
    truth: Data,
    axis_deg: float = 0.0,
    criterion: float = 0.5,
    sectors: int = 18,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how far two volumes agree in every direction across the tilt axis.

    axis_deg: of the tilt axis in the image plane.  A direction is named by the tilt
    angle whose image measures it: 0 lies in the image plane, 90 along the beam.
    Returns the (sector,) middle angles in degrees, -90 to 90; the frequency in 1/px
    where the correlation of the sector first falls below the criterion (0.5 the finest,
    0 never above); and the mean correlation of its shells.  A sector leaves out what
    lies nearer the tilt axis than 45 degrees, which belongs to no direction.
    """
    a, b = _pair(volume, truth)
    nz, ny, nx = a.shape
    kz = np.fft.fftfreq(nz)[:, None, None]
    ky = np.fft.fftfreq(ny)[:, None]
    kx = np.fft.rfftfreq(nx)
    turn = math.radians(axis_deg)
    along = kx * math.cos(turn) + ky * math.sin(turn)
    across = ky * math.cos(turn) - kx * math.sin(turn)
    in_plane = np.hypot(across, kz)
    # an image at tilt theta holds the direction (cos theta, -sin theta)
    angle = np.degrees(np.arctan2(-kz, across))
    angle = (angle + 90) % 180 - 90
    width = 180 / sectors
    sector = np.minimum(((angle + 90) / width).astype(np.intp), sectors - 1)
    shortest = min(a.shape)
    count = shortest // 2
    shell = np.rint(np.sqrt(in_plane**2 + along**2) * shortest).astype(np.intp)
    keep = (np.abs(along) < in_plane) & (shell <= count)
    index = (sector * (count + 1) + shell)[keep]
    fa, fb = np.fft.rfftn(a)[keep], np.fft.rfftn(b)[keep]

    def gather(values: FloatArray) -> FloatArray:
        flat = np.bincount(index, values, sectors * (count + 1))
        return np.asarray(flat.reshape(sectors, count + 1), np.float64)

    cross = gather((fa * fb.conj()).real)
    power = np.sqrt(gather(np.abs(fa) ** 2) * gather(np.abs(fb) ** 2))
    curves = np.divide(cross, power, out=np.zeros_like(cross), where=power > 0)
    frequency = np.arange(count + 1) / shortest
    reached, mean = np.empty(sectors), np.zeros(sectors)
    for k, curve in enumerate(curves):
        filled = np.flatnonzero(power[k] > 0)
        filled = np.concatenate([[0], filled[filled > 0]])
        known = frequency[filled], curve[filled], np.ones(len(filled))
        reached[k] = 1 / _crossing(*known, criterion)
        if len(filled) > 1:
            mean[k] = curve[filled[1:]].mean()
    middles = np.asarray((np.arange(sectors) + 0.5) * width - 90, np.float64)
    return middles, reached, mean


def register(
    volume: Data, truth: Data
) -> tuple[ImageArray, tuple[float, float, float]]:
    """Move a volume onto the truth: the translation that no tilt series can tell.

    Returns the moved (z, y, x) float32 volume (cubic spline within the range of the
    volume, 0 from outside) and the shift (z, y, x) in px that was applied.  The shift
    is the peak of the cross-correlation to a hundredth of a pixel; beyond half a side
    it is ambiguous.
    """
    return _moved_onto(*_pair(volume, truth))


def _moved_onto(
    a: FloatArray, b: FloatArray
) -> tuple[ImageArray, tuple[float, float, float]]:
    """Return what `register` does.

    A spline swings beyond the values at sharp edges, which are cut off: else a volume
    without negative intensities would be shown, and judged, with some.
    """
    from scipy.ndimage import shift as moved
    from skimage.registration import phase_cross_correlation

    if not a.any() or not b.any():
        return a.astype(np.float32), (0.0, 0.0, 0.0)
    found, _, _ = phase_cross_correlation(b, a, upsample_factor=100, normalization=None)
    z, y, x = (float(value) for value in found)
    data = moved(a, (z, y, x), order=3, mode="constant", cval=np.nan)  # outside
    data = np.nan_to_num(np.clip(data, a.min(), a.max()))
    return np.asarray(data, np.float32), (z, y, x)


def pose_errors(angles_deg: ArrayLike, poses: Poses, truth: Poses) -> dict[str, float]:
    """Return how far poses are from the truth, once the gauge is aligned.

    The object's translation is taken out first (`geometry.align_gauge`).  Keys:
    ``axis_deg`` mean tilt-axis angle, signed; ``z1_deg``, ``z3_deg`` and ``z1_z3_deg``
    (their sum: the in-plane turn, all that low tilts show) root mean square in degrees;
    ``dx_px``, ``dy_px`` and ``shift_px`` (both together) root mean square in pixels.
    """
    if len(poses) != len(truth):
        raise UserError(
            "The poses cannot be compared",
            f"there are {len(poses)} and {len(truth)} of them",
            "Give the poses of the same tilt series",
        )
    aligned = align_gauge(angles_deg, poses, truth)
    z1, z3, dx, dy = (aligned.as_array() - truth.as_array()).T
    z1, z3 = _wrapped(z1), _wrapped(z3)
    return {
        "axis_deg": float(np.mean(z3 - z1) / 2),
        "z1_deg": _rms(z1),
        "z3_deg": _rms(z3),
        "z1_z3_deg": _rms(z1 + z3),
        "dx_px": _rms(dx),
        "dy_px": _rms(dy),
        "shift_px": math.hypot(_rms(dx), _rms(dy)),
    }


def _wrapped(angle_deg: FloatArray) -> FloatArray:
    return np.asarray((angle_deg + 180) % 360 - 180)


def _rms(values: FloatArray) -> float:
    return math.sqrt(float(np.mean(values**2)))


def compare(
    volume: Data, truth: Data, register: bool = False
) -> dict[str, float | list[float] | None]:
    """Return all figures of a volume against the truth, ready for JSON.

    register: move the volume onto the truth first; ``shift_zyx_px`` says by how much.
    Infinite figures (equal volumes, no resolution) are None.
    """
    a, b = _pair(volume, truth)
    shift = [0.0, 0.0, 0.0]
    if register:
        moved, found = _moved_onto(a, b)
        a, shift = moved.astype(np.float64), list(found)
    shells = _shells(a, b)
    similar = _ssim_map(a, b, _range(b))  # the slowest of all: once
    figures = {
        "ssim": _inner_mean(similar),
        "ssim_in_support": _support_mean(similar, b, _range(b)),
        "ssim_slices": ssim_slices(a, b),
        "ssim_central": ssim_central(a, b),
        "psnr_db": psnr(a, b),
        "fsc_0.5_px": _crossing(*shells, 0.5),
        "fsc_0.143_px": _crossing(*shells, 0.143),
        "fsc_half_bit_px": _crossing(*shells, "half-bit"),
        "scale": fit_scale(a, b),
    }
    finite = {k: v if math.isfinite(v) else None for k, v in figures.items()}
    return {**finite, "shift_zyx_px": shift}
