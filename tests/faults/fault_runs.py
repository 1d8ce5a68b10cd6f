"""Small runs, and real workers forked from the test so that they start at once."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from napari_inr_tomo import runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import checkpoint, worker
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.runs import Follower, RunFolder
from napari_inr_tomo.simulate import simulate_series
from patience import wait_for

ANGLES = np.arange(-60, 61, 20.0)
QUICK = {
    "compute": {
        "device": "cpu",
        "precision": "float64",
        "checkpoint_seconds": 0.05,
        "preview_seconds": 0.05,
    },
    "classic": {"iterations": 20},
    "inr": {
        "field": {"width": 16, "hidden_layers": 1},
        "loss": {"tv_weight": 1e-3, "tv_points": 50},
        "schedule": {"epochs": 3, "batch_rays": 300, "learning_rate": 1e-3},
        "poses": {"start_epoch": 0.5, "coarse": False},
        "warm_start": "none",
    },
}


def make_run(
    folder: Path, changes: dict[str, Any] | None = None, method: str = "inr", **sim: Any
) -> RunPaths:
    """A run folder of seven views of 15 x 13 px."""
    series = simulate_series(
        "chiral", (15, 13), ANGLES, seed=3, **{"shift_sigma_px": 0.7} | sim
    ).series
    config = ReconstructionConfig.from_preset("fast", method=method).merged(QUICK)
    runs.create_run(folder, series, config.merged(changes or {}))
    return RunPaths(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Worker:
    """One forked rank of a run."""

    def __init__(
        self,
        paths: RunPaths,
        rank: int = 0,
        size: int = 1,
        port: int = 0,
        before: Callable[[], Any] | None = None,
    ) -> None:
        self.rank, self.code = rank, None
        self.pid = os.fork()
        if self.pid:
            return
        code = 99
        try:
            self._become(paths, size, port)
            if before is not None:
                before()
            code = worker.main(str(paths.folder))
        finally:
            os._exit(code)

    def _become(self, paths: RunPaths, size: int, port: int) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        logging.root.handlers.clear()
        log = os.open(
            paths.logs / f"rank-{self.rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND
        )
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.environ |= {
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.rank),
            "WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }

    def poll(self) -> int | None:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def wait(self, seconds: float = 60.0) -> int:
        ended = wait_for(lambda: self.poll() is not None, seconds, 0.005)
        assert ended, f"rank {self.rank} does not end"
        assert self.code is not None
        return self.code

    def send(self, number: int = signal.SIGKILL) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


@contextmanager
def ranks(
    paths: RunPaths, size: int, before: Callable[[], Any] | None = None
) -> Iterator[list[Worker]]:
    """Start ``size`` ranks; none of them outlives the block."""
    port = free_port()
    members = [Worker(paths, rank, size, port, before) for rank in range(size)]
    try:
        yield members
    finally:
        for member in members:
            if member.poll() is None:
                os.kill(member.pid, signal.SIGKILL)
                member.wait(10)


def finish(paths: RunPaths, size: int = 1, before: Callable[[], Any] | None = None):
    """Run to the end on so many ranks; return the run's final numbers."""
    with ranks(paths, size, before) as members:
        for member in members:
            log = paths.logs / f"rank-{member.rank}.log"
            assert member.wait(200) == 0, log.read_text()[-2000:]
    return final_state(paths)


def keep_final_state() -> None:
    """Have the worker write its last parameters, in full precision (in a child)."""
    from napari_inr_tomo.engine.training import Trainer

    whole = Trainer.run

    def run(self, *args):
        whole(self, *args)
        if self.ranks.first:
            arrays, _ = self.state()
            values = {k: v.detach().cpu().numpy() for k, v in arrays.items()}
            np.savez(os.environ["FINAL_STATE"], **values)

    Trainer.run = run


def finished_state(paths: RunPaths, size: int = 1) -> dict[str, np.ndarray]:
    """Run to the end and return all parameters and moments in float64."""
    target = paths.folder / "logs" / "final.npz"

    def before() -> None:
        os.environ["FINAL_STATE"] = str(target)
        keep_final_state()

    finish(paths, size, before)
    with np.load(target, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def gap(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference, in units of the largest number of each array or one."""
    assert set(one) == set(other)
    gaps = [
        np.abs(one[name] - other[name]).max() / max(1.0, np.abs(one[name]).max())
        for name in one
    ]
    return float(max(gaps))


def final_state(paths: RunPaths) -> RunFolder:
    run = RunFolder(paths.folder)
    run.verify_result()
    return run


def check_readable(paths: RunPaths, had_checkpoint: bool = False) -> bool:
    """Assert that a run folder is sound; return whether it shows a result."""
    run = RunFolder(paths.folder)
    follower = Follower(paths)
    follower.poll()
    assert (follower.lost, follower.unreadable) == (0, 0)
    loaded = checkpoint.load(paths.checkpoints)
    assert loaded is not None or not had_checkpoint
    if paths.preview_volume.exists():
        assert np.isfinite(np.load(paths.preview_volume, allow_pickle=False)).all()
    if paths.complete.exists():
        run.verify_result()
        assert run.status().state != "created"
    return paths.complete.exists()


def kill_soon(member: Worker, least_s: float, most_s: float, chance: random.Random):
    """SIGKILL after a random time; say whether it was still alive."""
    time.sleep(chance.uniform(least_s, most_s))
    alive = member.poll() is None
    member.send()
    member.wait(10)
    return alive


def children_of(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
