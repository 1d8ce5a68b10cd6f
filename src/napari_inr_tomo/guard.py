"""No worker outlives its launcher.

torchrun starts every worker in a session of its own, so killing the launcher or its
process group does not reach them.  `guard`, the first thing a worker calls, ends the
worker as soon as its parent is gone.  A worker started directly is left alone: its
parent is a window or a terminal, and closing those must not end a run.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

WATCH_S = 0.25
"""Seconds between two looks at the parent."""


def guard() -> bool:
    """End this process with its parent if torchrun started it; say whether so."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return False
    parent = os.getppid()
    if sys.platform == "linux":
        _ask_the_kernel()
    watch = threading.Thread(target=_watch, args=(parent,), name="guard", daemon=True)
    watch.start()
    return True


def _ask_the_kernel() -> None:
    """Have Linux send SIGKILL when the parent dies: prctl(PR_SET_PDEATHSIG)."""
    import ctypes

    pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pdeathsig, signal.SIGKILL, 0, 0, 0)


def _watch(parent: int) -> None:
    while _alive(parent):
        time.sleep(WATCH_S)
    os._exit(1)


def _alive(parent: int) -> bool:
    if os.name != "nt":
        return os.getppid() == parent
    import psutil

    return bool(psutil.pid_exists(parent))
