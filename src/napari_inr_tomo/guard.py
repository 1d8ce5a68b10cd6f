"""No worker outlives its launcher.

torchrun starts every worker in a session of its own, so killing the launcher or its
process group does not reach them.  `guard`, the first thing a worker calls, ends the
worker as soon as its parent is gone, or the launcher where another process stands
between the two: python.exe of a virtual environment on Windows is a small program that
starts the real one and lives on.  A worker started directly is left alone: its parent
is a window or a terminal, and closing those must not end a run.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psutil

WATCH_S = 0.25
"""Seconds between two looks at the parent."""
LAUNCHER_VARIABLE = "INR_TOMO_LAUNCHER"
"""Environment variable with the process id of the launcher."""


def guard() -> bool:
    """End this process with its parent if torchrun started it; say whether so."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    parent = os.getppid()
    if sys.platform == "linux":
        _ask_the_kernel()
    told = (parent, _launcher())
    watch = threading.Thread(target=_watch, args=told, name="guard", daemon=True)
    watch.start()
    return True


def _ask_the_kernel() -> None:
    """Have Linux send SIGKILL when the parent dies: prctl(PR_SET_PDEATHSIG)."""
    import ctypes

    pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pdeathsig, signal.SIGKILL, 0, 0, 0)


def _watch(parent: int, launcher: psutil.Process | None) -> None:
    while _alive(parent) and (launcher is None or launcher.is_running()):
        time.sleep(WATCH_S)
    os._exit(1)


def _alive(parent: int) -> bool:
    if os.name != "nt":
        return os.getppid() == parent
    return bool(psutil.pid_exists(parent))


def _launcher() -> psutil.Process | None:
    """Return the launcher, told from a later process of its number."""
    number = os.environ.get(LAUNCHER_VARIABLE, "")
    if not number.isdecimal():
        return None
    try:
        return psutil.Process(int(number))
    except psutil.NoSuchProcess:  # it has gone already
        os._exit(1)
