"""A run of the engine, watched: its time, its memory and the volumes it showed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_inr_tomo import io, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.types import TiltSeries

PROGRAM = Path(__file__).with_name("worker_program.py")
LOOK_S = 0.1


@dataclass
class Shown:
    """A volume (z, y, x) and the seconds after which it could be seen."""

    wall_s: float
    cpu_s: float
    volume: NDArray[np.float32]


@dataclass
class Watched:
    """What a run took, start of the program and writing included, and its volumes."""

    wall_s: float
    cpu_s: float
    peak_bytes: int
    shown: list[Shown] = field(default_factory=list)
    """Live volumes at full resolution, in order, and the result as the last."""


def watched(
    series: TiltSeries,
    config: ReconstructionConfig,
    folder: Path,
    threads: int = 1,
    live: bool = False,
    ray_s: float | None = None,
) -> Watched:
    """Reconstruct ``series`` in a process of its own; ``folder`` is replaced.

    live: also keep the volumes shown meanwhile.  ray_s: ask the run to stop, with its
    result kept, when rays have trained the network for so many seconds.
    """
    shutil.rmtree(folder, ignore_errors=True)
    paths = RunPaths(runs.create_run(folder, series, config).path)
    took = folder.with_suffix(".took.json")
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    environment |= {"GOMP_SPINCOUNT": "10000"}
    shown: list[Shown] = []
    with open(folder.with_suffix(".log"), "wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(paths.folder), str(took)],
            env=environment,
            stdout=log,
            stderr=log,
        )
        seen = 0
        while process.poll() is None:
            if live:
                seen = _look(paths, process.pid, began, seen, shown)
            if ray_s is not None and _in_rays(paths):
                time.sleep(ray_s)
                paths.control("stop").touch()
                ray_s = None
            time.sleep(LOOK_S)
        wall = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(folder.with_suffix(".log").read_text()[-2000:])
    numbers = json.loads(took.read_text())
    result = np.asarray(io.read_volume(paths.result_volume).data)
    shown.append(Shown(wall, numbers["cpu_s"], result))
    return Watched(wall, numbers["cpu_s"], numbers["peak_bytes"], shown)


def _in_rays(paths: RunPaths) -> bool:
    """Whether the training with rays has begun."""
    return paths.events.exists() and '"name":"rays"' in paths.events.read_text()


def _look(
    paths: RunPaths, pid: int, began: float, seen: int, shown: list[Shown]
) -> int:
    """Keep the live volume if it is new and not coarse; return when it was written."""
    try:
        written = paths.preview_volume.stat().st_mtime_ns
        if written == seen:
            return seen
        volume = np.load(paths.preview_volume)
        times = psutil.Process(pid).cpu_times()
    except (OSError, psutil.Error):
        return seen
    _, height, width = np.load(paths.input, mmap_mode="r").shape
    if volume.shape[1:] == (height, width):
        now = time.perf_counter() - began
        shown.append(Shown(now, times.user + times.system, volume))
    return written
