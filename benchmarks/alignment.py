"""The automatic preparation and alignment on misaligned series with known truth.

    python benchmarks/alignment.py [--seeds 10]
    python benchmarks/alignment.py --doubts [--first 80] [--seeds 25]

Every seed is one of five phantoms with shifts of 3 px rms, the axis at 7 degrees and
4 px off, a drifting beam, a polynomial background, 0.1 % hot pixels and 100 counts in
the brightest pixel, tilts within +-65 degrees.  No setting is touched.  Beside it, on
the same raw stacks: cross-correlation alone, and `torch-tiltxcorr`, which is told the
true angle of the axis; it is installed into an environment of its own, or skipped with
the reason.  Errors are those of `napari_inr_tomo.metrics.pose_errors`: modulo the
translation of the object.

With ``--doubts``, only the whole chain on more seeds: how many are right, and whether
those that are not say so.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import write

from napari_inr_tomo import metrics
from napari_inr_tomo.align import STEPS, align, align_cross_correlation
from napari_inr_tomo.preprocess import prepare
from napari_inr_tomo.simulate import Simulation, simulate_series
from napari_inr_tomo.types import Poses, TiltSeries

PHANTOMS = ("sea-mine", "chiral", "ellipsoids", "porous", "lattice")
SHAPE_YX = (112, 128)
ANGLES = np.arange(-65.0, 65.1, 2.5)
AXIS_DEG = 7.0
MOST_PX, MOST_DEG = 0.5, 0.5
OTHER = """
import sys, numpy as np, torch
from torch_tiltxcorr import tiltxcorr
data = np.load(sys.argv[1])
shifts = tiltxcorr(
    torch.from_numpy(data["images"]), torch.from_numpy(data["angles"]),
    float(data["axis"]),
)
np.save(sys.argv[2], shifts.numpy())
"""


def made(seed: int) -> Simulation:
    """Return the misaligned series of a seed."""
    return simulate_series(
        PHANTOMS[seed % len(PHANTOMS)],
        SHAPE_YX,
        ANGLES,
        dose=100,
        axis_deg=AXIS_DEG,
        axis_shift_px=4,
        shift_sigma_px=3,
        background=0.3,
        drift=0.2,
        hot_pixels=0.001,
        margin=0.3,
        seed=seed,
    )


def errors(series: TiltSeries, truth: Poses) -> dict[str, float]:
    """Return rms shift error in px and axis error in degrees."""
    found = metrics.pose_errors(series.angles_deg, series.start_poses, truth)
    return {name: round(found[name], 3) for name in ("shift_px", "axis_deg")}


class Other:
    """torch-tiltxcorr in an environment of its own, with this one's torch."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.why_not, self.version = folder, "", ""
        self.python = folder / "env" / "bin" / "python"
        try:
            self._run(sys.executable, "-m", "venv", folder / "env")
            here = sysconfig.get_paths()["purelib"]
            code = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
            there = Path(self._run(self.python, "-c", code).strip())
            (there / "parent.pth").write_text(here + "\n", encoding="utf-8")
            self._run(self.python, "-m", "pip", "install", "-q", "torch-tiltxcorr")
            code = "from importlib.metadata import version as v"
            code += "; print(v('torch-tiltxcorr'))"
            self.version = self._run(self.python, "-c", code).strip()
        except (OSError, subprocess.SubprocessError) as error:
            self.why_not = f"it could not be installed: {error}"

    def _run(self, *words: Any) -> str:
        command = [str(word) for word in words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout

    def __call__(self, series: TiltSeries, truth: Poses) -> dict[str, float] | None:
        """Return the errors of its shifts, with the true axis; None where skipped.

        Its angle of the axis is IMOD's, counter-clockwise from y, and its shifts are
        those to apply, (y, x).  The constant across the axis that it leaves open is
        taken from the truth.
        """
        if self.why_not:
            return None
        stack, out = self.folder / "stack.npz", self.folder / "shifts.npy"
        images = series.images.astype(np.float32)
        angles = series.angles_deg.astype(np.float32)
        np.savez(stack, images=images, angles=angles, axis=AXIS_DEG - 90)
        self._run(self.python, "-c", OTHER, stack, out)
        return at_the_best_axis(series, -np.load(out)[:, ::-1], truth)


def at_the_best_axis(
    series: TiltSeries, shifts_xy: np.ndarray, truth: Poses
) -> dict[str, float]:
    """Return the error of shifts that leave the axis open, at the truth's angle."""
    turn = np.deg2rad(AXIS_DEG)
    across = np.array([-np.sin(turn), np.cos(turn)])
    best: dict[str, float] = {"shift_px": np.inf}
    for offset in np.arange(-20, 20.01, 0.25):
        dx, dy = (shifts_xy + offset * across).T
        poses = Poses(truth.z1_deg, truth.z3_deg, dx, dy)
        found = errors(series.evolve(poses=poses), truth)
        best = min(best, found, key=lambda error: error["shift_px"])
    return best


def one(seed: int, other: Other) -> dict[str, Any]:
    """Return all figures of one seed."""
    simulation = made(seed)
    raw, truth = simulation.series, simulation.truth_poses
    row: dict[str, Any] = {"seed": seed, "phantom": PHANTOMS[seed % len(PHANTOMS)]}
    alone = align_cross_correlation(raw).start_poses
    shifts = np.stack([alone.dx_px, alone.dy_px], axis=1)
    row["cross-correlation alone"] = at_the_best_axis(raw, shifts, truth)
    row["torch-tiltxcorr"] = other(raw, truth)
    start = time.perf_counter()
    series = prepare(raw)
    row["seconds_prepare"] = round(time.perf_counter() - start, 1)
    row["steps"] = {"raw": errors(raw, truth)}
    start = time.perf_counter()
    for count in range(1, len(STEPS) + 1):
        if STEPS[count - 1] == "com":
            continue  # it only holds for the axis that is searched next
        done = align(series, STEPS[:count])
        row["steps"][STEPS[count - 1]] = errors(done, truth)
    row["seconds_align_all"] = round(time.perf_counter() - start, 1)
    return row | verdict(done, row["steps"]["match"])


def verdict(done: TiltSeries, end: dict[str, float]) -> dict[str, Any]:
    """Return what the last step says about itself, and whether it is right."""
    quality = done.history[-1].parameters
    line = quality["line_axis_deg"]
    return {
        "axis_sigma_deg": round(quality["axis_sigma_deg"], 3),
        "axis_spread_deg": round(quality["axis_spread_deg"], 3),
        "line_gap_deg": line and round(abs(line - quality["axis_deg"]), 3),
        "doubts": quality["doubts"],
        "right": end["shift_px"] < MOST_PX and abs(end["axis_deg"]) < MOST_DEG,
        "flagged": bool(quality["doubts"]),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts and the rows."""
    right = [row for row in rows if row["right"]]
    return {
        "right": len(right),
        "right_but_flagged": sum(row["flagged"] for row in right),
        "wrong_and_not_flagged": sum(
            not row["right"] and not row["flagged"] for row in rows
        ),
        "seeds": rows,
    }


def doubts(first: int, count: int) -> None:
    """Align more seeds with the whole chain; write after each of them."""
    rows = []
    for seed in range(first, first + count):
        simulation = made(seed)
        done = align(prepare(simulation.series))
        end = errors(done, simulation.truth_poses)
        row = {"seed": seed, "phantom": PHANTOMS[seed % len(PHANTOMS)], "error": end}
        rows.append(row | verdict(done, end))
        print(rows[-1], flush=True)
        print(write("doubts", summary(rows)), flush=True)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=80)
    parser.add_argument("--doubts", action="store_true")
    options = parser.parse_args()
    if options.doubts:
        doubts(options.first, options.seeds)
        return
    with tempfile.TemporaryDirectory() as folder:
        other = Other(Path(folder))
        rows = []
        for seed in range(options.seeds):
            rows.append(one(seed, other))
            print(rows[-1], flush=True)
    figures = {"torch_tiltxcorr": other.version or other.why_not} | summary(rows)
    print(write("alignment", figures))


if __name__ == "__main__":
    main()
