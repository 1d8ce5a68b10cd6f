"""Appending to ``events.jsonl``: one whole line per event, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

from napari_inr_tomo.events import Event, encode

LINE_LIMIT = 4096
"""Longest line in bytes; longer words are shortened."""


class EventWriter:
    """The one writer of an event file; only the holder of the folder's lock has it.

    Numbers the events on from what the file holds, so a resumed run has no gap.  A
    torn last line (the writer before was killed) is cut off.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o644)
        content = Path(path).read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.ftruncate(self._descriptor, whole)
        self.next_seq = _last_seq(content[:whole]) + 1

    def write(self, event: Event) -> None:
        """Append the event with its number and the time filled in.

        Raises OSError where the disk is full; no half line stays then.
        """
        stamp = {"seq": self.next_seq, "time": time.time()}
        line = _line(event.model_copy(update=stamp))
        size = os.fstat(self._descriptor).st_size
        written = os.write(self._descriptor, line)
        if written != len(line):
            os.ftruncate(self._descriptor, size)
            raise OSError(errno.ENOSPC, "The event could not be written whole")
        self.next_seq += 1

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def last_seq(path: Path) -> int:
    """Return the number of the last whole event, -1 where there is none.

    It tells before from after where a clock, which may be set back, cannot.
    """
    try:
        content = Path(path).read_bytes()
    except OSError:
        return -1
    return _last_seq(content[: content.rfind(b"\n") + 1])


def _line(event: Event) -> bytes:
    """Return the encoded event, its longest words shortened to fit `LINE_LIMIT`."""
    line = encode(event)
    room = 1000
    while len(line) > LINE_LIMIT:
        words = {
            name: value[:room] + " ..."
            for name, value in event.model_dump().items()
            if isinstance(value, str) and len(value) > room
        }
        line = encode(event.model_copy(update=words))
        room //= 2
    return line


def _last_seq(content: bytes) -> int:
    for line in reversed(content.splitlines()):
        try:
            return int(json.loads(line)["seq"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            continue
    return -1
