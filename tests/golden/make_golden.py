"""Write the golden run folders of the present schema; run once for every release.

    python tests/golden/make_golden.py

Makes ``schema-N/finished`` and ``schema-N/interrupted`` (killed, with a checkpoint).
What a released version wrote is never written anew: `test_faults_disk` reads it for
ever.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "faults"))

from fault_runs import ANGLES, QUICK, Worker, finish  # noqa: E402

from napari_inr_tomo import layout, runs  # noqa: E402
from napari_inr_tomo.config import ReconstructionConfig  # noqa: E402
from napari_inr_tomo.simulate import simulate_series  # noqa: E402


def make(folder: Path, epochs: int) -> layout.RunPaths:
    series = simulate_series("chiral", (15, 13), ANGLES, shift_sigma_px=0.7, seed=3)
    kept = series.series.evolve(used=np.arange(7) != 2, pixel_size_nm=0.7)
    small = {"field": {"width": 8}, "schedule": {"epochs": epochs}}
    config = ReconstructionConfig.from_preset("fast").merged(QUICK)
    runs.create_run(folder, kept, config.merged({"inr": small}))
    return layout.RunPaths(folder)


def tidy(paths: layout.RunPaths) -> None:
    """Remove what speaks of this computer, and what a reader does not need."""
    shutil.rmtree(paths.logs)
    paths.lock.unlink()
    for folder in (paths.controls, paths.checkpoints, paths.result, paths.previews):
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def main() -> None:
    target = HERE / f"schema-{layout.SCHEMA}"
    if target.exists():
        sys.exit(f"{target} is there: what was released stays as it is")
    finished = make(target / "finished", 2)
    finish(finished)
    shutil.rmtree(finished.checkpoints)
    tidy(finished)
    interrupted = make(target / "interrupted", 60)
    worker = Worker(interrupted)
    while len(list(interrupted.checkpoints.glob("*.sha256"))) < 2:
        time.sleep(0.01)
    worker.send()
    worker.wait()
    tidy(interrupted)


if __name__ == "__main__":
    main()
