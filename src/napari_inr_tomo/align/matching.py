"""Projection matching: every tilt laid on what a reconstruction of all predicts.

In turns, the slices across the tilt axis are reconstructed at the present poses and all
poses take one Gauss-Newton step towards the measured images: the shift and the
brightness of every tilt, and one angle of the axis for all.  Coarse images first, then
ever finer ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.align.frame import border_level, filled_images
from napari_inr_tomo.geometry import centred, default_depth, fix_gauge
from napari_inr_tomo.parallel2d import joseph_matrix
from napari_inr_tomo.passes import pass_axes
from napari_inr_tomo.types import FloatArray, IntArray, Poses, TiltSeries

Float32Array = NDArray[np.float32]

Levels = tuple[tuple[int, int, int], ...]

LEVELS: Levels = ((32, 20, 10), (48, 20, 8), (64, 20, 4))
"""Longest edge of the images in px, iterations for a step (three times as many for the
first), most steps.  Every step goes on from the object of the one before."""
_BLUR_PX = 1.0
_WIDE_PX = 4.0
_CORRELATED_PX = 4 * np.pi * _BLUR_PX**2  # pixels that share their noise by the blur
_MARGIN = 0.125
_MOST_DEG, _MOST_PX, _MOST_GAIN = 3.0, 2.0, 10.0
_SETTLED_DEG, _SETTLED_PX = 0.01, 0.01


@dataclass(frozen=True, eq=False)
class MatchQuality:
    """How well the object that was found explains the tilts.

    residual: (tilt,) rms of what is left over that of the image, 0 to 1, coarse.
    axis_sigma_deg: standard deviation of the axis angle by what is left of the images
    and the curvature of the misfit, the object adapting itself.
    axis_spread_deg: standard deviation of the axis angle by how far the tilts disagree
    about it, noise and all else that goes wrong taken together.
    last_step_deg, last_step_px: what the last step still changed.
    """

    residual: FloatArray
    axis_sigma_deg: float
    axis_spread_deg: float
    last_step_deg: float
    last_step_px: float

    @property
    def settled(self) -> bool:
        """Whether the last step changed next to nothing."""
        return self.last_step_deg < _SETTLED_DEG and self.last_step_px < _SETTLED_PX


class _Pace:
    """The step of the axis angle: the secant through the last two wishes.

    The object that is reconstructed explains part of a wrong angle, and so the wish is
    only a part of the way, each time the same part.
    """

    def __init__(self) -> None:
        self._wish = self._taken = self._longest = 0.0
        self.share = 1 / _MOST_GAIN
        """The part of the way that is wished, as the longest turn has shown it."""

    def __call__(self, wish: float) -> float:
        """Return the turn to take, degrees."""
        fall = (self._wish - wish) / self._taken if self._taken else 1.0
        if abs(self._taken) > self._longest:
            self._longest = abs(self._taken)
            self.share = float(np.clip(fall, 1 / (5 * _MOST_GAIN), 1.0))
        gain = 1 / fall if fall > 1 / _MOST_GAIN else _MOST_GAIN
        if wish * self._wish <= 0:
            gain = 1.0
        turn = float(np.clip(wish * min(gain, _MOST_GAIN), -_MOST_DEG, _MOST_DEG))
        self._wish, self._taken = wish, turn
        return turn


class _Turns:
    """The turn of the axis of every pass: one for all, and what each pass has more."""

    def __init__(self, groups: IntArray) -> None:
        self.common = _Pace()
        numbers = np.unique(groups)
        self._passes = [(groups == number, _Pace()) for number in numbers]

    def __call__(self, pull: FloatArray, power: FloatArray) -> FloatArray:
        """Return the (tilt,) turns to take, degrees, from what every tilt wishes.

        pull, power: (tilt,) right-hand side and curvature of its own turn.
        """
        wish = float(pull.sum()) / max(float(power.sum()), 1e-12)
        turns = np.zeros(len(pull))
        if len(self._passes) > 1:
            for members, pace in self._passes:
                total = max(float(power[members].sum()), 1e-12)
                turns[members] = pace(float(pull[members].sum()) / total - wish)
            turns -= turns.mean()
        return turns + self.common(wish)


class Matcher:
    """The images of one level, and the projector of the slices in the axis frame."""

    def __init__(self, series: TiltSeries, edge_px: int) -> None:
        images = filled_images(series)
        shape = images.shape[1:]
        self.angles_deg = series.angles_deg
        self._groups = series.groups
        self.factor = max(shape) / min(edge_px, max(shape))
        self._shape = shape
        self._fine = max(self.factor / 2, 1.0)
        soft = [self._prepared(image) for image in images]
        # the least numbers below are for intensities around 1, whatever their unit
        unit = max(float(np.abs(image).max()) for image in soft) or 1.0
        self._images = [np.asarray(image / unit, np.float32) for image in soft]
        axis_deg = series.start_poses.axis_deg
        c, s = np.abs([np.cos(np.deg2rad(axis_deg)), np.sin(np.deg2rad(axis_deg))])
        grow = (1 + 2 * _MARGIN) / self.factor
        self.across = max(4, round(grow * float(c * shape[0] + s * shape[1])))
        self.along = max(4, round(grow * float(s * shape[0] + c * shape[1])))
        self.depth = max(4, round(default_depth(shape, axis_deg) / self.factor))
        grid = (self.depth, self.across)
        self._forward = joseph_matrix(self.angles_deg, grid, self.across)
        self._back = self._forward.T.tocsr()
        self.volume = np.zeros((self._back.shape[0], self.along), np.float32)
        self._turned: Float32Array | float = 0.0

    def _prepared(self, image: Float32Array) -> Float32Array:
        """Return an image without its level, blurred, as spline coefficients."""
        flat = image - np.float32(border_level(image))
        soft = ndimage.gaussian_filter(flat, _BLUR_PX * self.factor, mode="nearest")
        small = soft
        if self._fine > 1:
            places = [
                centred(int(n // self._fine)) * self._fine + (n - 1) / 2
                for n in self._shape
            ]
            small = ndimage.map_coordinates(
                soft, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest"
            )
        return np.asarray(ndimage.spline_filter(small, 3, np.float32, mode="mirror"))

    def frames(self, poses: Poses) -> tuple[Float32Array, Float32Array]:
        """Return images and weights (tilt, v, u) at these poses, the axis along u."""
        count = len(self._images)
        shape = (self.across, self.along)
        images = np.zeros((count, *shape), np.float32)
        weight = np.zeros((count, *shape), np.float32)
        turn = np.deg2rad(poses.z3_deg + poses.z1_deg - poses.z1_deg.mean())
        u, v = centred(self.along) * self.factor, centred(self.across) * self.factor
        for tilt in range(count):
            c, s = np.cos(turn[tilt]), np.sin(turn[tilt])
            x = c * u - s * v[:, None] + poses.dx_px[tilt]
            y = s * u + c * v[:, None] + poses.dy_px[tilt]
            rows, columns = self._images[tilt].shape
            place = [
                y / self._fine + (rows - 1) / 2,
                x / self._fine + (columns - 1) / 2,
            ]
            images[tilt] = ndimage.map_coordinates(
                self._images[tilt], place, order=3, mode="nearest", prefilter=False
            )
            edge = np.minimum(
                np.minimum(place[0], rows - 1 - place[0]),
                np.minimum(place[1], columns - 1 - place[1]),
            )
            weight[tilt] = np.clip(edge * self._fine / (2 * self.factor), 0, 1)
        return images, weight

    def reconstruct(
        self, images: Float32Array, weight: Float32Array, iterations: int
    ) -> tuple[Float32Array, Float32Array]:
        """Return the object (z * v, u) and its projections (tilt, v, u).

        Non-negative least squares by scaled gradient steps with momentum.  Source: the
        row and column scaling of SIRT (Gregor and Benson 2008) with the momentum of
        Beck and Teboulle (2009).
        """
        seen = (_columns(weight) > 0).astype(np.float32)
        data = _columns(images)
        length = np.asarray(self._forward.sum(axis=1), np.float32).reshape(-1, 1)
        row = np.where(length > 0.5, 1 / np.maximum(length, 0.5), 0) * seen
        reach = self._back @ seen
        column = np.where(reach > 0.5, 1 / np.maximum(reach, 0.5), 0)
        guess = self.volume
        ahead, pace = guess, 1.0
        for _ in range(iterations):
            residual = row * (data - self._forward @ ahead)
            better = np.maximum(ahead + column * (self._back @ residual), 0)
            faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            ahead = better + np.float32((pace - 1) / faster) * (better - guess)
            guess, pace = better, faster
        self.volume = guess
        return guess, self._project(guess)

    def _project(self, volume: Float32Array) -> Float32Array:
        flat = (self._forward @ volume).reshape(-1, self.across, self.along)
        return np.asarray(flat, np.float32)

    def slopes(self, volume: Float32Array, predicted: Float32Array) -> Float32Array:
        """Return (4, tilt, v, u): change of the prediction by u, v, gain, axis angle.

        u and v in px of the level, the gain as a factor, the angle in degrees.
        """
        along_v, along_u = (np.gradient(predicted, axis=k) for k in (1, 2))
        u, v = (centred(n).astype(np.float32) for n in (self.along, self.across))
        turned = v[:, None] * along_u - u * along_v
        solid = volume.reshape(self.depth, self.across, self.along)
        solid_v, solid_u = (np.gradient(solid, axis=k) for k in (1, 2))
        object_turned = v[:, None] * solid_u - u * solid_v
        turned -= self._project(object_turned.reshape(volume.shape))
        degree = np.float32(np.pi / 180)
        return np.stack([-along_u, -along_v, predicted, degree * turned])

    def _lean(self, poses: Poses) -> Float32Array:
        """Return (tilt, 1, 1): degrees between the axis of its pass and that of all."""
        lean = pass_axes(poses, self._groups) - poses.axis_deg
        return lean.astype(np.float32)[:, None, None]

    def step(
        self, poses: Poses, iterations: int, turns: _Turns | None
    ) -> tuple[Poses, MatchQuality]:
        """Return the poses after one step, not yet in the gauge, and the quality.

        turns: how far the axes turn; None holds them.  The projector knows the axis of
        all; what a pass deviates from it, some degrees, is taken to first order.
        """
        images, weight = self.frames(poses)
        lean = self._lean(poses)
        data = images - lean * self._turned
        volume, predicted = self.reconstruct(data, weight, iterations)
        slopes = self.slopes(volume, predicted)
        self._turned = slopes[3]
        residual = weight * _high_pass(images - predicted - lean * self._turned)
        slopes = weight * _high_pass(slopes)
        turn, sigma, spread, shift = _solve(residual, slopes, turns)
        if turns is not None:
            sigma *= float(np.sqrt(_CORRELATED_PX / turns.common.share))
            spread /= turns.common.share
        angle = np.deg2rad(poses.z3_deg)
        c, s = np.cos(angle), np.sin(angle)
        dx = poses.dx_px + self.factor * (c * shift[:, 0] - s * shift[:, 1])
        dy = poses.dy_px + self.factor * (s * shift[:, 0] + c * shift[:, 1])
        energy = ((weight * images) ** 2).sum(axis=(1, 2))
        left = np.sqrt((residual**2).sum(axis=(1, 2)) / np.maximum(energy, 1e-30))
        moved = self.factor * float(np.sqrt(np.mean(shift**2)))
        largest = float(np.abs(turn).max())
        quality = MatchQuality(left.astype(np.float64), sigma, spread, largest, moved)
        return Poses(poses.z1_deg - turn, poses.z3_deg + turn, dx, dy), quality


def match(
    series: TiltSeries, turning: bool = True, levels: Levels = LEVELS
) -> tuple[Poses, MatchQuality]:
    """Return the poses that explain all tilts of a series best, and how well.

    series: all its views are used.  turning: refine the angle of the axis of every
    pass, too.
    """
    start = poses = series.start_poses
    quality = MatchQuality(np.ones(len(series)), *[np.inf] * 4)
    turns = _Turns(series.groups) if turning else None
    for edge, iterations, steps in levels:
        matcher = Matcher(series.evolve(poses=poses), edge)
        for number in range(steps):
            count = iterations if number else 3 * iterations
            moved, quality = matcher.step(poses, count, turns)
            held = Poses(moved.z1_deg, moved.z3_deg, start.dx_px, start.dy_px)
            poses, _ = fix_gauge(series.angles_deg, moved, held, series.reference)
            if quality.settled:
                break
    return poses, quality


def _high_pass(frames: NDArray[Any]) -> Float32Array:
    """Return (..., v, u) without what is wider than a few px: background, drift."""
    wide = [0.0] * (frames.ndim - 2) + [_WIDE_PX, _WIDE_PX]
    return np.asarray(frames - ndimage.gaussian_filter(frames, wide, mode="nearest"))


def _columns(frames: Float32Array) -> Float32Array:
    """Return (tilt * v, u)."""
    return np.ascontiguousarray(frames.reshape(-1, frames.shape[2]))


def _solve(
    residual: Float32Array, slopes: Float32Array, turns: _Turns | None
) -> tuple[FloatArray, float, float, FloatArray]:
    """Return the turns (tilt,), sigma and spread of one for all, and the shifts.

    The shifts are (tilt, 2) u, v.  The unknowns of a tilt are eliminated first (Schur
    complement).  The spread is that of the sandwich estimator, every tilt a cluster
    (Liang and Zeger 1986).
    """
    count = residual.shape[0]
    left = slopes.reshape(4, count, -1).astype(np.float64).transpose(1, 0, 2)
    right = residual.reshape(count, -1).astype(np.float64)
    normal = left @ left.transpose(0, 2, 1)
    force = (left @ right[:, :, None])[..., 0]
    own = normal[:, :3, :3] + np.eye(3) * (
        1e-3 * np.trace(normal[:, :2, :2].mean(axis=0)) / 2 + 1e-12
    )
    own[:, 2, 2] += 1e-3 * normal[:, 2, 2]
    inverse = np.linalg.inv(own)
    cross = normal[:, :3, 3]
    toward = np.einsum("tij,tj->ti", inverse, cross)
    power = normal[:, 3, 3] - (cross * toward).sum(axis=1)
    pull = force[:, 3] - (force[:, :3] * toward).sum(axis=1)
    total = max(float(power.sum()), 1e-30)
    turn = np.zeros(count) if turns is None else turns(pull, power)
    change = np.einsum("tij,tj->ti", inverse, force[:, :3] - turn[:, None] * cross)
    sigma = float(np.sqrt(np.mean(right**2) / total))
    spread = float(np.sqrt((pull**2).sum())) / total
    return turn, sigma, spread, np.clip(change[:, :2], -_MOST_PX, _MOST_PX)
