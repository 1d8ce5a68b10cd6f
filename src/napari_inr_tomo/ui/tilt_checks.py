"""Which tilts and poses stand out; arrays only."""

from __future__ import annotations

import numpy as np

BAD_SIGMA = 4.0
JUMP_SIGMA = 5.0
LEAST_DEG_OR_PX = 0.3
"""Smaller steps and outliers are not worth a mark."""


def bad_tilts(residual: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return (tilt,) bool: whose residual stands out from that of the used ones.

    More than `BAD_SIGMA` robust standard deviations (from the median absolute
    deviation) and a fifth above the median; low residuals never are.
    """
    values = np.where(used, residual, np.nan)
    if np.isfinite(values).sum() < 5:
        return np.zeros(len(values), bool)
    middle = np.nanmedian(values)
    spread = 1.4826 * np.nanmedian(np.abs(values - middle))
    limit = middle + max(BAD_SIGMA * spread, 0.2 * abs(middle))
    return np.nan_to_num(values, nan=-np.inf) > limit


def odd_ones(values: np.ndarray) -> np.ndarray:
    """Return bool: values, in the order of the tilt angle, far from their neighbours.

    Against the median of two on either side; the scatter is that of all neighbours.
    """
    count = len(values)
    if count < 5:
        return np.zeros(count, bool)
    padded = np.pad(values, 2, mode="reflect", reflect_type="odd")
    around = np.stack([padded[k : k + count] for k in (0, 1, 3, 4)])
    away = np.abs(values - np.median(around, axis=0))
    return away > max(JUMP_SIGMA * _scatter(values), LEAST_DEG_OR_PX)


def jumps(values: np.ndarray) -> list[int]:
    """Return every k where values, in the order of the tilt angle, step for good.

    The step is between k - 1 and k: larger than the scatter of neighbours, and the
    three values before and after it differ as well (a lone outlier is no step).  A
    backlash of the goniometer looks like this.
    """
    found = []
    step = np.diff(values)
    if len(values) < 7:
        return found
    limit = max(JUMP_SIGMA * np.sqrt(2) * _scatter(values), LEAST_DEG_OR_PX)
    usual = float(np.median(step))
    for k in range(3, len(values) - 2):
        here = step[k - 1] - usual
        before, after = np.median(values[k - 3 : k]), np.median(values[k : k + 3])
        lasting = after - before - 3 * usual
        if abs(here) > limit and lasting * np.sign(here) > 0.6 * abs(here):
            found.append(k)
    return found


def _scatter(values: np.ndarray) -> float:
    """Return the robust standard deviation of one value, from steps to the next."""
    step = np.diff(values)
    return float(1.4826 * np.median(np.abs(step - np.median(step))) / np.sqrt(2))


def in_words(bad: np.ndarray, angles_deg: np.ndarray) -> str:
    """Return which tilts stand out, as a sentence."""
    if not len(bad):
        return "No tilt stands out."
    one = len(bad) == 1
    noun, verb = ("Tilt", "stands out") if one else ("Tilts", "stand out")
    return f"{noun} {listed(bad, angles_deg)} {verb}."


def listed(tilts: np.ndarray, angles_deg: np.ndarray, most: int = 6) -> str:
    """Return tilts with their angles in words."""
    words = [f"{t} ({angles_deg[t]:+.1f} deg)" for t in tilts[:most]]
    more = len(tilts) - most
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")
