"""One worker per run folder: a lock the system lets go when its holder dies.

``fcntl.flock`` (POSIX) or ``msvcrt.locking`` (Windows) on the file ``lock``, which says
who took it (pid, host, start), for people, and after which event of the run.  On a
network file system the lock may not be seen from another computer; `Holder.host` tells
such a case.  A disk that knows no locks at all goes by the name in the file and whether
its process lives.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from napari_inr_tomo import atomic
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.journal import last_seq
from napari_inr_tomo.layout import RunPaths

RETRY_S = 1.0
"""How long `FolderLock.acquire` tries: a look from `holder` takes the lock too."""

_BYTE = 1 << 30  # Windows locks a byte beyond the text, which stays readable
_LOOKS = 2 if sys.platform == "win32" else 1  # two who look there meet each other
_HELD = (errno.EACCES, errno.EAGAIN)


@dataclass(frozen=True)
class Holder:
    """Who holds, or last held, a lock.

    started: seconds since 1970, for a disk without locks; 0 where unknown.
    after: number of the last event of the run when it was taken, -1 where none was.
    """

    pid: int
    host: str
    started: float = 0.0
    after: int = -1

    @property
    def here(self) -> bool:
        """Whether it is on this computer."""
        return self.host == socket.gethostname()


class FolderLock:
    """The exclusive lock of a run folder; keep it for the life of the process."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; raises `UserError` naming pid and host of who has it."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(
                f"The run folder {self.path.parent} cannot be used",
                f"its lock cannot be opened ({error.strerror})",
                "Check that the folder exists and may be written to",
            ) from None
        deadline = time.monotonic() + RETRY_S
        while not _take(descriptor, self.path):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise busy(self.path.parent, _read(self.path))
            time.sleep(0.02)
        me = {"pid": os.getpid(), "host": socket.gethostname(), "started": time.time()}
        me["after"] = last_seq(RunPaths(self.path.parent).events)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(me).encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock; the end of the process does the same."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def busy(folder: Path, who: Holder | None) -> UserError:
    """Return the error of a folder another process works in."""
    name = f"process {who.pid} on {who.host}" if who else "another process"
    return UserError(
        f"The run folder {folder} is in use",
        f"{name} works in it",
        "Wait for it, stop it, or start the reconstruction in another folder",
    )


def holder(path: Path) -> Holder | None:
    """Return who holds the lock now, or None where it is free."""
    try:
        descriptor = os.open(
            path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY
        )
    except OSError:
        return None
    try:
        for look in range(_LOOKS):
            time.sleep(0.01 * look)
            if _try_lock(descriptor, exclusive=False):
                return None
    except _NoLocks:
        return _living(path)
    finally:
        os.close(descriptor)
    return _read(path) or Holder(0, "an unknown computer")


def last_holder(path: Path) -> Holder | None:
    """Return who holds the lock or died holding it; None after a proper release."""
    return _read(path)


class _NoLocks(Exception):
    """The disk knows no locks, or does not answer."""


def _take(descriptor: int, path: Path) -> bool:
    try:
        return _try_lock(descriptor, exclusive=True)
    except _NoLocks:
        return _living(path) is None


def _living(path: Path) -> Holder | None:
    """Return who is named in the file if that very process runs on this computer."""
    import psutil

    who = _read(path)
    if who is None or not who.here:
        return None
    try:
        return who if psutil.Process(who.pid).create_time() < who.started + 1 else None
    except psutil.Error:
        return None


def _read(path: Path) -> Holder | None:
    try:
        value = atomic.read_json(path)
        after = int(value.get("after", -1))
        started = float(value["started"])
        return Holder(int(value["pid"]), str(value["host"]), started, after)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, exclusive: bool) -> bool:
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        if not exclusive:
            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int, exclusive: bool) -> bool:
        kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise _NoLocks from None
            return False
        return True
