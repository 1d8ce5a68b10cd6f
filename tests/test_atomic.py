"""Files are whole or absent, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from in_use import InUse
from napari_inr_tomo import atomic


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, {"µ": [1, 2.5, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"µ": [1, 2.5, None]}
    assert path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": object()}])
def test_bad_json_leaves_the_old_file(tmp_path: Path, value: object) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, 1)
    with pytest.raises((ValueError, TypeError)):
        atomic.write_json(path, value)
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_round_trip(tmp_path: Path, order: str) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).copy(order)
    path = tmp_path / "a.npy"
    atomic.write_npy(path, array)
    back = np.load(path, mmap_mode="r")
    assert back.dtype == np.float32
    assert np.array_equal(back, array)


def test_npy_is_never_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with pytest.raises(ValueError):
        atomic.write_npy(path, np.array([{}], object))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    atomic.write_bytes(path, b"old")

    def break_down() -> None:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError("power")

    with pytest.raises(RuntimeError):
        break_down()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_seen_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "volume.ome.tif"
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(b"data")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".tif"
    assert path.read_bytes() == b"data"


def test_a_full_disk_is_reported_and_the_old_file_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    atomic.write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_cannot_sync_folders_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def no_folders(descriptor: int) -> None:
        import stat

        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", no_folders)
    atomic.write_bytes(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_file_somebody_reads_just_now_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, 1)
    monkeypatch.setattr(os, "replace", InUse(os.replace, times=5))
    atomic.write_json(path, 2)
    assert atomic.read_json(path) == 2
    monkeypatch.setattr(os, "unlink", InUse(os.unlink, times=5))
    assert atomic.removed(path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_stays_open_is_an_error_and_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    atomic.write_json(path, 1)
    monkeypatch.setattr(atomic, "BUSY_S", 0.05)
    with monkeypatch.context() as held:
        held.setattr(os, "replace", InUse(os.replace))
        with pytest.raises(PermissionError):
            atomic.write_json(path, 2)
        held.setattr(os, "unlink", InUse(os.unlink))
        assert not atomic.removed(path)
    assert atomic.read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]
    assert atomic.removed(path)
    assert atomic.removed(path)  # it is gone already


def test_readers_never_meet_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    sizes = (3, 70_000)
    atomic.write_bytes(path, b"x" * sizes[0])
    done = threading.Event()

    def write() -> None:
        for k in range(40):
            atomic.write_bytes(path, b"x" * sizes[k % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(len(path.read_bytes()))
    writer.join()
    assert seen <= set(sizes)


def test_sha256(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) + 17)
    (tmp_path / "a").write_bytes(data)
    assert atomic.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
