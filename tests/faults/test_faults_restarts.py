"""A process of several is killed under the real launcher, which goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

if os.name == "nt":
    pytest.skip("kill -9 is POSIX", allow_module_level=True)

from fault_runs import make_run

from napari_inr_tomo import io
from napari_inr_tomo.engine import checkpoint, launcher
from napari_inr_tomo.events import Event, Failed, Started, Warned
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.restarts import WHAT, newest_checkpoint
from napari_inr_tomo.runs import RunFolder, launch
from napari_inr_tomo.runs.launching import Launch

Figure = Callable[[str], None]
Wait = Callable[..., None]
LONG = {"inr": {"schedule": {"epochs": 60}}}


def told(paths: RunPaths, kind: type[Event]) -> list:
    return [e for e in RunFolder(paths.folder).events() if isinstance(e, kind)]


def ranks_of(started: Launch) -> dict[int, int]:
    """The process ids of the workers under their ranks."""
    found = {}
    for child in psutil.Process(started.pid).children():
        try:
            found[int(child.environ()["RANK"])] = child.pid
        except (psutil.Error, KeyError):
            continue
    return found


def kill(paths: RunPaths, started: Launch, rank: int, eventually: Wait) -> None:
    """Kill -9 one worker once a new checkpoint is there."""
    before = newest_checkpoint(paths)
    eventually(lambda: newest_checkpoint(paths) > before, 120)
    os.kill(ranks_of(started)[rank], 9)


@pytest.mark.scenario(2)
@pytest.mark.parametrize("rank", [1, pytest.param(0, marks=pytest.mark.faults)])
def test_a_run_goes_on_when_a_process_is_killed(
    tmp_path: Path, rank: int, figure: Figure, eventually: Wait
) -> None:
    """And its result is that of the undisturbed run, bit for bit."""
    straight, broken = (make_run(tmp_path / name, LONG) for name in "ab")
    undisturbed = launch(RunFolder(straight.folder), 2)
    started = launch(RunFolder(broken.folder), 2)
    kill(broken, started, rank, eventually)
    run = RunFolder(broken.folder)
    while started.wait(0.1) is None:
        assert run.status().state in ("running", "finished")  # nobody sees an end
    assert (started.wait(0), undisturbed.wait(120)) == (0, 0)
    assert run.status().state == "finished"
    warned = [warning for warning in told(broken, Warned) if warning.what == WHAT]
    assert len(warned) == 1
    assert f"process {rank} was ended by SIGKILL" in warned[0].why
    assert "restart 1 of at most 3" in warned[0].do
    assert len(told(broken, Started)) == 2
    volumes = [paths.result_volume.read_bytes() for paths in (straight, broken)]
    assert volumes[0][1024:] == volumes[1][1024:]
    poses = [io.read_poses(p.result_poses)[1].as_array() for p in (straight, broken)]
    assert (poses[0] == poses[1]).all()
    figure(f"rank {rank} killed: went on by itself, result bitwise equal")


@pytest.mark.faults
@pytest.mark.scenario(2)
def test_a_process_that_dies_again_and_again_is_an_end(
    tmp_path: Path, figure: Figure, eventually: Wait
) -> None:
    changes = {"compute": {"checkpoint_seconds": 1000.0}}
    paths = make_run(
        tmp_path / "run", {"inr": {"schedule": {"epochs": 4000}}} | changes
    )
    run = RunFolder(paths.folder)
    started = launch(run, 2)
    for attempt in (1, 2):
        eventually(lambda n=attempt: len(told(paths, Started)) == n, 120)
        eventually(lambda: run.status().phase == "rays", 120)
        os.kill(ranks_of(started)[1], 9)
    assert started.wait(120) == 1
    assert run.status().state == "failed"
    assert len(told(paths, Started)) == 2
    end = told(paths, Failed)
    assert len(end) == 1
    assert "no checkpoint was reached since it was started again" in end[0].why
    figure("killed again without a checkpoint in between: ended with words")


@pytest.mark.faults
@pytest.mark.scenario(2)
@pytest.mark.parametrize("how", ["cancel", "force", "own fault"])
def test_an_end_on_purpose_or_by_its_own_fault_is_final(
    tmp_path: Path, how: str, figure: Figure, eventually: Wait
) -> None:
    paths = make_run(tmp_path / "run", {"inr": {"schedule": {"epochs": 4000}}})
    run = RunFolder(paths.folder)
    if how == "own fault":  # the checkpoint is sound, and of another run
        checkpoint.save(paths.checkpoints, 1, {"a": torch.zeros(3)}, {"step": 1})
    started = launch(run, 2)
    if how != "own fault":
        eventually(lambda: run.status().phase == "rays", 120)
    if how == "cancel":
        run.request("cancel")
    elif how == "force":
        run.end(5)
    assert started.wait(120) is not None
    assert len(told(paths, Started)) == 1
    assert not any(warning.what == WHAT for warning in told(paths, Warned))
    if how == "own fault":
        assert [end.what for end in told(paths, Failed)] == [
            "The checkpoint does not belong to this run"
        ]
    figure(f"not started again after: {how}")


def test_cards_that_are_left_decide_on_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four cards, one falls away: three processes; with none left it is over."""
    from torch.distributed.elastic.multiprocessing.errors import (
        ChildFailedError,
        ProcessFailure,
    )

    paths = make_run(tmp_path / "run")
    counts: list[int] = []
    seen = iter([4, 3, 3, 0])

    def run(arguments) -> None:
        from napari_inr_tomo.journal import EventWriter

        counts.append(int(arguments.nproc_per_node))
        writer = EventWriter(paths.events)
        writer.write(
            Started(
                method="inr",
                ranks=counts[-1],
                device="cuda",
                pid=1,
                tilts=7,
                shape_zyx=(1, 1, 1),
                total=1,
            )
        )
        writer.close()
        paths.checkpoints.mkdir(exist_ok=True)
        (paths.checkpoints / f"step-{len(counts):09d}.sha256").touch()
        raise ChildFailedError("worker", {1: ProcessFailure(1, 9, 75, "")})

    monkeypatch.setattr(launcher, "run", run)
    monkeypatch.setattr(launcher, "cards", lambda: next(seen))
    monkeypatch.setenv("INR_TOMO_WATCHED", "1")
    words = [str(paths.folder), "--processes", "4"]
    assert launcher.main(words) == 1
    assert counts == [4, 3, 3]
    warned = told(paths, Warned)
    assert "on 3 of 4 processes" in warned[0].do
    assert "no graphics card is left" in told(paths, Failed)[-1].why
