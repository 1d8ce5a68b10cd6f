"""Several ranks: equal to one, killed, hung, asleep, and gone on with fewer."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

if os.name == "nt":
    pytest.skip("signals and fork are POSIX", allow_module_level=True)

from fault_runs import (
    Worker,
    check_readable,
    finish,
    finished_state,
    gap,
    make_run,
    ranks,
)

from napari_inr_tomo import io
from napari_inr_tomo.engine import checkpoint
from napari_inr_tomo.engine.worker import LOST, OWN_FAULT
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.runs import RunFolder
from patience import FairClock

Figure = Callable[[str], None]
Wait = Callable[..., None]
LONG = {"inr": {"schedule": {"epochs": 400}}}
WARM = {
    "inr": {
        "warm_start": "tv",
        "warm_start_iterations": 5,
        "warm_start_steps": 5,
        "holdout": {"fraction": 0.2},
        "schedule": {"hidden_learning_rate": 1e-3},
    }
}


def last_event(paths: RunPaths):
    return RunFolder(paths.folder).events()[-1]


def epochs_told(paths: RunPaths) -> int:
    return sum(event.type == "epoch" for event in RunFolder(paths.folder).events())


def ended(paths: RunPaths) -> bool:
    return RunFolder(paths.folder).status().state == "finished"


def at_work(paths: RunPaths, eventually: Wait) -> None:
    """Wait until the rays run and a checkpoint is there."""
    eventually(lambda: any(paths.checkpoints.glob("step-*.sha256")), 60)


PATIENCE_S = 6.0


def impatient() -> None:
    """Give other ranks up early (in a child)."""
    os.environ["INR_TOMO_TIMEOUT"] = str(round(PATIENCE_S))


@pytest.mark.scenario(31)
@pytest.mark.parametrize(
    "sizes",
    [(2,), pytest.param((2, 3, 4, 16), marks=pytest.mark.faults)],
    ids=["few", "many"],
)
def test_many_ranks_equal_one(
    tmp_path: Path, sizes: tuple[int, ...], figure: Figure
) -> None:
    one = finished_state(make_run(tmp_path / "1", WARM))
    assert max(abs(one["poses/shift_px"]).max(), 0) > 1e-3  # the poses took part
    for size in sizes:
        many = finished_state(make_run(tmp_path / str(size), WARM), size)
        apart = gap(one, many)
        assert apart < 1e-12
        figure(f"{size} ranks and 1: {apart:.1e} apart")


@pytest.mark.scenario(31)
@pytest.mark.parametrize(
    "course",
    [
        (1, 1),
        pytest.param((4, 4), marks=pytest.mark.faults),
        pytest.param((4, 2), marks=pytest.mark.faults),
        pytest.param((2, 16), marks=pytest.mark.faults),
    ],
    ids=str,
)
def test_resume_on_the_same_and_on_another_number_of_ranks(
    tmp_path: Path, course: tuple[int, int], figure: Figure, eventually: Wait
) -> None:
    first, second = course
    changes = {"inr": {"schedule": {"epochs": 40}}}
    straight = finished_state(make_run(tmp_path / "a", changes), first)
    broken = make_run(tmp_path / "b", changes)
    with ranks(broken, first) as members:
        at_work(broken, eventually)
        members[0].send()
    assert not check_readable(broken, True)
    apart = gap(straight, finished_state(broken, second))
    assert apart == 0 if first == second else apart < 1e-12
    figure(f"{first} -> {second} ranks: {apart:.1e} apart")


@pytest.mark.scenario(2)
@pytest.mark.parametrize(
    "kills", [1, pytest.param(20, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_any_rank_may_be_killed(tmp_path: Path, kills: int, figure: Figure) -> None:
    """One killed before they have met is waited for until the others lose patience."""
    chance, size, slowest = random.Random(2), 2, 0.0
    straight = finished_state(make_run(tmp_path / "a"), size)
    paths = make_run(tmp_path / "b")
    for trial in range(kills):
        if paths.complete.exists():
            paths = make_run(tmp_path / f"b{trial}")
        with ranks(paths, size, impatient) as members:
            time.sleep(chance.uniform(0.1, 1.0))
            members[trial % size].send()
            clock = FairClock()
            for member in members:
                member.wait(20 + PATIENCE_S)
            slowest = max(slowest, clock.wall())
        check_readable(paths)
    if not paths.complete.exists():
        assert gap(straight, finished_state(paths, size)) == 0
    figure(f"{kills} kills: the others ended within {slowest:.1f} s, resumed bitwise")


@pytest.mark.scenario(2)
def test_a_lost_rank_is_told_in_words(tmp_path: Path, eventually: Wait) -> None:
    paths = make_run(tmp_path / "run", LONG)
    with ranks(paths, 2) as members:
        at_work(paths, eventually)
        members[1].send()
        assert members[0].wait(20) == LOST
    told = last_event(paths)
    assert told.type == "failed"
    assert "Another process" in told.what
    assert "Resume" in told.do


@pytest.mark.faults
@pytest.mark.scenario(4)
def test_a_rank_that_hangs_is_given_up(
    tmp_path: Path, figure: Figure, eventually: Wait
) -> None:
    paths = make_run(tmp_path / "run", LONG)
    with ranks(paths, 2, impatient) as members:
        at_work(paths, eventually)
        clock = FairClock()
        members[1].send(signal.SIGSTOP)
        assert members[0].wait(30) == LOST
        fair, took = clock.seconds(), clock.wall()
    assert "Another process" in last_event(paths).what
    assert fair < PATIENCE_S + 5
    check_readable(paths, True)
    figure(f"found out after {took:.1f} s of {PATIENCE_S:.0f} s allowed")


@pytest.mark.faults
@pytest.mark.scenario(27)
def test_all_ranks_sleep_for_longer_than_they_wait(
    tmp_path: Path, figure: Figure, eventually: Wait
) -> None:
    changes = {"inr": {"schedule": {"epochs": 40}}}
    straight = finished_state(make_run(tmp_path / "a", changes), 2)
    paths = make_run(tmp_path / "b", changes)
    with ranks(paths, 2, impatient) as members:
        at_work(paths, eventually)
        for member in members:
            member.send(signal.SIGSTOP)
        time.sleep(PATIENCE_S + 2)
        for member in members:
            member.send(signal.SIGCONT)
        codes = [member.wait(30) for member in members]
    went_on = codes == [0, 0]
    if not went_on:
        assert last_event(paths).type == "failed"
    assert gap(straight, finished_state(paths, 2)) == 0 or went_on
    figure("2 ranks: " + ("went on by themselves" if went_on else "resumed bitwise"))


@pytest.mark.scenario(27)
def test_a_single_process_sleeps_and_goes_on(
    tmp_path: Path, figure: Figure, eventually: Wait
) -> None:
    paths = make_run(tmp_path / "run", {"inr": {"schedule": {"epochs": 30}}})
    with ranks(paths, 1) as (member,):
        at_work(paths, eventually)
        member.send(signal.SIGSTOP)
        time.sleep(1.0)
        member.send(signal.SIGCONT)
        assert member.wait() == 0
    for event in check_readable(paths) and RunFolder(paths.folder).events():
        assert getattr(event, "eta_s", None) is None or event.eta_s >= 0
    figure("1 process: went on by itself")


def lose_the_card_of_rank_1() -> None:
    from napari_inr_tomo.engine.training import Trainer

    whole, steps = Trainer._step, 0

    def step(self, request):
        nonlocal steps
        steps += 1
        if self.ranks.rank == 1 and steps == 9:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return whole(self, request)

    Trainer._step = step


@pytest.mark.faults
@pytest.mark.scenario(7)
def test_a_lost_card_costs_one_rank(tmp_path: Path, figure: Figure) -> None:
    straight = finished_state(make_run(tmp_path / "a"), 4)
    paths = make_run(tmp_path / "b")
    with ranks(paths, 4, lose_the_card_of_rank_1) as members:
        assert [member.wait() for member in members][1] == LOST
    assert last_event(paths).type == "failed"
    apart = gap(straight, finished_state(paths, 3))
    assert apart < 1e-12
    figure(f"gone on with 3 of 4 processes: {apart:.1e} apart (injected error, no GPU)")


@pytest.mark.scenario(28)
def test_a_second_worker_in_the_folder_leaves_it_alone(
    tmp_path: Path, eventually: Wait, figure: Figure
) -> None:
    paths = make_run(tmp_path / "run", LONG)
    with ranks(paths, 1):
        at_work(paths, eventually)
        assert Worker(paths).wait() == OWN_FAULT
        assert RunFolder(paths.folder).status().state == "running"
        log = (paths.logs / "rank-0.log").read_text()
    assert "in use" in log
    figure("a second start in the same folder refused")


@pytest.mark.faults
@pytest.mark.scenario(28)
def test_two_runs_at_once_equal_those_alone(tmp_path: Path, figure: Figure) -> None:
    seeds = ({"seed": 1}, {"seed": 2})
    for number, seed in enumerate(seeds):
        finish(make_run(tmp_path / f"alone{number}", seed), 2)
    both = [make_run(tmp_path / f"both{n}", seed) for n, seed in enumerate(seeds)]
    with ranks(both[0], 2) as first, ranks(both[1], 2) as second:
        assert [member.wait() for member in [*first, *second]] == [0] * 4
    for number, paths in enumerate(both):
        alone = RunPaths(tmp_path / f"alone{number}")
        volumes = [io.read_volume(p.result_volume).data for p in (alone, paths)]
        assert (volumes[0] == volumes[1]).all()
    figure("two runs side by side bitwise equal to each alone")


@pytest.mark.scenario(29)
@pytest.mark.parametrize(
    "times", [2, pytest.param(50, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_cancel_at_any_moment(
    tmp_path: Path, times: int, figure: Figure, eventually: Wait
) -> None:
    chance, slowest, resumable = random.Random(29), 0.0, 0
    endless = {"inr": {"schedule": {"epochs": 100_000}}}
    paths = make_run(tmp_path / "run", endless)
    for _ in range(times):
        with ranks(paths, 1) as (member,):
            eventually(lambda: RunFolder(paths.folder).status().phase == "rays", 30)
            time.sleep(chance.uniform(0, 0.3))
            clock = FairClock()
            RunFolder(paths.folder).request("cancel")
            assert member.wait(30) == 0
            slowest = max(slowest, clock.wall())
        assert RunFolder(paths.folder).status().state == "cancelled"
        resumable += checkpoint.load(paths.checkpoints) is not None
    assert resumable == times
    figure(f"{resumable} of {times} resumable, answered within {slowest:.1f} s")


@pytest.mark.scenario(30)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=str)
def test_a_scheduler_asks_for_a_checkpoint(
    tmp_path: Path, number: int, figure: Figure, eventually: Wait
) -> None:
    changes = {"compute": {"checkpoint_seconds": 1000}} | LONG
    paths = make_run(tmp_path / "run", changes)
    with ranks(paths, 1) as (member,):
        eventually(lambda: RunFolder(paths.folder).status().phase == "rays", 30)
        time.sleep(0.2)
        clock = FairClock()
        member.send(number)
        eventually(lambda: any(paths.checkpoints.glob("step-*.sha256")), 10)
        took = clock.wall()
        if number == signal.SIGTERM:
            assert member.wait(20) == 0
            assert RunFolder(paths.folder).status().state == "cancelled"
    figure(f"{signal.Signals(number).name}: checkpoint after {took:.1f} s")


@pytest.mark.scenario(30)
@pytest.mark.parametrize(
    ("phase", "changes"),
    [
        ("SIRT", {"method": "sirt", "classic": {"iterations": 100_000}}),
        ("learning the start", {"inr": WARM["inr"] | {"warm_start_steps": 100_000}}),
    ],
)
def test_a_scheduler_ends_all_ranks_at_once(
    tmp_path: Path, phase: str, changes: dict, figure: Figure, eventually: Wait
) -> None:
    paths = make_run(tmp_path / "run", changes)
    with ranks(paths, 2) as members:
        eventually(lambda: RunFolder(paths.folder).status().phase == phase, 30)
        for member in members:
            member.send(signal.SIGTERM)
        assert [member.wait(20) for member in members] == [0, 0]
    assert RunFolder(paths.folder).status().state == "cancelled"
    figure("SIGTERM to both of 2 processes at once: both ended as asked")


@pytest.mark.faults
@pytest.mark.scenario(30)
def test_a_run_in_pieces_of_its_time_limit_equals_one_in_one_piece(
    tmp_path: Path, figure: Figure, eventually: Wait
) -> None:
    changes = {"inr": {"schedule": {"epochs": 15}}}
    straight = finished_state(make_run(tmp_path / "a", changes), 2)
    paths, pieces = make_run(tmp_path / "b", changes), 0
    state = None
    while state != "finished":
        pieces += 1
        assert pieces < 60
        with ranks(paths, 2) as members:
            before = epochs_told(paths)
            eventually(lambda n=before: ended(paths) or epochs_told(paths) > n, 60)
            paths.control("cancel").touch()  # as the script does before the limit
            for member in members:
                assert member.wait(30) == 0
        paths.control("cancel").unlink(missing_ok=True)
        state = RunFolder(paths.folder).status().state
    volumes = [io.read_volume(tmp_path / n / "result" / "volume.mrc") for n in "ab"]
    assert (volumes[0].data == volumes[1].data).all()
    assert straight
    figure(f"a run in {pieces} pieces bitwise equal to one in one piece")


@pytest.mark.scenario(3)
def test_a_dead_holder_keeps_no_lock(tmp_path: Path, figure: Figure) -> None:
    path = tmp_path / "lock"
    for _ in range(5):
        pid = os.fork()
        if not pid:
            FolderLock(path).acquire()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        with FolderLock(path):
            pass
    figure("the lock is free after kill -9")
