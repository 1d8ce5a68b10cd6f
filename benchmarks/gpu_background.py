"""The background on a card: beside the processor's, and how long both take."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from background import SETTINGS, noisy

from napari_inr_tomo.preprocess import subtract_background
from napari_inr_tomo.preprocess.arrays import to_numpy
from napari_inr_tomo.preprocess.background_fit import finite, fitted
from napari_inr_tomo.preprocess.background_settings import BackgroundSettings

TOLERANCE = 1e-6
"""float64 in another order of summation, far below the float32 of the images."""
CASES: tuple[dict[str, Any], ...] = (
    *SETTINGS.values(),
    {"edge_px": 4, "edge_weight": 2.0},
    {"automatic": False, "reweight": True},
)


class Clock(Protocol):
    """What is used of the bench."""

    device: torch.device

    def least_s(self, work: Any, repeats: int) -> float: ...
    def note(self, part: str, case: str, value: Any, unit: str) -> None: ...


def background_check(device: torch.device) -> tuple[float, float]:
    """Compare surfaces and masks of frames of many kinds.

    The error is the largest distance in parts of the largest value, or, if that is
    larger, the share of pixels on another side of the mask.
    """
    images = frames()
    values, blocked = finite(images, None)
    worst = 0.0
    for case in CASES:
        settings = BackgroundSettings(**case)
        wanted = fitted(values, blocked, (3, 3), settings)
        found = fitted(values, blocked, (3, 3), settings, device=f"{device.type}:0")
        apart = np.abs(to_numpy(found.background) - wanted.background).max()
        other = (to_numpy(found.specimen) != wanted.specimen).mean()
        worst = max(worst, apart / np.abs(values).max(), other)
        worst = worst if found.notices == wanted.notices else np.inf
    return float(worst), TOLERANCE


def frames() -> np.ndarray:
    """Return (tilt, y, x): counts, half covered, bad pixels, filled, flat."""
    series, surface = noisy(3, 270)
    images = np.asarray(series.images, float)
    rng = np.random.default_rng(0)
    grains = surface + rng.normal(size=surface.shape)
    half, bad, full = grains.copy(), grains.copy(), 1 + 0 * grains
    half[100:] += 100
    bad[rng.random(bad.shape) < 0.05] = np.nan
    full += 20 * np.sin(np.arange(270) / 5)[:, None] * np.cos(np.arange(270) / 7)
    return np.concatenate([images, np.stack([half, bad, full, 0 * full + 7])])


def background_times(bench: Clock, full: bool) -> None:
    """Measure whole series, from images to images, on the card and on all cores."""
    for tilts, size in ((71, 256), (71, 1024)) if full else ((3, 32),):
        series, _ = noisy(tilts, size)
        for case, settings in SETTINGS.items():
            for device in dict.fromkeys((bench.device.type, "cpu")):
                given = settings | {"device": device}
                seconds = bench.least_s(
                    partial(subtract_background, series, **given), 1
                )
                name = f"{tilts} of {size} x {size} px, {case}, on {device}"
                bench.note("background", name, float(f"{seconds:.3g}"), "s")
