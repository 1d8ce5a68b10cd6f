"""kill -9 at random moments, and what is found afterwards."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

if os.name == "nt":
    pytest.skip("kill -9 and fork are POSIX", allow_module_level=True)

from fault_runs import Worker, check_readable, finish, kill_soon, make_run

from napari_inr_tomo import events
from napari_inr_tomo.engine import checkpoint
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.runs import Follower

Figure = Callable[[str], None]


def killed(work: Callable[[], None], chance: random.Random, most_s: float) -> None:
    """Do something for ever in a child and kill it after a random time."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(1)
    time.sleep(chance.uniform(0.004, most_s))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def write_checkpoints(folder: Path, plain: bool = False) -> None:
    step = 0
    loaded = None if plain else checkpoint.load(folder)
    if loaded is not None:
        step = loaded[1]["step"]
    while True:
        step += 1
        arrays = {"a": torch.full((300, 700), float(step))}
        if plain:
            np.savez(folder / "step-000000001.npz", a=arrays["a"].numpy())
        else:
            checkpoint.save(folder, step, arrays, {"step": step})


@pytest.mark.scenario(10)
@pytest.mark.parametrize(
    "kills", [6, pytest.param(200, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_a_kill_while_checkpoints_are_written(
    tmp_path: Path, kills: int, figure: Figure
) -> None:
    chance = random.Random(10)
    checkpoint.save(tmp_path, 0, {"a": torch.zeros(300, 700)}, {"step": 0})
    last = done = 0
    while done < kills or last < kills / 20:  # they are to be killed at work
        done += 1
        assert done < 100 * kills
        killed(lambda: write_checkpoints(tmp_path), chance, 0.12)
        loaded = checkpoint.load(tmp_path)
        assert loaded is not None
        arrays, info, _ = loaded
        assert bool((arrays["a"] == info["step"]).all())
        assert info["step"] >= last
        last = info["step"]
    figure(f"0 of {done} kills left no good checkpoint ({last} were written)")


@pytest.mark.faults
@pytest.mark.scenario(10)
def test_the_same_without_the_protection_does_harm(
    tmp_path: Path, figure: Figure
) -> None:
    """The injection has teeth: numpy's own way to write fails it."""
    chance, unreadable = random.Random(10), 0
    for _ in range(30):
        killed(lambda: write_checkpoints(tmp_path, plain=True), chance, 0.06)
        try:
            with np.load(tmp_path / "step-000000001.npz", allow_pickle=False) as file:
                values = file["a"]
            unreadable += len(np.unique(values)) != 1
        except Exception:  # noqa: BLE001 - whatever half a file provokes
            unreadable += 1
    assert unreadable > 3
    figure(f"written in place, {unreadable} of 30 would be unreadable")


@pytest.mark.scenario(39)
@pytest.mark.parametrize(
    "kills", [10, pytest.param(200, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_a_kill_while_events_are_written(
    tmp_path: Path, kills: int, figure: Figure
) -> None:
    path = tmp_path / "events.jsonl"

    def write() -> None:
        writer = EventWriter(path)
        while True:
            writer.write(events.Phase(name="x" * 3000))
            writer.write(events.Warned(what="w" * 40, why="y", do="z"))

    chance, follower, seen = random.Random(39), Follower(RunPaths(tmp_path)), 0
    for trial in range(kills):
        killed(write, chance, 0.02)
        if trial % 3 == 0 and path.exists():  # as a power cut may
            os.truncate(path, max(path.stat().st_size - chance.randrange(2000), 0))
            follower = Follower(RunPaths(tmp_path))
            seen = 0
        numbers = [event.seq for event in follower.poll()]
        assert numbers == list(range(seen, seen + len(numbers)))
        seen += len(numbers)
        assert (follower.lost, follower.unreadable) == (0, 0)
    assert seen > 0
    figure(f"0 of {kills} kills left a gap or an unreadable line")


@pytest.mark.scenario(34)
@pytest.mark.parametrize(
    "kills", [8, pytest.param(120, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_a_kill_while_the_result_is_written(
    tmp_path: Path, kills: int, figure: Figure
) -> None:
    """FBP takes no time: nearly all of such a run is writing."""
    paths = make_run(tmp_path / "run", method="fbp")
    finish(paths)
    began = time.monotonic()
    finish(paths)
    whole_s = time.monotonic() - began
    chance, alive, without = random.Random(34), 0, 0
    for _ in range(kills):
        alive += kill_soon(Worker(paths), 0.0, whole_s, chance)
        without += not check_readable(paths)
    assert alive
    finish(paths)
    figure(
        f"{kills} kills: 0 partial volumes shown as complete, {without} folders "
        "without a result for the moment"
    )


@pytest.mark.scenario(10, 34)
@pytest.mark.parametrize(
    "kills", [4, pytest.param(100, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_a_kill_at_any_moment_of_a_run(
    tmp_path: Path, kills: int, figure: Figure
) -> None:
    """Each run is killed and resumed until it ends; then the next one starts."""
    chance, done, ended = random.Random(1), 0, 0
    while done < kills:
        paths = make_run(tmp_path / f"run-{ended}")
        complete, had = False, False
        while not complete and done < kills:
            done += kill_soon(Worker(paths), 0.02, 0.6, chance)
            complete = check_readable(paths, had)
            had = had or any(paths.checkpoints.glob("step-*.sha256"))
        finish(paths)
        litter = [p for p in paths.folder.rglob(".*") if p.is_file()]
        assert not litter
        ended += 1
    figure(f"{kills} kills of the real worker in {ended} runs: 0 unreadable folders")
