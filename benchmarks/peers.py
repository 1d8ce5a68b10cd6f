"""Quality over time beside other programs, on the same series, one after the other.

    python benchmarks/peers.py [--seconds 300] [--threads 2] [--work DIR]

The public implementation of the paper (``quantem``, in an environment that this script
makes under ``--work``) with its own defaults, with the paper's settings and with its
SIRT; ASTRA's SIRT on the processor; scikit-image's SART and FBP; and this project's
SIRT, TV and presets.  Series: analytic projections of two phantoms, aligned.

Seconds of the others count their reconstruction alone; those of this project begin with
the start of the program and end when the volume is in its file.  ``cpu_s`` is processor
time, which says more where others use the machine.  Volumes of the others are scored
in the best of all 48 orientations and with a fitted intensity scale, because they may
differ in conventions; those of this project as they are.

Rows are written to ``--work`` as they come; an interrupted run goes on from there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from record import write
from scores import scores
from watched import watched

from napari_inr_tomo import io
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.simulate import Simulation, simulate_series

QUANTEM = "quantem==0.1.10"
NEEDED = (
    "ase cmasher colorspacious dill h5py hdf5plugin matplotlib numpy optuna "
    "rosettasciio scikit-image scipy spglib tensorboard torchinfo torchmetrics tqdm "
    "zarr"
).split()
"""What its tomography imports; torchvision, which it names too, is not among it."""
FAMILIES = ("sea-mine", "porous")
TILTS = ("-60:60:2", "-45:45:3")
OURS = ("sirt", "tv", "preview", "fast")
SIRT_SHARE = 5
"""The SIRT of quantem has converged after this part of the seconds."""
THEIRS = ("lite", "sirt", "paper")


def quantem_python(work: Path, index: str | None) -> Path:
    """Return the interpreter of quantem's environment; make it where it is missing."""
    folder = work / "quantem-env"
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        extra = ["--extra-index-url", index] if index else []
        torch = f"torch=={importlib.metadata.version('torch')}"
        pip = [str(python), "-m", "pip", "install", "--quiet", *extra]
        subprocess.run([*pip, torch, *NEEDED], check=True)
        subprocess.run([*pip, "--no-deps", QUANTEM], check=True)
        (folder / "made").touch()
    return python


def oriented(volume: Any, truth: Any) -> Any:
    """Return a volume turned or mirrored to fit the truth best, with fitted scale."""
    best, fitting = -2.0, volume
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            turned = volume.transpose(axes)[tuple(slice(None, None, s) for s in signs)]
            value = np.corrcoef(turned.ravel(), truth.ravel())[0, 1]
            if value > best:
                best, fitting = value, turned
    power = float((fitting.astype(np.float64) ** 2).sum())
    scale = float((fitting * truth).sum(dtype=np.float64)) / power if power else 1.0
    return fitting * np.float32(scale)


def point(wall: float, cpu: float, volume: Any, truth: Any) -> dict[str, float]:
    """Return one point of a curve."""
    times = {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}
    return times | scores(volume, truth)


def quantem_points(
    python: Path, made: Simulation, settings: str, options: argparse.Namespace
) -> Iterator[dict[str, float]]:
    """Run quantem and yield its curve."""
    out = options.work / f"quantem-{settings}"
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    series, truth = made.series, made.truth.data
    file = out / "series.npz"
    np.savez(file, images=series.images, angles_deg=series.angles_deg)
    parts = [str(python), str(Path(__file__).with_name("peer_quantem.py"))]
    parts += [str(file), str(out), "--settings", settings]
    seconds = options.seconds / (SIRT_SHARE if settings == "sirt" else 1)
    parts += ["--seconds", str(seconds), "--every", str(seconds / 15)]
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    kept |= {"OMP_NUM_THREADS": str(options.threads), "GOMP_SPINCOUNT": "10000"}
    with (out / "log").open("wb") as log:
        subprocess.run(parts, env=kept, stdout=log, stderr=log, check=True)
    for line in (out / "journal.jsonl").read_text().splitlines():
        row = json.loads(line)
        volume = oriented(np.load(out / row["file"]), truth)
        yield point(row["wall_s"], row["cpu_s"], volume, truth)


class Stopwatch:
    """Adds up wall and processor seconds of this process."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __call__(self, work: Callable[[], Any]) -> Any:
        """Do the work on the clock."""
        began = time.perf_counter(), time.process_time()
        answer = work()
        self.wall += time.perf_counter() - began[0]
        self.cpu += time.process_time() - began[1]
        return answer


def astra_points(made: Simulation, seconds: float) -> Iterator[dict[str, float]]:
    """Run ASTRA's SIRT slice by slice and yield its curve (one core)."""
    try:
        import astra
    except ImportError:
        return
    images, truth = made.series.images, made.truth.data
    size = images.shape[1]
    watch = Stopwatch()
    angles = np.deg2rad(made.series.angles_deg)
    geometry = astra.create_vol_geom(size, size)
    rays = astra.create_proj_geom("parallel", 1.0, size, angles)
    projector = astra.create_projector("linear", rays, geometry)

    def slice_of(x: int) -> tuple[int, int]:
        sinogram = astra.data2d.create("-sino", rays, images[:, :, x])
        plane = astra.data2d.create("-vol", geometry, 0)
        settings = astra.astra_dict("SIRT")
        settings |= {"ProjectorId": projector, "ProjectionDataId": sinogram}
        settings |= {"ReconstructionDataId": plane}
        settings["option"] = {"MinConstraint": 0}
        return astra.algorithm.create(settings), plane

    slices = watch(lambda: [slice_of(x) for x in range(images.shape[2])])
    done = 0
    for wanted in (10, 25, 50, 100, 200, 400):
        for algorithm, _ in slices:
            watch(lambda a=algorithm, n=wanted - done: astra.algorithm.run(a, n))
        done = wanted
        volume = np.stack([astra.data2d.get(plane) for _, plane in slices], -1)
        found = point(watch.wall, watch.cpu, oriented(volume, truth), truth)
        yield found | {"iterations": done}
        if watch.wall > seconds:
            break
    astra.clear()


def skimage_points(made: Simulation, seconds: float) -> Iterator[dict[str, float]]:
    """Run scikit-image's SART sweep by sweep and yield its curve (one core)."""
    from skimage.transform import iradon_sart

    images, truth = np.float64(made.series.images), made.truth.data
    angles = np.float64(made.series.angles_deg)
    watch = Stopwatch()
    planes: list[Any] = [None] * images.shape[2]
    for sweep in range(1, 5):
        for x in range(images.shape[2]):
            planes[x] = watch(
                lambda x=x: iradon_sart(
                    images[:, :, x].T, angles, planes[x], clip=(0, np.inf)
                )
            )
        volume = np.stack(planes, -1).astype(np.float32)
        found = point(watch.wall, watch.cpu, oriented(volume, truth), truth)
        yield found | {"sweeps": sweep}
        if watch.wall > seconds:
            break


def skimage_fbp(made: Simulation) -> Iterator[dict[str, float]]:
    """Run scikit-image's filtered back-projection (one core)."""
    from skimage.transform import iradon

    images, truth = np.float64(made.series.images), made.truth.data
    angles = np.float64(made.series.angles_deg)
    watch = Stopwatch()
    planes = [
        watch(lambda x=x: iradon(images[:, :, x].T, angles))
        for x in range(images.shape[2])
    ]
    volume = np.stack(planes, -1).clip(0).astype(np.float32)
    yield point(watch.wall, watch.cpu, oriented(volume, truth), truth)


def own_points(
    made: Simulation, method: str, options: argparse.Namespace
) -> Iterator[dict[str, float]]:
    """Run a method of this project and yield its curve: live volumes, then result."""
    classic = method in ("sirt", "tv")
    config = ReconstructionConfig.from_preset(
        "fast" if classic else method,
        method=method if classic else "inr",
        depth_px=options.size,
    ).merged({"inr": {"poses": {"refine": False}}, "compute": {"device": "cpu"}})
    folder = options.work / f"own-{method}"
    seen = watched(made.series, config, folder, options.threads, live=True)
    for shown in seen.shown:
        yield point(shown.wall_s, shown.cpu_s, shown.volume, made.truth.data)


def peers(options: argparse.Namespace) -> dict[str, Callable[[Simulation], Any]]:
    """Return every peer with what draws its curve."""
    found: dict[str, Callable[[Simulation], Any]] = {}
    if not options.skip_quantem:
        python = quantem_python(options.work, options.torch_index)
        for name in THEIRS:
            found[f"quantem {name}"] = lambda made, n=name: quantem_points(
                python, made, n, options
            )
    for name in OURS:
        found[name] = lambda made, n=name: own_points(made, n, options)
    found["astra sirt"] = lambda made: astra_points(made, options.seconds)
    found["scikit-image sart"] = lambda made: skimage_points(made, options.seconds)
    found["scikit-image fbp"] = skimage_fbp
    return found


def reaching(points: list[dict[str, float]], ssim: float) -> dict[str, float] | None:
    """Return the first point of a curve with at least this SSIM."""
    return next((p for p in points if p["ssim"] >= ssim), None)


def best(points: list[dict[str, float]]) -> dict[str, float]:
    """Return the point of a curve with the highest SSIM."""
    return max(points, key=lambda p: p["ssim"])


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how many times longer each other program took to its best SSIM.

    One entry per series, other program and method of this project: processor and wall
    seconds of the other to its best SSIM over those of the method to the same; None
    where the method does not get there.
    """
    found = []
    for theirs in rows:
        if theirs["peer"] in OURS or not theirs["points"]:
            continue
        top = best(theirs["points"])
        for ours in rows:
            same = all(ours[k] == theirs[k] for k in ("phantom", "tilts"))
            if not same or ours["peer"] not in OURS:
                continue
            there = reaching(ours["points"], top["ssim"])
            entry = {k: theirs[k] for k in ("phantom", "tilts", "peer")}
            entry |= {"peer_ssim": top["ssim"], "peer_cpu_s": top["cpu_s"]}
            entry |= {"method": ours["peer"], "ssim": best(ours["points"])["ssim"]}
            for clock in ("cpu_s", "wall_s"):
                ratio = None if there is None else round(top[clock] / there[clock], 1)
                entry[f"times_faster_{clock}"] = ratio
            found.append(entry)
    return found


def main() -> None:
    """Run every peer on every series and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="for each peer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--tilts", nargs="+", default=list(TILTS))
    parser.add_argument("--peers", nargs="+", help="only these, in this order")
    parser.add_argument("--skip-quantem", action="store_true")
    parser.add_argument("--torch-index", help="package index of the CPU build of torch")
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.absolute()
    journal = options.work / f"peers-{options.size}.jsonl"
    lines = journal.read_text().splitlines() if journal.exists() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["phantom"], row["tilts"], row["peer"]) for row in rows}
    curves = peers(options)
    for name in options.peers or curves:
        curve = curves[name]
        for phantom, tilts in itertools.product(options.families, options.tilts):
            if (phantom, tilts, name) in done:
                continue
            made = simulate_series(phantom, options.size, io.parse_angles(tilts))
            row = {"phantom": phantom, "tilts": tilts, "peer": name}
            row |= {"load": os.getloadavg()[0], "points": list(curve(made))}
            with journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            rows.append(row)
            print(phantom, tilts, name, row["points"][-1:], flush=True)
    figures = {"size": options.size, "threads": options.threads}
    figures |= {"seconds": options.seconds, "quantem": QUANTEM}
    figures |= {"ratios": ratios(rows), "curves": rows}
    print(write(f"peers-{options.size}", figures))


if __name__ == "__main__":
    main()
