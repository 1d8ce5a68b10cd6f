"""How a volume compares with the truth: the same numbers in every benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_inr_tomo import metrics


def scores(volume: Any, truth: Any) -> dict[str, float]:
    """Return ssim, psnr_db, ssim_support, fsc_mean and fsc_half of (z, y, x) volumes.

    fsc_mean: over shells to the Nyquist frequency, weighted by the voxels of a shell
    (a mean over shells would let the few voxels near the origin count as much);
    fsc_half: cycles per voxel where the curve falls below 0.5.
    """
    a, b = np.asarray(volume, np.float32), np.asarray(truth, np.float32)
    frequency, curve = metrics.fsc(a, b)
    inside = (frequency > 0) & (frequency <= 0.5) & np.isfinite(curve)
    weight = frequency[inside] ** 2
    below = np.flatnonzero(inside & (curve < 0.5))
    half = float(frequency[below[0]]) if len(below) else 0.5
    return {
        "ssim": round(metrics.ssim(a, b), 4),
        "psnr_db": round(metrics.psnr(a, b), 2),
        "ssim_support": round(metrics.ssim_in_support(a, b), 4),
        "fsc_mean": round(float((curve[inside] * weight).sum() / weight.sum()), 4),
        "fsc_half": round(half, 4),
    }
