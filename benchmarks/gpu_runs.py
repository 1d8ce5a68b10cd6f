"""Whole runs for the benchmark of a card, started as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scores import scores

from napari_inr_tomo import io
from napari_inr_tomo.layout import RunPaths, read_run
from napari_inr_tomo.simulate import simulate_series


def prepare(folder: Path, size: int, tilts: int, reach: float) -> None:
    """Write a series, ``stack.h5``, and its truth, ``truth.npy``."""
    folder.mkdir()
    ends = (-reach, reach) if reach < 90 else (-90.0, 90.0 - 180 / tilts)
    angles = np.linspace(*ends, tilts)
    made = simulate_series("sea-mine", size, angles, dose=500.0)
    np.save(folder / "truth.npy", np.asarray(made.truth.data))
    io.write_series(folder / "stack.h5", made.series)


def configured(folder: Path, settings: str) -> list[str]:
    """Write settings, if there are any, and return the options that name them."""
    if not settings:
        return []
    path = folder / "settings.toml"
    path.write_text(settings, encoding="utf-8")
    return ["--config", str(path)]


@dataclass(frozen=True)
class Found:
    """A run: (pixels, tilts), its seconds, when its phases began, how good it is."""

    size: tuple[int, int]
    seconds: float
    stopped: bool
    began_s: dict[str, float]
    scores: dict[str, Any]


def whole_run(folder: Path, options: list[str], limit_s: float) -> Found:
    """Reconstruct the series that `prepare` wrote, stopped in time."""
    truth = np.load(folder / "truth.npy")
    size, run = len(truth), folder / "run"
    parts = [sys.executable, "-m", "napari_inr_tomo.cli", "reconstruct"]
    parts += [str(folder / "stack.h5"), "-o", str(folder / "volume.mrc")]
    parts += ["--run", str(run), "--depth", str(size), "--json"]
    parts += ["--no-refine-poses", "--processes", "1", *options]
    began = time.time()
    took, stopped = ended(parts, limit_s)
    judged = scores(np.asarray(io.read_volume(folder / "volume.mrc").data), truth)
    tilts = read_run(RunPaths(run)).shape[0]
    return Found((size, tilts), took, stopped, phases(run, began), judged)


def phases(run: Path, began: float) -> dict[str, float]:
    """Return after how many seconds every phase of a run was first heard of."""
    found: dict[str, float] = {}
    for line in RunPaths(run).events.read_text().splitlines():
        event = json.loads(line)
        if "phase" in event:
            found.setdefault(event["phase"], round(event["time"] - began, 1))
    return found


def ended(parts: list[str], limit_s: float) -> tuple[float, bool]:
    """Run a command; return seconds and whether Ctrl-C had to end it at its limit."""
    start, stopped = time.perf_counter(), False
    with subprocess.Popen(
        parts, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        for patience_s in (max(limit_s, 1.0), 30.0, 10.0):
            try:
                _, said = process.communicate(timeout=patience_s)
                break
            except subprocess.TimeoutExpired:
                stopped = True  # the first keeps the result, the second gives it up
                process.send_signal(signal.SIGINT)
        else:
            process.kill()
            raise RuntimeError(f"it did not end within {limit_s:.0f} s")
    if process.returncode:
        raise RuntimeError(said.decode(errors="replace")[-1000:])
    return time.perf_counter() - start, stopped
