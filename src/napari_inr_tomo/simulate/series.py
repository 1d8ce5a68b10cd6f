"""Simulated tilt series with known truth: misaligned, noisy, with background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.simulate.phantoms import Phantom, phantom
from napari_inr_tomo.types import FloatArray, Poses, Step, TiltSeries, Volume

PIXEL_NM = 1.0
BACKGROUND_DEGREE = 3


@dataclass(frozen=True, eq=False)
class Simulation:
    """A tilt series as a microscope gives it, and what it was made from.

    series: nominal angles, poses all zero; truth_poses: the poses it was made with;
    truth: the phantom averaged over voxels, in the intensity units of the series.
    """

    series: TiltSeries
    truth_poses: Poses
    truth: Volume

    @property
    def truth_volume(self) -> Volume:
        """The same as ``truth``."""
        return self.truth


def simulate_series(
    name: str = "sea-mine",
    size: int | tuple[int, int] = 64,
    angles_deg: ArrayLike | None = None,
    dose: float | None = None,
    axis_deg: float = 0.0,
    axis_shift_px: float = 0.0,
    shift_sigma_px: float = 0.0,
    jitter_deg: float = 0.0,
    background: float = 0.0,
    seed: int = 0,
    margin: float = 0.0,
    drift: float = 0.0,
    hot_pixels: float = 0.0,
) -> Simulation:
    """Simulate a tilt series of a phantom.

    name: one of `PHANTOMS`.  size: pixels, or (y, x); the truth is (y, y, x).
    angles_deg: (tilt,) degrees, in any order; none: -60 to 60 in steps of 2.
    dose: expected counts in the brightest pixel of the noise-free images of the
        specimen; ``Poisson(im * dose / peak) * peak / dose`` (eq. 10 with the scale it
        leaves open), so the intensity units do not change.  None: no noise.
    axis_deg: angle of the tilt axis from +x towards +y; axis_shift_px: its distance
        from the centre of the image, along +y turned by the same angle.
    shift_sigma_px: standard deviation of random shifts of every tilt, x and y.
    jitter_deg: standard deviation of random changes of z1 and z3 of every tilt.
        The tilt nearest 0 degrees gets neither.
    background: maximum of a smooth non-negative polynomial of degree 3 in x and y that
        changes slowly with the tilt, as a fraction of the brightest pixel.
    seed: of everything random.  margin: share of the field left empty around the
        phantom's box.
    drift: how much brighter or darker the beam gets, as a share: the images are
        multiplied by ``exp(drift * a)`` with a smooth curve a over the order of the
        stack, of mean 0 and largest distance 1 from 0.
    hot_pixels: share of pixels that are far too bright (up to 4 times the brightest):
        half of them in the same places in every image, half anew in each.
    Raises `UserError` for settings that make no sense.
    """
    shape_yx = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    angles = _checked_angles(angles_deg)
    _check_sizes(
        axis_deg=axis_deg,
        axis_shift_px=axis_shift_px,
        shift_sigma_px=shift_sigma_px,
        jitter_deg=jitter_deg,
        background=background,
        dose=dose,
        margin=margin,
        drift=drift,
        hot_pixels=hot_pixels,
        seed=seed,
    )
    if margin >= 1:
        raise UserError(
            "The margin leaves no room for the phantom",
            f"it is {margin}, a share of the field",
            "Give a margin from 0 to below 1",
        )
    box = (shape_yx[0], *shape_yx)
    inner = (max(1, round(n * (1 - margin))) for n in box)
    thing = phantom(name, (next(inner), next(inner), next(inner)))
    moves, counts, glow, beam, sparks = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(5)
    )
    poses = _poses(angles, axis_deg, axis_shift_px, shift_sigma_px, jitter_deg, moves)
    images = thing.project(angles, poses, shape_yx).astype(np.float64)
    peak = float(images.max())
    if background:
        images += background * peak * _background(angles, shape_yx, glow)
    if drift:
        images *= _beam(len(angles), drift, beam)[:, None, None]
    if dose is not None:
        scale = dose / peak
        images = counts.poisson(np.maximum(images, 0) * scale) / scale
    if hot_pixels:
        _add_hot_pixels(images, hot_pixels, peak, sparks)
    parameters = {
        "phantom": name,
        "size_yx": list(shape_yx),
        "dose": dose,
        "axis_deg": axis_deg,
        "axis_shift_px": axis_shift_px,
        "shift_sigma_px": shift_sigma_px,
        "jitter_deg": jitter_deg,
        "background": background,
        "seed": seed,
        "margin": margin,
        "drift": drift,
        "hot_pixels": hot_pixels,
    }
    return _simulation(thing, box, images, angles, poses, Step("simulate", parameters))


def _simulation(
    thing: Phantom,
    box: tuple[int, int, int],
    images: FloatArray,
    angles: FloatArray,
    poses: Poses,
    step: Step,
) -> Simulation:
    series = TiltSeries(
        images=images.astype(np.float32),
        angles_deg=angles,
        pixel_size_nm=PIXEL_NM,
        name=f"simulated {thing.name}",
        angle_source="simulated",
        history=(step,),
    )
    truth = Volume(thing.voxelise(box), PIXEL_NM, f"{thing.name} truth", (step,))
    return Simulation(series, poses, truth)


def _poses(
    angles: FloatArray,
    axis_deg: float,
    axis_shift_px: float,
    shift_sigma_px: float,
    jitter_deg: float,
    rng: np.random.Generator,
) -> Poses:
    """Return one tilt axis for all, and random changes but for the reference."""
    count = len(angles)
    turn = np.deg2rad(axis_deg)
    dx, dy = -axis_shift_px * np.sin(turn), axis_shift_px * np.cos(turn)
    spread = np.array([jitter_deg, jitter_deg, shift_sigma_px, shift_sigma_px])
    changes = rng.normal(size=(count, 4)) * spread
    changes[int(np.argmin(np.abs(angles)))] = 0
    axis = Poses.from_axis(count, axis_deg, dx, dy)
    return Poses.from_array(axis.as_array() + changes)


def _bernstein(count: int) -> FloatArray:
    """Return (degree + 1, count) Bernstein polynomials over [0, 1]."""
    t = np.linspace(0, 1, count)
    n = BACKGROUND_DEGREE
    binomial = [1.0, 3.0, 3.0, 1.0]
    return np.stack([binomial[k] * t**k * (1 - t) ** (n - k) for k in range(n + 1)])


def _background(
    angles: FloatArray, shape_yx: tuple[int, int], rng: np.random.Generator
) -> FloatArray:
    """Return (tilt, y, x) with values above 0 and a maximum of 1."""
    first, last = rng.uniform(
        0.1, 1.0, (2, BACKGROUND_DEGREE + 1, BACKGROUND_DEGREE + 1)
    )
    span = float(np.ptp(angles)) or 1.0
    along = ((angles - angles.min()) / span)[:, None, None]
    weights = first + along * (last - first)
    glow = np.einsum(
        "tij,iy,jx->tyx", weights, _bernstein(shape_yx[0]), _bernstein(shape_yx[1])
    )
    return np.asarray(glow / glow.max())


def _beam(count: int, drift: float, rng: np.random.Generator) -> FloatArray:
    """Return (tilt,) intensities of the beam around 1, a smooth curve."""
    along = np.linspace(0, np.pi, count)
    waves = np.cos(np.arange(1, 4)[:, None] * along)
    curve = (rng.normal(size=3) / np.arange(1, 4)) @ waves
    curve -= curve.mean()
    return np.exp(drift * curve / max(float(np.abs(curve).max()), 1e-12))


def _add_hot_pixels(
    images: FloatArray, share: float, peak: float, rng: np.random.Generator
) -> None:
    """Add to some pixels, in place, 0.5 to 4 times the brightest pixel."""
    fixed = rng.random(images.shape[1:]) < share / 2
    images += fixed * rng.uniform(0.5, 4, images.shape[1:]) * peak
    single = rng.random(images.shape) < share / 2
    images += single * rng.uniform(0.5, 4, images.shape) * peak


def _checked_angles(angles_deg: ArrayLike | None) -> FloatArray:
    if angles_deg is None:
        return np.arange(-60.0, 61.0, 2.0)
    angles = np.atleast_1d(np.asarray(angles_deg, np.float64))
    if angles.ndim != 1 or angles.size == 0 or not np.isfinite(angles).all():
        raise UserError(
            "The tilt angles cannot be simulated",
            "they must be a list of one or more finite numbers, in degrees",
            "Give them as start:stop:step, e.g. -60:60:2",
        )
    return angles


def _check_sizes(**settings: Any) -> None:
    free = ("axis_deg", "axis_shift_px")
    for name, value in settings.items():
        if value is None:
            continue
        lowest = -np.inf if name in free else 0.0
        if not np.isfinite(value) or value < lowest or (name == "dose" and value == 0):
            raise UserError(
                f"The setting {name} makes no sense",
                f"it is {value}",
                "Give a finite number"
                + (
                    ""
                    if name in free
                    else " above zero"
                    if name == "dose"
                    else ", not negative"
                ),
            )
