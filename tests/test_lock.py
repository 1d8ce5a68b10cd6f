"""The folder lock: one holder, freed by death, visible to all."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_inr_tomo import lock
from napari_inr_tomo.errors import UserError

HOLD = """
import sys, time
from pathlib import Path
from napari_inr_tomo.lock import FolderLock
FolderLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


flock_only = pytest.mark.skipif(sys.platform == "win32", reason="flock is of POSIX")


def refusing(number: int) -> Callable[..., None]:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return flock


def test_a_second_holder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = lock.FolderLock(path), lock.FolderLock(path)
    first.acquire()
    with pytest.raises(UserError, match=socket.gethostname()):
        second.acquire()
    first.release()
    assert lock.holder(path) is None
    assert lock.last_holder(path) is None
    with second:
        assert lock.holder(path) is not None


def test_looking_does_not_take_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    assert not path.exists()
    with lock.FolderLock(path):
        pass
    for _ in range(3):
        assert lock.holder(path) is None
    with lock.FolderLock(path):
        pass


def test_death_frees_it_but_the_name_stays(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        who = lock.holder(path)
        assert who is not None
        assert who.pid == process.pid
        assert who.here
        with pytest.raises(UserError, match=f"process {process.pid} on"):
            lock.FolderLock(path).acquire()
        process.kill()
    assert lock.holder(path) is None
    last = lock.last_holder(path)
    assert last is not None
    assert last.pid == process.pid


@flock_only
def test_a_network_disk_says_otherwise_that_it_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    with lock.FolderLock(path):
        monkeypatch.setattr("fcntl.flock", refusing(errno.EACCES))
        who = lock.holder(path)
        assert who is not None
        assert who.pid == os.getpid()
        with pytest.raises(UserError, match=f"process {os.getpid()} on"):
            lock.FolderLock(path).acquire()


@flock_only
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_disk_without_locks_goes_by_who_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "lock"
    monkeypatch.setattr("fcntl.flock", refusing(number))
    monkeypatch.setattr(lock, "RETRY_S", 0.1)
    with lock.FolderLock(path):
        assert lock.holder(path) is not None
        with pytest.raises(UserError, match=f"process {os.getpid()} on"):
            lock.FolderLock(path).acquire()
    assert lock.holder(path) is None
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    left = {"pid": gone.pid, "host": socket.gethostname(), "started": time.time()}
    path.write_text(json.dumps(left))
    assert lock.holder(path) is None
    with lock.FolderLock(path):
        assert lock.last_holder(path) is not None


def test_a_look_that_meets_another_look_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    with lock.FolderLock(path):
        pass
    answers = iter([False, True])
    monkeypatch.setattr(lock, "_try_lock", lambda *_, **__: next(answers))
    monkeypatch.setattr(lock, "_LOOKS", 2)  # as on Windows, whose locks are exclusive
    assert lock.holder(path) is None


def test_a_folder_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lock cannot be opened"):
        lock.FolderLock(tmp_path / "no" / "lock").acquire()


def test_a_damaged_lock_file_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock.FolderLock(path):
        path.write_text("[1, 2")
        who = lock.holder(path)
        assert who is not None
        assert not who.here
        with pytest.raises(UserError, match="another process"):
            lock.FolderLock(path).acquire()
