"""Workers that live and die as they should, whoever started them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.events import Cancelled
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.runs import (
    RunFolder,
    default_processes,
    launch,
    launching,
)
from napari_inr_tomo.runs.launching import command, environment

Wait = Callable[..., None]
posix = pytest.mark.skipif(os.name == "nt", reason="signals and sessions are POSIX")

CALLER = """
import signal, sys, time
# a parent may have told its children to ignore them
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from napari_inr_tomo.runs import RunFolder, launch
launch(RunFolder(sys.argv[1]), 1, module="fake_worker")
print("launched", flush=True)
time.sleep(60)
"""


def facts(run: RunFolder, rank: int = 0) -> dict[str, object]:
    return dict(json.loads((run.paths.logs / f"facts-{rank}.json").read_text()))


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@posix
def test_one_worker_is_started_directly_and_politely(
    run: RunFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "of the caller, not of the worker")
    monkeypatch.setenv("RANK", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    started = launch(run, 1, device="cpu", module=worker)
    assert started.wait(20) == 0
    assert run.status().state == "finished"
    seen = facts(run)
    assert seen["pid"] == started.pid == seen["session"]
    assert seen["nice"] == min(os.nice(0) + 10, 19)
    assert (seen["world"], seen["stdin"], seen["device"]) == (1, "", "cpu")
    assert int(str(seen["threads"])) >= 1


@pytest.mark.scenario(1)
@posix
@pytest.mark.parametrize("blow", ["SIGKILL", "SIGINT", "SIGHUP"])
def test_the_run_outlives_its_caller(
    run: RunFolder,
    worker: str,
    eventually: Wait,
    blow: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "40")
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER, str(run.path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"launched\n"
    eventually(lambda: run.status().step >= 1)
    os.killpg(caller.pid, getattr(signal, blow))
    assert caller.wait(10) != 0
    caller.stdout.close()
    assert run.status().state == "running"
    eventually(lambda: run.status().state == "finished")
    assert [event.seq for event in run.events()] == list(range(42))


@pytest.mark.scenario(3)
@posix
def test_no_worker_outlives_the_launcher(
    run: RunFolder, worker: str, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    started = launch(run, 2, module=worker)
    both = [run.paths.logs / f"facts-{rank}.json" for rank in (0, 1)]
    eventually(lambda: all(p.exists() and p.stat().st_size for p in both), 60)
    eventually(lambda: run.status().step >= 1)
    pids = [int(str(facts(run, rank)["pid"])) for rank in (0, 1)]
    assert {facts(run, rank)["parent"] for rank in (0, 1)} == {started.pid}
    assert started.pid not in {facts(run, rank)["session"] for rank in (0, 1)}
    os.kill(started.pid, signal.SIGKILL)
    eventually(lambda: all(gone(pid) for pid in pids), 3)
    assert started.wait(5) == -signal.SIGKILL
    # the last thread of a killed process takes a moment to let go of the lock
    eventually(lambda: run.status().state == "interrupted", 3)


@pytest.mark.scenario(28)
def test_a_busy_folder_is_refused_with_pid_and_host(
    run: RunFolder, worker: str, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    started = launch(run, 1, module=worker)
    with pytest.raises(UserError, match=f"process {started.pid} on .* works in it"):
        launch(run, 1, module=worker)  # before the worker has taken the lock
    eventually(lambda: run.status().step >= 1)
    with pytest.raises(UserError, match=f"process {started.pid} on .* works in it"):
        launch(run, 1, module=worker)  # after
    run.request("cancel")
    eventually(lambda: run.status().state == "cancelled")
    started.wait(10)


def test_stop_keeps_the_result_and_a_stale_request_is_forgotten(
    run: RunFolder, worker: str, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    run.request("cancel")
    started = launch(run, 1, module=worker)
    eventually(lambda: run.status().step >= 2)
    run.request("stop")
    eventually(lambda: run.status().state in ("stopping", "stopped"))
    assert started.wait(20) == 0
    assert run.status().state == "stopped"
    assert run.result().is_file()
    run.verify_result()


@pytest.mark.scenario(2)
def test_a_killed_run_is_interrupted_and_goes_on(
    run: RunFolder, worker: str, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    started = launch(run, 1, module=worker)
    eventually(lambda: run.status().step >= 1)
    psutil.Process(started.pid).kill()
    eventually(lambda: run.status().state == "interrupted")
    with open(run.paths.events, "ab") as handle:
        handle.write(b'{"seq": 99, "ty')  # a torn line, as a kill may leave
    monkeypatch.setenv("FAKE_STEPS", "3")
    again = launch(run, 1, module=worker)
    assert run.status().state == "running"
    assert again.wait(20) == 0
    assert run.status().state == "finished"
    numbers = [event.seq for event in run.events()]
    assert numbers == list(range(len(numbers)))


def test_a_resume_waits_for_workers_that_are_leaving(
    run: RunFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, leaving = EventWriter(run.paths.events), FolderLock(run.paths.lock)
    leaving.acquire()
    writer.write(Cancelled(step=1))
    writer.close()
    threading.Timer(0.5, leaving.release).start()
    assert launch(run, 1, module=worker).wait(20) == 0
    assert run.status().state == "finished"
    with FolderLock(run.paths.lock):
        monkeypatch.setattr(launching, "LEAVE_S", 0.1)
        with pytest.raises(UserError, match="works in it"):
            launch(run, 1, module=worker)  # it hangs at its end


def test_workers_that_do_not_start_leave_a_reason(
    run: RunFolder, worker: str, eventually: Wait
) -> None:
    started = launch(run, 1, module="no_such_worker")
    assert started.wait(20) != 0
    status = run.status()
    assert status.state == "interrupted"
    assert "No module named no_such_worker" in status.message


def test_a_run_is_ended_by_force(
    run: RunFolder, worker: str, eventually: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    started = launch(run, 1, module=worker)
    eventually(lambda: run.status().step >= 1)
    run.end(grace_s=2)
    assert started.wait(5) is not None
    assert run.status().state == "interrupted"
    run.end()  # nothing left: no error


def test_a_changed_input_is_not_resumed(run: RunFolder, worker: str) -> None:
    assert launch(run, 1, module=worker).wait(20) == 0
    with open(run.paths.input, "r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\x7f")
    with pytest.raises(UserError, match=r"input\.npy"):
        launch(run, 1, module=worker)


def test_several_processes_have_a_launcher(tmp_path: Path) -> None:
    several = command(RunPaths(tmp_path), 3, python="py")
    assert several[:3] == ["py", "-m", "napari_inr_tomo.engine.launcher"]
    assert several[several.index("--processes") + 1] == "3"
    assert several[several.index("--module") + 1] == "napari_inr_tomo.engine"
    one = ["py", "-m", "napari_inr_tomo.engine", str(tmp_path)]
    assert command(RunPaths(tmp_path), 1, python="py") == one


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("napari_inr_tomo.runs.launching.cores", lambda: 8)
    assert environment(3)["OMP_NUM_THREADS"] == "2"
    assert environment(16)["OMP_NUM_THREADS"] == "1"
    assert "RANK" not in environment(3)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment(3)["OMP_NUM_THREADS"] == "5"


def test_processes_follow_settings_and_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_inr_tomo.runs.launching.visible_gpus", lambda: 4)
    config = ReconstructionConfig()
    assert default_processes(config) == 4
    assert default_processes(config, "cpu") == 1
    assert default_processes(config.merged({"compute": {"processes": 3}})) == 3
    assert default_processes(config.merged({"method": "sirt"})) == 1


def test_nothing_of_this_imports_torch_or_qt() -> None:
    code = "import sys, napari_inr_tomo.runs; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"torch", "qtpy", "napari"} & set(done.stdout.split())


def test_time_of_launch_is_noted(run: RunFolder, worker: str) -> None:
    before = time.time()
    started = launch(run, 1, module=worker)
    noted = json.loads(run.paths.launcher.read_text())
    assert noted["pid"] == started.pid
    assert before <= noted["started"] <= time.time()
    assert started.wait(20) == 0
