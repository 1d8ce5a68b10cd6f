"""Times of the classical methods beside ASTRA's CPU projector, written as JSON.

    python benchmarks/classic.py [--threads 2] [--sizes 64 128 200]

One forward plus one back projection of ``size`` slices of ``size x size`` from 61 tilts
within +-60 degrees, in milliseconds: the least of several repeats, interleaved, as wall
clock and as processor time of this process.  ASTRA runs its two-dimensional ``linear``
projector slice by slice on a few slices; its time is scaled to all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from record import write

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.classic.tv import tv
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

ANGLES = np.linspace(-60, 60, 61)
ASTRA_SLICES = 4


def least_ms(work: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Return the least wall and processor time of ``work`` in milliseconds."""
    wall, cpu = [], []
    for _ in range(repeats):
        start = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return {"wall_ms": round(1e3 * min(wall), 2), "cpu_ms": round(1e3 * min(cpu), 2)}


def pair(projector: Projector) -> Callable[[], Any]:
    """Return the work of one forward and one back projection."""
    volume = torch.rand(projector.shape_zyx, generator=torch.Generator().manual_seed(0))
    return lambda: projector.adjoint(projector.forward(volume))


def astra_pair(size: int, repeats: int) -> dict[str, float] | None:
    """Return the times of ASTRA's linear projector, None where it is absent."""
    try:
        import astra
    except ImportError:
        return None
    geometry = astra.create_vol_geom(size, size)
    rays = astra.create_proj_geom("parallel", 1.0, size, np.deg2rad(ANGLES))
    projector = astra.create_projector("linear", rays, geometry)
    plane = np.random.default_rng(0).random((size, size), np.float32)

    def work() -> None:
        for _ in range(ASTRA_SLICES):
            made, sinogram = astra.create_sino(plane, projector)
            back, _ = astra.create_backprojection(sinogram, projector)
            astra.data2d.delete([made, back])

    times = least_ms(work, repeats)
    astra.projector.delete(projector)
    return {name: round(ms * size / ASTRA_SLICES, 1) for name, ms in times.items()}


def poses_for(kind: str) -> Poses:
    """Return the poses of one of the three cases that cost differently."""
    if kind == "aligned":
        return Poses.zeros(len(ANGLES))
    if kind == "axis at 10 degrees, own shifts":
        axis = Poses.from_axis(len(ANGLES), 10.0)
        shifts = np.random.default_rng(0).uniform(-2, 2, (2, len(ANGLES)))
        return Poses(axis.z1_deg, axis.z3_deg, *shifts)
    numbers = np.random.default_rng(0).uniform(-1, 1, (4, len(ANGLES)))
    return Poses.from_array(numbers.T)


def projection_times(size: int) -> dict[str, Any]:
    """Return the times of a pair for every case at one size."""
    repeats = 8 if size <= 64 else 4
    found: dict[str, Any] = {"size": size}
    kinds = ["aligned", "axis at 10 degrees, own shifts"]
    if size <= 64:
        kinds.append("every tilt its own pose")
    for kind in kinds:
        start = time.process_time()
        projector = Projector(ANGLES, poses_for(kind), (size, size), size)
        pair(projector)()
        first = time.process_time() - start
        found[kind] = least_ms(pair(projector), repeats) | {
            "first_pair_cpu_s": round(first, 2),
            "matrices_mib": round(projector.held_bytes / 2**20, 1),
        }
    found["astra linear, one core"] = astra_pair(size, 2)
    return found


def quality(size: int = 64) -> list[dict[str, Any]]:
    """Return the errors and times of the methods on the sea-mine phantom."""
    rows = []
    for dose in (None, 50.0):
        made = simulate_series("sea-mine", size, ANGLES, dose=dose, seed=0)
        images = torch.from_numpy(made.series.images)
        truth = torch.from_numpy(np.asarray(made.truth.data))
        projector = Projector(ANGLES, made.truth_poses, (size, size), size)
        projector.adjoint(projector.forward(truth))
        for name, work in (
            ("SIRT 100", lambda p, b: sirt(p, b, 100)),
            ("SIRT 30 with momentum", lambda p, b: sirt(p, b, 30, momentum=True)),
            ("TV 100", lambda p, b: tv(p, b, 100)),
        ):
            start = time.process_time()
            volume = work(projector, images)
            seconds = time.process_time() - start
            error = float((volume - truth).norm() / truth.norm())
            rows.append(
                {
                    "method": name,
                    "counts": dose,
                    "relative_error": round(error, 4),
                    "cpu_s": round(seconds, 2),
                }
            )
    return rows


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 200])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    path = write(
        f"classic-{options.threads}-threads",
        {
            "projections": [projection_times(size) for size in options.sizes],
            "sea_mine_64": quality(),
        },
    )
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
