"""Starting the workers of a run so that nothing but themselves ends them.

One process is started directly; several through `napari_inr_tomo.engine.launcher`.
They live in a session of their own with their output in a file: closing or killing
whoever started them, Ctrl-C in its terminal, or the terminal's end do not reach them.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napari_inr_tomo import atomic, lock, restarts
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.guard import LAUNCHER_VARIABLE
from napari_inr_tomo.hardware import cores, visible_gpus
from napari_inr_tomo.journal import last_seq
from napari_inr_tomo.layout import CONTROLS, DEVICE_VARIABLE, RunPaths
from napari_inr_tomo.runs import status
from napari_inr_tomo.runs.estimates import check_space, estimate
from napari_inr_tomo.runs.folder import RunFolder
from napari_inr_tomo.runs.memory import card_memory, check_fit, main_memory

ENGINE = "napari_inr_tomo.engine"
LAUNCHER = "napari_inr_tomo.engine.launcher"
NICENESS = 10
LEAVE_S = 15.0
"""How long a new launch waits for workers that are done to be gone."""
_started: list[subprocess.Popen[bytes]] = []
"""Everything started and not ended yet, kept so that it can be waited for."""

_TAKEN = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK"),
    *(restarts.WATCHED_VARIABLE, LAUNCHER_VARIABLE),
)


@dataclass(frozen=True)
class Launch:
    """What `launch` started; dropping it does not touch the run."""

    process: subprocess.Popen[bytes]
    processes: int

    @property
    def pid(self) -> int:
        """Process id of the worker, or of torch's launcher where there are several."""
        return self.process.pid

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        return self.process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait up to ``timeout`` seconds; return the exit status or None."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


def launch(
    run: RunFolder,
    processes: int | None = None,
    device: str | None = None,
    module: str = ENGINE,
    python: str = sys.executable,
    extra: Mapping[str, str] | None = None,
) -> Launch:
    """Start the workers of a run, or resume it, and return at once.

    processes: number of workers; none: `default_processes`.  device: auto, cpu or cuda
    in place of the settings' own.  module: the worker program, for ``python -m``.
    extra: further variables of the workers' environment.
    Raises `UserError` where workers are at it already, where the input of a run that is
    resumed has changed, or where memory or disk cannot hold the run.
    """
    paths = run.paths
    paths.check_kinds()
    _let_leave(run)
    _refuse_if_busy(run)
    if paths.events.exists():
        run.verify_input()
    count = processes or default_processes(run.config, device)
    check_needs(run, count, device)
    paths.make_folders()
    for name in CONTROLS:
        atomic.patiently(partial(paths.control(name).unlink, missing_ok=True))
    restarts.forget(paths)
    after = last_seq(paths.events)
    with open(paths.launcher_log, "ab") as log:
        process = subprocess.Popen(
            command(paths, count, module, python),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=paths.folder,
            env=environment(count, device) | dict(extra or {}),
            **own_session(),
        )
    be_nice(process.pid)
    _started[:] = [other for other in _started if other.poll() is None]
    _started.append(process)
    atomic.write_json(paths.launcher, _identity(process.pid, after))
    return Launch(process, count)


def check_needs(
    run: RunFolder, processes: int, device: str | None = None
) -> UserError | None:
    """Compare what a run needs with this computer.

    Raises `UserError` where memory or disk cannot hold it; returns one where the memory
    that is free now may not suffice.
    """
    spec = run.spec
    need = estimate(spec.config, spec.shape, spec.poses, processes)
    written = sum(path.stat().st_size for path in run.paths.checkpoints.glob("*.npz"))
    left = need.disk_bytes - need.input_bytes - written
    check_space(run.path, max(left, need.checkpoint_bytes + need.volume_bytes))
    wanted = device or spec.config.compute.device
    if wanted != "cpu" and visible_gpus():
        return check_fit(need.memory_bytes, card_memory()[:processes])
    return check_fit(processes * need.memory_bytes, [main_memory()])


def _let_leave(run: RunFolder) -> None:
    """Wait for workers that have said their last word and are about to end."""
    deadline = time.monotonic() + LEAVE_S
    while lock.holder(run.paths.lock) and not run.status().active:
        if time.monotonic() > deadline:
            return
        time.sleep(0.05)


def _refuse_if_busy(run: RunFolder) -> None:
    paths = run.paths
    who = lock.holder(paths.lock)
    if who is None and run.status().active:  # before the lock, or on another computer
        started = status.launcher_of(paths)
        if started is not None:
            who = lock.Holder(started["pid"], started["host"])
        else:
            who = lock.last_holder(paths.lock)
    if who is not None:
        raise lock.busy(paths.folder, who)


def command(
    paths: RunPaths, processes: int, module: str = ENGINE, python: str = sys.executable
) -> list[str]:
    """Return the command that runs ``processes`` workers on this computer."""
    if processes == 1:
        return [python, "-m", module, str(paths.folder)]
    launcher = [python, "-m", LAUNCHER, "--processes", str(processes)]
    return [*launcher, "--module", module, str(paths.folder)]


def environment(processes: int, device: str | None = None) -> dict[str, str]:
    """Return the workers' environment: torchrun's contract, threads, safe imports."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _TAKEN and not name.startswith("TORCHELASTIC_")
    }
    threads = str(max(1, cores() // processes))
    # a folder with a file "torch.py" in it must not be imported from
    kept |= {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    kept.setdefault("OMP_NUM_THREADS", threads)
    # threads that wait by spinning for long take the cores from whoever has work
    kept.setdefault("GOMP_SPINCOUNT", "10000")
    if device is not None:
        kept[DEVICE_VARIABLE] = device
    if processes == 1:
        kept |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        kept |= {"LOCAL_WORLD_SIZE": "1"}
        kept |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return kept


def default_processes(config: ReconstructionConfig, device: str | None = None) -> int:
    """Return how many workers a run gets: as set, else one per GPU, one on a CPU.

    The classical methods take seconds and get one.
    """
    if config.compute.processes is not None:
        return config.compute.processes
    if config.method != "inr" or (device or config.compute.device) == "cpu":
        return 1
    return max(1, visible_gpus())


def _identity(pid: int, after: int) -> dict[str, Any]:
    """Return which process was launched, and after which event of the run."""
    import psutil

    started = time.time()
    try:
        born = psutil.Process(pid).create_time()
    except psutil.Error:
        born = 0.0
    host = socket.gethostname()
    told = {"pid": pid, "host": host, "started": started, "born": born}
    return told | {"after": after}


def be_nice(pid: int) -> None:
    """Let the window and everything else go first (POSIX; Windows: at creation)."""
    if sys.platform != "win32":
        try:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, pid, min(own + NICENESS, 19))
        except OSError:
            return


def start_command(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start ``inr-tomo`` with these words in a session of its own; it outlives us.

    log: file its output is added to.  Raises OSError where that cannot be written.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _TAKEN}
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "napari_inr_tomo.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=kept | {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"},
            **own_session(),
        )
    _started[:] = [other for other in _started if other.poll() is None]
    _started.append(process)
    return process


def own_session() -> dict[str, Any]:
    """Return the arguments of Popen that cut the ties to the caller's terminal."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {"start_new_session": True}
