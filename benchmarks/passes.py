"""How well scan pairs lose their drift, and interleaved passes their differences.

    python benchmarks/passes.py [--seeds 4]

Pairs: scans at 0 and 90 degrees of one simulated field, with 5 px of drift over a scan
and a jitter of .3 px in every line; the error is the rms distance of the offsets of all
lines from the truth, but for the one shift that no scans can tell.
Passes: two simulated series, every 8 degrees each, whose tilt axes differ by 2 degrees
and whose images by 5 px, through the default alignment with nothing set; the errors are
those that are left once the volume may lie anywhere.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from record import write

from napari_inr_tomo.align import align
from napari_inr_tomo.geometry import align_gauge
from napari_inr_tomo.passes import passes_of
from napari_inr_tomo.preprocess import correct_scan_drift, merge_series
from napari_inr_tomo.simulate import simulate_scans, simulate_series
from napari_inr_tomo.types import Poses, TiltSeries

SHAPES = ((128, 128), (96, 121))
DOSES = (None, 200, 50)
DRIFT_PX, JITTER_PX = 5.0, 0.3
PHANTOMS = ("sea-mine", "porous", "chiral")
COUNTS = (400, 100)
AXES_DEG, SHIFT_PX = (6.0, 8.0), 5.0


def pair(
    shape: tuple[int, int], drift_px: float, dose: float | None, seed: int
) -> dict[str, Any]:
    """Return the error of one pair, of all lines and of those the other scan sees."""
    jitter = JITTER_PX if drift_px else 0.0
    made = simulate_scans(
        shape, drift_px=drift_px, jitter_px=jitter, dose=dose, seed=seed
    )
    began = time.perf_counter()
    found = correct_scan_drift(made.images, made.directions_deg)
    seconds = time.perf_counter() - began
    apart = np.concatenate(found.offsets_yx) - np.concatenate(made.offsets_yx)
    apart -= np.median(apart, axis=0)
    square = (apart**2).sum(axis=1)
    seen = np.concatenate(found.seen)
    return {
        "shape_yx": shape,
        "drift_px": drift_px,
        "dose": dose,
        "seed": seed,
        "seconds": round(seconds, 2),
        "seen_px": round(float(np.sqrt(square[seen].mean())), 4),
        "all_px": round(float(np.sqrt(square.mean())), 4),
        "lines_unseen": found.unseen,
    }


def two_passes(name: str, dose: float, seed: int) -> tuple[TiltSeries, Poses]:
    """Return an interleaved series of 64 x 64 px and the poses it was made with."""
    made = [
        simulate_series(
            name,
            64,
            np.arange(first, 67, 8.0),
            dose=dose,
            axis_deg=axis_deg,
            axis_shift_px=shift_px,
            shift_sigma_px=1.0,
            margin=0.35,
            seed=10 * seed + number,
        )
        for number, (first, axis_deg, shift_px) in enumerate(
            zip((-64.0, -60.0), AXES_DEG, (0.0, SHIFT_PX), strict=True)
        )
    ]
    angles = np.concatenate([one.series.angles_deg for one in made])
    table = np.concatenate([one.truth_poses.as_array() for one in made])
    poses = Poses.from_array(table[np.argsort(angles, kind="stable")])
    return merge_series([one.series for one in made]), poses


def passes(name: str, dose: float, seed: int) -> dict[str, Any]:
    """Return how far the aligned passes are from the truth."""
    series, truth = two_passes(name, dose, seed)
    done = align(series)
    axes = [one.axis_deg for one in passes_of(done)]
    moved = align_gauge(done.angles_deg, done.start_poses, truth)
    shifts = (moved.as_array() - truth.as_array())[:, 2:]
    return {
        "phantom": name,
        "dose": dose,
        "seed": seed,
        "axis_deg": [round(a - t, 3) for a, t in zip(axes, AXES_DEG, strict=True)],
        "shift_px": round(float(np.sqrt(np.mean(shifts**2))), 4),
        "flagged": bool(done.history[-1].parameters["doubts"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    seeds = range(parser.parse_args().seeds)
    pairs = []
    for shape in SHAPES:
        for drift, dose in ((0.0, None), *((DRIFT_PX, dose) for dose in DOSES)):
            pairs += [pair(shape, drift, dose, seed) for seed in seeds]
            print(pairs[-1], flush=True)
    print(write("scan-pairs", {"pairs": pairs}))
    merged = []
    for name in PHANTOMS:
        for dose in COUNTS:
            merged += [passes(name, dose, seed) for seed in seeds]
            print(merged[-1], flush=True)
    print(write("passes", {"passes": merged}))


if __name__ == "__main__":
    main()
