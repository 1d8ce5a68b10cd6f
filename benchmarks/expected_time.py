"""The time and memory said before a start against those of the run itself.

    python benchmarks/expected_time.py [--size 64] [--methods preview fast sirt tv]

The estimate measures a few steps in a process of its own and multiplies; then the run
goes to its end, watched as by the window.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import write

from napari_inr_tomo import runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.runs import timing
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import TiltSeries

METHODS = ["preview", "fast", "sirt", "tv"]


def compared(series: TiltSeries, method: str, work: Path) -> dict[str, Any]:
    """Return what was said and what came, in seconds and bytes."""
    classic = method in ("fbp", "sirt", "tv")
    config = ReconstructionConfig.from_preset(
        "fast" if classic else method, method=method if classic else "inr"
    )
    began = time.monotonic()
    costs = runs.measure(series, config)
    took = time.monotonic() - began
    said = timing.expected(config, series.images.shape, costs)
    folder = work / "expected-run"
    run = runs.create_run(folder, series, config)
    began = time.monotonic()
    started = runs.launch(run)
    peak = _peak_bytes(started)
    seconds = time.monotonic() - began
    ended = run.status().state
    shutil.rmtree(folder)
    return {
        "method": method,
        "state": ended,
        "said_s": round(said.seconds, 1),
        "seconds": round(seconds, 1),
        "said_over_seconds": round(said.seconds / seconds, 2),
        "said_bytes": said.memory_bytes,
        "peak_bytes": peak,
        "measuring_s": round(took, 1),
        "phases_said_s": {k: round(v, 2) for k, v in said.phases_s.items()},
    }


def _peak_bytes(started: runs.Launch) -> int:
    """Wait for the end of a run; return the most it had resident."""
    import psutil

    process, most = psutil.Process(started.pid), 0
    while started.wait(0.1) is None:
        try:
            most = max(most, process.memory_info().rss)
        except psutil.Error:
            continue
    return most


def main() -> None:
    """Compare and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument(
        "--methods", nargs="+", default=["preview", "fast", "sirt", "tv"]
    )
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    series = simulate_series(
        "sea-mine",
        options.size,
        np.arange(-60, 61, 2.0),
        dose=1000.0,
        axis_deg=3.0,
        shift_sigma_px=1.0,
    ).series
    rows = []
    for method in options.methods:
        rows.append(compared(series, method, options.work))
        print(rows[-1], flush=True)
    print(write("expected-time", {"size": options.size, "rows": rows}))


if __name__ == "__main__":
    main()
