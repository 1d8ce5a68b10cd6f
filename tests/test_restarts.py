"""What becomes of a run whose process died, decided from its folder alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo import events, restarts
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.runs import RunFolder, create_run
from napari_inr_tomo.types import TiltSeries

STARTED = events.Started(
    method="inr", ranks=2, device="cpu", pid=1, tilts=3, shape_zyx=(4, 5, 6), total=9
)
OWN = events.Failed(what="The reconstruction diverged", why="w", do="d")
GONE = events.Failed(what="Another process has gone", why="w", do="d", lost=True)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """A run of which a process may die twice."""
    rng = np.random.default_rng(1)
    series = TiltSeries(rng.random((3, 5, 6), np.float32), np.array([-40.0, 0, 40]))
    config = ReconstructionConfig().merged({"compute": {"restarts": 2}})
    return create_run(tmp_path / "run", series, config).paths


def say(paths: RunPaths, *told: events.Event) -> None:
    writer = EventWriter(paths.events)
    for event in told:
        writer.write(event)
    writer.close()


def reach(paths: RunPaths, step: int) -> None:
    (paths.checkpoints / f"step-{step:09d}.sha256").touch()


def last(paths: RunPaths) -> events.Event:
    return RunFolder(paths.folder).events()[-1]


def test_it_goes_on_while_there_is_progress_and_says_so(paths: RunPaths) -> None:
    say(paths, STARTED)
    reach(paths, 5)
    assert restarts.go_on(paths, "process 1 was ended by SIGKILL")
    told = last(paths)
    assert isinstance(told, events.Warned)
    assert "SIGKILL" in told.why
    assert "from its last checkpoint (restart 1 of at most 2)" in told.do
    say(paths, STARTED)
    reach(paths, 9)
    assert restarts.go_on(paths, "again")
    say(paths, STARTED)
    reach(paths, 12)
    assert not restarts.go_on(paths, "and again")
    told = last(paths)
    assert isinstance(told, events.Failed)
    assert "started again 2 times already" in told.why
    restarts.forget(paths)  # somebody resumes it
    say(paths, STARTED)
    assert restarts.go_on(paths, "later")


def test_a_run_that_died_in_the_middle_of_its_work_goes_on(paths: RunPaths) -> None:
    """Whatever it said last, as long as that was no end."""
    epoch = events.Epoch(step=4, total=9, phase="rays", loss=0.1, elapsed_s=1.0)
    kept = events.Checkpoint(step=4, file="checkpoints/step-000000004.npz")
    doubt = events.Warned(what="w", why="w", do="d")
    say(paths, STARTED, events.Phase(name="rays"), epoch, kept, doubt)
    assert restarts.go_on(paths, "dead")


def test_without_a_new_checkpoint_it_ends(paths: RunPaths) -> None:
    say(paths, STARTED)
    assert restarts.go_on(paths, "dead")
    assert "from the beginning" in last(paths).do  # type: ignore[union-attr]
    say(paths, STARTED)
    assert not restarts.go_on(paths, "dead")
    told = last(paths)
    assert isinstance(told, events.Failed)
    assert "no checkpoint was reached" in told.why


@pytest.mark.parametrize("name", ["stop", "cancel", "obeyed"])
def test_never_after_somebody_asked_for_the_end(paths: RunPaths, name: str) -> None:
    say(paths, STARTED)
    (paths.controls / name).touch()
    assert not restarts.go_on(paths, "dead")
    told = last(paths)
    assert isinstance(told, events.Failed)
    assert "asked to end" in told.why


@pytest.mark.parametrize(
    "end", [OWN, events.Cancelled(step=3), events.Finished(step=3, elapsed_s=1.0)]
)
def test_never_after_an_end_of_its_own(paths: RunPaths, end: events.Event) -> None:
    say(paths, STARTED, end)
    before = paths.events.read_bytes()
    assert not restarts.go_on(paths, "dead")
    assert paths.events.read_bytes() == before


def test_a_lost_process_is_no_end_of_its_own(paths: RunPaths) -> None:
    say(paths, STARTED, GONE)
    assert restarts.go_on(paths, "dead")


def test_never_where_nothing_began_or_another_is_at_it(paths: RunPaths) -> None:
    assert not restarts.go_on(paths, "dead")
    assert not paths.events.exists()
    say(paths, STARTED)
    with FolderLock(paths.lock):
        assert not restarts.go_on(paths, "dead")
    assert restarts.go_on(paths, "dead")


def test_a_reason_against_it_is_told(paths: RunPaths) -> None:
    say(paths, STARTED)
    assert not restarts.go_on(paths, "dead", "no graphics card is left")
    told = last(paths)
    assert isinstance(told, events.Failed)
    assert told.why == "dead; no graphics card is left"


@pytest.mark.parametrize("text", ["{", '{"count": "x"}', "[]"])
def test_an_unreadable_memory_means_no_more(paths: RunPaths, text: str) -> None:
    say(paths, STARTED)
    paths.restarts.write_text(text)
    assert not restarts.go_on(paths, "dead")


def test_a_script_asks_by_exit_status(paths: RunPaths) -> None:
    say(paths, STARTED)
    command = [sys.executable, "-m", restarts.__name__, str(paths.folder), "status 1"]
    answers = [subprocess.run(command, check=False).returncode for _ in range(2)]
    assert answers == [0, 1]
    assert os.path.exists(paths.restarts)
