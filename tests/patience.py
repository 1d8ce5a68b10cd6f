"""Time limits for machines that do other work: a clock that waits with the starved.

On a quiet machine it runs like any clock.  Where others hold the processors it runs as
slowly as this process and its children get on, so that a limit means work, not luck.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

MOST_SECONDS = 800.0
"""By the clock on the wall, however little was done in them."""


class FairClock:
    """Seconds since its making in which this process and its children could work.

    What counts of every second is the share of one processor that was idle or was ours.
    """

    def __init__(self) -> None:
        self.began = self._then = time.monotonic()
        self._idle, self._ours = _idle(), _ours()
        self._seconds = 0.0

    def seconds(self) -> float:
        """Return the fair seconds so far; more calls make it finer."""
        now = time.monotonic()
        passed = now - self._then
        if passed >= 0.2:
            idle, ours = _idle(), _ours()
            before = self._ours
            worked = sum(spent - before.get(pid, 0.0) for pid, spent in ours.items())
            worked -= sum(before[pid] for pid in before.keys() - ours.keys())
            available = max(0.0, idle - self._idle) + max(0.0, worked)
            self._seconds += min(passed, available)
            self._then, self._idle, self._ours = now, idle, ours
            passed = 0.0
        return self._seconds + passed

    def over(self, limit: float) -> bool:
        """Tell whether more than ``limit`` fair seconds went by."""
        if time.monotonic() - self.began > MOST_SECONDS:
            return True
        return self.seconds() > limit


def wait_for(true: Callable[[], object], limit: float, pause: float = 0.02) -> bool:
    """Wait until something is true; False after ``limit`` fair seconds without it."""
    clock = FairClock()
    while not true():
        if clock.over(limit):
            return bool(true())
        time.sleep(pause)
    return True


def _idle() -> float:
    times = psutil.cpu_times()
    return float(times.idle + getattr(times, "iowait", 0.0))


def _ours() -> dict[int, float]:
    """Seconds of work under the ids of this process and all below it; 0: the dead."""
    family = [psutil.Process()]
    family += family[0].children(recursive=True)
    spent = {0: os.times().children_user + os.times().children_system}
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        spent[process.pid] = times.user + times.system
    return spent
