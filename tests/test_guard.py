"""A worker under torchrun dies with its parent; one started directly does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="uses POSIX sessions")

WORKER = """
import time
from napari_inr_tomo import guard
{extra}
print(guard.guard(), flush=True)
time.sleep(20)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {worker!r}], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
BETWEEN = """
import os, subprocess, sys, time
os.environ["INR_TOMO_LAUNCHER"] = str(os.getpid())
between = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
worker = "import os; print(os.getpid(), os.getppid(), flush=True)" + {worker!r}
subprocess.Popen([sys.executable, "-c", between, worker], start_new_session=True)
time.sleep(60)
"""
NO_KERNEL = "guard._ask_the_kernel = lambda: None"


def orphan(environment: dict[str, str], extra: str = "") -> tuple[psutil.Process, str]:
    """Return a worker whose parent was killed, and what its guard said."""
    code = PARENT.format(worker=WORKER.format(extra=extra))
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        said = parent.stdout.readline().decode().strip()
        parent.kill()
        parent.wait(5)
        parent.stdout.close()
    return worker, said


def wait_for_end(worker: psutil.Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("extra", ["", NO_KERNEL], ids=["kernel", "watching"])
def test_a_rank_dies_with_its_agent(extra: str) -> None:
    worker, said = orphan(os.environ | {"TORCHELASTIC_RUN_ID": "x"}, extra)
    assert said == "True"
    assert wait_for_end(worker, 3)


def test_a_rank_dies_with_its_launcher_though_its_parent_lives_on() -> None:
    code = BETWEEN.format(worker=WORKER.format(extra=""))
    command = [sys.executable, "-c", code]
    environment = os.environ | {"TORCHELASTIC_RUN_ID": "x"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as launcher:
        assert launcher.stdout is not None
        numbers = launcher.stdout.readline().split()
        worker, between = (psutil.Process(int(number)) for number in numbers)
        assert launcher.stdout.readline().strip() == b"True"
        assert between.pid != launcher.pid
        launcher.kill()
        launcher.wait(5)
        launcher.stdout.close()
    try:
        assert between.is_running()
        assert wait_for_end(worker, 3)
    finally:
        if worker.is_running():
            worker.kill()


def test_a_directly_started_worker_lives_on() -> None:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("TORCHELASTIC")}
    worker, said = orphan(plain)
    try:
        assert said == "False"
        assert not wait_for_end(worker, 0.8)
    finally:
        worker.kill()
