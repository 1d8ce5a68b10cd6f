"""The public implementation of the paper at work, in an environment of its own.

    python peer_quantem.py SERIES.npz OUT --settings lite|paper|sirt --seconds 300

Needs quantem and nothing of this project.  The series holds ``images`` (tilt, y, x) and
``angles_deg``.  Every ``--every`` seconds the volume is written to OUT, (z, y, x), with
the seconds spent so far in its journal; evaluating and writing it do not count.

lite   the package's own quick start (`TomographyLiteINR`) with its defaults
paper  the network, loss, weights and rates of the paper, as far as they can be set
sirt   the package's own SIRT

The poses are right and stay fixed, as for everyone else in the comparison.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

EPOCHS = 150
"""Of the paper; only its cosine and its ramp of samples depend on it."""


class TimeIsUp(Exception):
    """The seconds are spent."""


class Clock:
    """Counts the seconds of the reconstruction alone and keeps volumes on the way."""

    def __init__(
        self, out: Path, seconds: float, every: float, volume: Callable[[], Any]
    ) -> None:
        self.out, self.seconds, self.every, self.volume = out, seconds, every, volume
        self.wall = self.cpu = 0.0
        self.next = every
        self.kept = 0
        self.resume()

    def resume(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def tick(self) -> None:
        """Look at the time; called after every step."""
        wall = self.wall + time.perf_counter() - self._began[0]
        if wall < min(self.next, self.seconds):
            return
        self.cpu += time.process_time() - self._began[1]
        self.wall = wall
        name = f"{self.kept:04d}.npy"
        np.save(self.out / name, np.asarray(self.volume(), np.float32))
        line = {"file": name, "wall_s": self.wall, "cpu_s": self.cpu}
        with (self.out / "journal.jsonl").open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")
        self.kept += 1
        self.next = self.wall + self.every
        if self.wall >= self.seconds:
            raise TimeIsUp
        self.resume()


def zyx(volume: torch.Tensor) -> Any:
    """Return the network's (channel, x, y, z) volume as (z, y, x)."""
    return volume[0].permute(2, 1, 0).numpy()


def run_network(made: Any, settings: dict[str, Any], clock: dict[str, Any]) -> None:
    """Reconstruct until the time is up, looking at the clock after every step."""
    timer = Clock(volume=lambda: zyx(made.obj_model.create_volume(True)), **clock)
    step = made.step_optimizers

    def step_and_look() -> None:
        step()
        timer.tick()

    made.step_optimizers = step_and_look
    made.reconstruct(num_workers=0, **settings)


def lite(images: torch.Tensor, angles: torch.Tensor, clock: dict[str, Any]) -> None:
    """Run the quick start with its defaults."""
    from quantem.tomography.tomography_lite import TomographyLiteINR

    made = TomographyLiteINR.from_dataset(images, angles, device="cpu", rng=0)
    run_network(made, {"num_iter": 100_000, "learn_pose": False}, clock)


def paper(images: torch.Tensor, angles: torch.Tensor, clock: dict[str, Any]) -> None:
    """Run the settings of the paper: 4 x 512, softplus, smooth L1, TV, ramp, cosine."""
    from quantem.core.ml.inr import HSiren
    from quantem.core.ml.optimizer_mixin import OptimizerParams, SchedulerParams
    from quantem.tomography.dataset_models import TomographyINRDataset
    from quantem.tomography.object_models import ObjectINR
    from quantem.tomography.tomography import Tomography

    side = max(images.shape)
    made = Tomography.from_models(
        TomographyINRDataset.from_data(images, angles),
        ObjectINR.from_model(
            HSiren(hidden_layers=4, hidden_features=512, final_activation="softplus"),
            shape=(side, side, side),
            device="cpu",
            rng=0,
        ),
        device="cpu",
        rng=0,
    )
    ramp = [
        (epoch, max(2, round(side * min(1.0, 0.04 + 0.096 * epoch))))
        for epoch in range(EPOCHS)
    ]
    settings = {
        "num_iter": EPOCHS,
        "batch_size": 1024,
        "optimizer_params": {"object": OptimizerParams.Adam(lr=8e-6)},
        "scheduler_params": {
            "object": SchedulerParams.parse_dict({"name": "cosine_annealing"})
        },
        "obj_constraints": {"name": "obj_inr", "tv_vol": 1e-4},
        "num_samples_per_ray": ramp,
        "loss_type": "smooth_l1",
        "loss_func_kwargs": {"beta": 0.07},
    }
    run_network(made, settings, clock)


def sirt(images: torch.Tensor, angles: torch.Tensor, clock: dict[str, Any]) -> None:
    """Run the package's SIRT, one iteration at a time."""
    from quantem.tomography.tomography_lite import TomographyLiteConv

    made = TomographyLiteConv.from_dataset(images, angles, device="cpu", rng=0)
    made.verbose = False
    timer = Clock(volume=lambda: made.obj_model.obj.numpy(), **clock)
    while True:
        made.reconstruct(num_iter=1, mode="sirt")
        timer.tick()


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("series", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--settings", choices=("lite", "paper", "sirt"), default="lite")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--every", type=float, default=10)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    series = np.load(options.series)
    images = torch.from_numpy(series["images"].astype(np.float32))
    angles = torch.from_numpy(series["angles_deg"].astype(np.float32))
    torch.manual_seed(0)
    clock = {"out": options.out, "seconds": options.seconds, "every": options.every}
    try:
        {"lite": lite, "paper": paper, "sirt": sirt}[options.settings](
            images, angles, clock
        )
    except TimeIsUp:
        sys.exit(0)


if __name__ == "__main__":
    main()
