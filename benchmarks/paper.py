"""The paper's experiments on phantoms: wedge, tilt step, fluence, tilt-axis error.

    python benchmarks/paper.py [--suite targets poses sweeps] [--size 64] [--threads 2]
    python benchmarks/paper.py --suite exact --size 200 --at-once 6   (needs a GPU)

Every reconstruction is a process of its own, started as a user starts it, with
``inr-tomo reconstruct``; seconds are of the whole command, start-up and writing
included.  The series are analytic projections of
the phantoms, so no method sees its own discretisation.

targets  three cases (wedge +-60 and +-45, noise) on three phantom families, aligned
poses    tilt axis off by 1 to 10 degrees with shifts of 3 px rms, poses refined
sweeps   wedge, tilt step, fluence, tilt-axis error with and without learning the poses,
         and L1 against L2 on noise
exact    the cases of the paper with a number in its text, in steps of 1 degree

With ``--at-once`` several run side by side; their seconds then say little.
The settings were tuned on "sea-mine", "porous" and "lattice"; of "ellipsoids" only the
number of rays has seen something.
Rows are written to ``--work`` as they come; an interrupted run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, write
from scores import scores

from napari_inr_tomo import io, metrics
from napari_inr_tomo.simulate import Simulation, simulate_series

FAMILIES = ("sea-mine", "porous", "lattice", "ellipsoids")
CLASSIC = ("sirt", "tv")
CASES = {
    "A": ("-60:60:2", None),
    "C": ("-45:45:3", None),
    "D": ("-60:60:4", 50.0),
}


@dataclass(frozen=True)
class Experiment:
    """One reconstruction: a simulated series and how it is reconstructed."""

    suite: str
    case: str
    phantom: str
    tilts: str
    method: str
    dose: float | None = None
    axis_deg: float = 0.0
    shift_px: float = 0.0
    refine: bool = False
    loss: str = "smooth_l1"
    seed: int = 0

    @property
    def name(self) -> str:
        """A name for files, one per experiment."""
        values = [str(v).replace(":", "_") for v in asdict(self).values()]
        return "-".join(values)


def targets(seeds: list[int]) -> list[Experiment]:
    """Return the three cases on the families; of further seeds what chance is in."""
    found = []
    for seed in seeds:
        for case, (tilts, dose) in CASES.items():
            for phantom in FAMILIES:
                for method in (*CLASSIC, "preview", "fast"):
                    random = method == "fast" or (dose and method in CLASSIC)
                    if seed and not random:
                        continue
                    found.append(
                        Experiment(
                            "targets", case, phantom, tilts, method, dose, seed=seed
                        )
                    )
    return found


def poses(seeds: list[int]) -> list[Experiment]:
    """Return misaligned series with poses refined, and their aligned counterparts."""
    found = []
    for seed in seeds:
        for dose in (None, 100.0):
            base = {"phantom": "sea-mine", "tilts": "-60:60:2", "dose": dose}
            base |= {"method": "fast", "seed": seed, "suite": "poses"}
            found.append(Experiment(case="aligned", **base))
            for axis in (1.0, 3.0, 5.0, 10.0):
                found.append(
                    Experiment(
                        case=f"{axis:g} deg",
                        axis_deg=axis,
                        shift_px=3.0,
                        refine=True,
                        **base,
                    )
                )
    return found


def sweeps(seeds: list[int]) -> list[Experiment]:
    """Return the sweeps of the paper's figures 2 and 3, named by what is varied."""
    found = []
    for seed in seeds:
        for method in (*CLASSIC, "preview", "fast"):
            base = {"phantom": "sea-mine", "method": method, "seed": seed}
            for reach in (80, 70, 60, 50, 40):
                tilts = f"-{reach}:{reach}:4"
                found.append(
                    Experiment("wedge", str(180 - 2 * reach), tilts=tilts, **base)
                )
            for step in (20, 10, 5, 2):
                found.append(
                    Experiment("step", str(step), tilts=f"-80:80:{step}", **base)
                )
            for dose in (10.0, 30.0, 100.0, 1000.0):
                found.append(
                    Experiment(
                        "fluence", f"{dose:g}", tilts="-60:60:4", dose=dose, **base
                    )
                )
            for axis in (1.0, 2.0, 5.0):
                found.append(
                    Experiment(
                        "axis error, fixed poses",
                        f"{axis:g}",
                        tilts="-60:60:4",
                        axis_deg=axis,
                        **base,
                    )
                )
        for axis in (1.0, 2.0, 5.0):
            found.append(
                Experiment(
                    "axis error, poses learnt",
                    f"{axis:g}",
                    "sea-mine",
                    "-60:60:4",
                    "fast",
                    axis_deg=axis,
                    refine=True,
                    seed=seed,
                )
            )
        for loss in ("smooth_l1", "l2"):
            found.append(
                Experiment(
                    "loss",
                    loss,
                    "sea-mine",
                    "-60:60:4",
                    "fast",
                    dose=30.0,
                    loss=loss,
                    seed=seed,
                )
            )
    return found


def exact(seeds: list[int]) -> list[Experiment]:
    """Return what the paper gives numbers for (its sections 2.1 and 2.2)."""
    found = []
    for seed in seeds:
        base = {"suite": "exact", "phantom": "sea-mine", "seed": seed}
        for axis in (1.0, 2.0, 5.0, 10.0):
            learnt = {"axis_deg": axis, "refine": True, "method": "fast"}
            found.append(
                Experiment(case=f"axis {axis:g}", tilts="-90:89:1", **base, **learnt)
            )
        for method in ("fast", "sirt"):
            base["method"] = method
            found += [
                Experiment(case="wedge 20", tilts="-80:80:1", **base),
                Experiment(case="9 projections", tilts="-80:80:20", **base),
                Experiment(case="10 counts", tilts="-90:89:1", dose=10.0, **base),
            ]
    return found


SUITES = {"targets": targets, "poses": poses, "sweeps": sweeps, "exact": exact}


def simulated(experiment: Experiment, size: int) -> Simulation:
    """Return the series of an experiment."""
    return simulate_series(
        experiment.phantom,
        size,
        io.parse_angles(experiment.tilts),
        dose=experiment.dose,
        axis_deg=experiment.axis_deg,
        shift_sigma_px=experiment.shift_px,
        seed=experiment.seed,
    )


def command(experiment: Experiment, stack: Path, out: Path, size: int) -> list[str]:
    """Return the command line of a reconstruction."""
    settings = out.with_suffix(".toml")
    settings.write_text(f'[inr.loss]\nkind = "{experiment.loss}"\n', encoding="utf-8")
    parts = [sys.executable, "-m", "napari_inr_tomo.cli", "reconstruct", str(stack)]
    parts += ["-o", str(out), "--run", str(out.with_suffix(".run"))]
    parts += ["--seed", str(experiment.seed), "--depth", str(size), "--json"]
    parts += ["--poses", str(out.with_suffix(".csv"))]
    if experiment.method in CLASSIC:
        return [*parts, "--method", experiment.method]
    parts += ["--preset", experiment.method, "--config", str(settings)]
    return [*parts, "--refine-poses" if experiment.refine else "--no-refine-poses"]


def measured(parts: list[str], threads: int) -> dict[str, Any]:
    """Run a command; return its wall seconds and the load of the machine before it."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    load = round(os.getloadavg()[0], 1)
    began = time.perf_counter()
    with subprocess.Popen(
        parts, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode(errors="replace")[-2000:])
    return {"wall_s": round(time.perf_counter() - began, 2), "load_before": load}


def judged(experiment: Experiment, out: Path, size: int) -> dict[str, Any]:
    """Return the scores of a finished reconstruction."""
    made = simulated(experiment, size)
    volume, truth = io.read_volume(out).data, made.truth.data
    if experiment.refine:
        volume, _ = metrics.register(volume, truth)
    found: dict[str, Any] = scores(volume, truth)
    if experiment.refine:
        _, learnt, _ = io.read_poses(
            out.with_suffix(".csv"), np.asarray(made.series.angles_deg)
        )
        errors = metrics.pose_errors(made.series.angles_deg, learnt, made.truth_poses)
        found |= {f"error_{k}": round(v, 4) for k, v in errors.items()}
    record = out.with_suffix(".run") / "result" / "record.json"
    found["chosen"] = json.loads(record.read_text())["outcome"].get("chosen", {})
    return found


def run(experiment: Experiment, work: Path, size: int, threads: int) -> dict[str, Any]:
    """Simulate, reconstruct, judge; return one row."""
    import shutil

    out = work / f"{experiment.name}-{size}.mrc"
    stack = out.with_suffix(".h5")
    shutil.rmtree(out.with_suffix(".run"), ignore_errors=True)
    io.write_series(stack, simulated(experiment, size).series)
    times = measured(command(experiment, stack, out, size), threads)
    row = asdict(experiment) | {"size": size} | times | judged(experiment, out, size)
    shutil.rmtree(out.with_suffix(".run"), ignore_errors=True)
    stack.unlink()
    return row


def main() -> None:
    """Run what is asked for and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", nargs="+", default=[*SUITES][:3], choices=SUITES)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"))
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of results")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for suite in options.suite:
        journal = options.work / f"{suite}-{options.size}.jsonl"
        lines = journal.read_text().splitlines() if journal.exists() else []
        rows = [json.loads(line) for line in lines]
        keys = list(asdict(targets([0])[0]))
        done = {tuple(row[k] for k in keys) for row in rows}
        figures = {
            "size": options.size,
            "threads": options.threads,
            "at_once": options.at_once,
            "rows": rows,
        }
        left = [
            experiment
            for experiment in SUITES[suite](options.seeds)
            if tuple(asdict(experiment).values()) not in done
        ]
        how = map(repeat, (options.work, options.size, options.threads))
        with ThreadPoolExecutor(options.at_once) as pool:
            for row in pool.map(run, left, *how):
                with journal.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                rows.append(row)
                print(json.dumps(row), flush=True)
                path = write(f"paper-{suite}-{options.size}", figures, options.out)
        print(path if left else "nothing is left to do")


if __name__ == "__main__":
    main()
