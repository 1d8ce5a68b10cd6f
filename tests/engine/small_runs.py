"""Small runs for the tests of the worker program, and requests that reach them."""

from __future__ import annotations

import json

import numpy as np

from napari_inr_tomo import runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine.reporter import Reporter
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.simulate import simulate_series

ANGLES = np.arange(-60, 61, 10.0)
QUICK = {
    "compute": {"device": "cpu", "precision": "float32"},
    "classic": {"iterations": 30},
    "inr": {
        "field": {"width": 24, "hidden_layers": 1},
        "schedule": {"epochs": 2, "batch_rays": 256},
        "loss": {"tv_points": 100},
        "warm_start_iterations": 20,
        "warm_start_steps": 20,
    },
}


def make(folder, method: str, changes=None, size=(18, 16), **simulation) -> RunPaths:
    series = simulate_series("chiral", size, ANGLES, seed=1, **simulation).series
    config = ReconstructionConfig.from_preset("fast", method=method).merged(QUICK)
    runs.create_run(folder, series, config.merged(changes or {}))
    return RunPaths(folder)


def events(paths: RunPaths) -> list[dict]:
    return [json.loads(line) for line in paths.events.open()]


def asking(monkeypatch, request: int, after: int, phase: str = "rays") -> None:
    """Have a request arrive once, after so many looks in a phase."""
    count = 0

    def poll(self) -> int:
        nonlocal count
        count += self.phase_name == phase
        return request if count == after else 0

    monkeypatch.setattr(Reporter, "poll", poll)
