"""Ending processes and all their children."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def end_tree(pids: Iterable[int], grace_s: float) -> None:
    """Ask the processes and their descendants to end; kill what is left after a while.

    The list is made first: a child whose parent is gone could not be found any more.
    """
    import psutil

    victims: dict[int, psutil.Process] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            continue
        victims |= {member.pid: member for member in family}
    for process in victims.values():
        _quietly(process.terminate)
    _, left = psutil.wait_procs(list(victims.values()), timeout=grace_s)
    for process in left:
        _quietly(process.kill)
    psutil.wait_procs(left, timeout=grace_s)


def _quietly(act: Callable[[], None]) -> None:
    import psutil

    try:
        act()
    except psutil.Error:
        return
