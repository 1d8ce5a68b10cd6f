"""Files that are either whole or absent.

Every file another process may read is written beside its final name, flushed to the
disk and renamed, so a reader (or a crash) never meets half of it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

BUSY_S = 1.0
"""So many seconds a file is waited for that another program has open just now."""
_PAUSE_S = 0.01
_BUSY = (errno.EACCES, errno.EPERM, errno.EBUSY)
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}(\.[^.]*)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to ``path`` on success."""
    with replacing_all([Path(path)]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield a temporary path for each of some files of one folder.

    None is renamed before all are whole on the disk, so a full disk leaves what was
    there; then they are renamed in their order.
    """
    mark = uuid.uuid4().hex[:8]
    temporaries = [
        path.with_name(f".{path.stem}.{mark}{path.suffix}") for path in paths
    ]
    try:
        yield temporaries
        for temporary in temporaries:
            with open(temporary, "rb+") as handle:
                os.fsync(handle.fileno())
        for temporary, path in zip(temporaries, paths, strict=True):
            patiently(partial(os.replace, temporary, path))
        _sync_folder(paths[0].parent)
    finally:
        for temporary in temporaries:
            removed(temporary)


def patiently(act: Callable[[], object]) -> None:
    """Do what Windows and its network disks refuse while others have a file open.

    Readers, and programs that look for viruses, let go within a moment.
    Raises ``OSError`` where it is refused for `BUSY_S`.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            act()
            return
        except OSError as error:
            if error.errno not in _BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)


def removed(path: Path) -> bool:
    """Remove a file that may be gone; False where another program keeps it open."""
    try:
        patiently(partial(path.unlink, missing_ok=True))
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``path`` atomically."""
    write_bytes(path, json_text(value).encode())


def json_text(value: Any) -> str:
    """Return ``value`` as indented JSON, as `write_json` writes it."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: Path, largest: int = 1 << 20) -> Any:
    """Return the value of a JSON file of at most ``largest`` bytes.

    Raises ``OSError`` or ``ValueError``, whatever the file holds.
    """
    with open(path, "rb") as handle:
        content = handle.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it is larger than {largest} bytes")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_npy(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write ``array`` as .npy to ``path`` atomically."""
    with replacing(path) as temporary, open(temporary, "wb") as handle:
        np.lib.format.write_array(handle, np.asarray(array), allow_pickle=False)


def sweep(folder: Path) -> int:
    """Remove what killed writers left in ``folder``; return how many files.

    Only whoever keeps all others from writing there may call it.
    """
    left = [path for path in folder.glob(".*") if _TEMPORARY.fullmatch(path.name)]
    for path in left:
        removed(path)
    return len(left)


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk (a no-op where the system cannot)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems know no fsync of a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)
