"""The memory a run takes against the estimate shown before its start.

    python benchmarks/memory.py [--sizes 32 64 96 128] [--threads 1]

Every run is a process of its own; its peak is what the system says it had resident at
most, start-up included.  Methods run a few iterations and the network trains for some
seconds: what is held does not depend on how long.  Cases: an aligned series with fixed
poses, and one with the tilt axis at 10 degrees and a shift of its own for every tilt,
poses refined.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from record import write
from watched import watched

from napari_inr_tomo import runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import TiltSeries

ANGLES = np.linspace(-60, 60, 61)
METHODS = ("fbp", "sirt", "tv", "preview", "fast", "paper")
CASES = ("aligned", "axis at 10 degrees, own shifts")
SHORT = {
    "classic": {"iterations": 3},
    "inr": {
        "schedule": {"epochs": 1, "ramp_epochs": 0},
        "warm_start_iterations": 3,
        "warm_start_steps": 5,
    },
    "compute": {"device": "cpu"},
}


def settings(method: str, case: str) -> ReconstructionConfig:
    """Return the settings of a short run, otherwise those of the method or preset."""
    classic = method in ("fbp", "sirt", "tv")
    config = ReconstructionConfig.from_preset(
        "fast" if classic else method, method=method if classic else "inr"
    ).merged(SHORT)
    return config.merged({"inr": {"poses": {"refine": case != CASES[0]}}})


def series_of(case: str, size: int) -> TiltSeries:
    """Return a noisy series whose start poses are the right ones."""
    if case == CASES[0]:
        return simulate_series("sea-mine", size, ANGLES, dose=100.0).series
    made = simulate_series(
        "sea-mine", size, ANGLES, dose=100.0, axis_deg=10.0, shift_sigma_px=3.0
    )
    return made.series.evolve(None, poses=made.truth_poses)


def measured(method: str, case: str, size: int, options: Any) -> dict[str, Any]:
    """Return peak and estimate of one run in bytes, and their ratio."""
    config, series = settings(method, case), series_of(case, size)
    need = runs.estimate(config, series.images.shape, poses=series.start_poses)
    folder = options.work / "memory-run"
    seen = watched(series, config, folder, options.threads, ray_s=options.ray_seconds)
    shutil.rmtree(folder)
    return {
        "method": method,
        "case": case,
        "size": size,
        "peak_bytes": seen.peak_bytes,
        "estimate_bytes": need.memory_bytes,
        "peak_over_estimate": round(seen.peak_bytes / need.memory_bytes, 3),
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 96, 128])
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ray-seconds", type=float, default=3.0)
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.absolute()
    rows = []
    for size in options.sizes:
        for method in options.methods:
            for case in CASES:
                rows.append(measured(method, case, size, options))
                print(rows[-1], flush=True)
        worst = max(row["peak_over_estimate"] for row in rows)
        print(write("memory", {"worst_peak_over_estimate": worst, "rows": rows}))


if __name__ == "__main__":
    main()
