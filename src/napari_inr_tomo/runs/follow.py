"""Reading ``events.jsonl`` while somebody else appends to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from napari_inr_tomo.events import Event, decode
from napari_inr_tomo.layout import RunPaths

AT_ONCE = 1 << 25
"""Bytes read by one poll."""


class HasPaths(Protocol):
    """Anything with the paths of a run folder."""

    @property
    def paths(self) -> RunPaths:
        """The paths."""


class Follower:
    """Hands out every event once; each `poll` reads only what is new.

    A last line without its end is left for the next poll.  A file that was cut short or
    replaced by another is read from its start (``restarts`` counts that); a longer copy
    of the same file is not.  ``lost`` counts missing numbers, ``unreadable`` the whole
    lines that are no event this version knows.
    """

    def __init__(self, run: HasPaths | RunPaths | Path) -> None:
        if isinstance(run, Path):
            run = RunPaths(run)
        self.path = (run if isinstance(run, RunPaths) else run.paths).events
        self.restarts = 0
        self._rewind()

    def _rewind(self) -> None:
        self.lost = 0
        self.unreadable = 0
        self._offset = 0
        self._last_line = b""
        self._seq = -1

    def poll(self) -> list[Event]:
        """Return the events since the last poll; never raises on a torn file.

        A file of hundreds of megabytes is handed out in several polls.
        """
        fresh = self._read()
        if fresh is None:
            self.restarts += 1
            self._rewind()
            fresh = self._read() or b""
        whole = fresh[: fresh.rfind(b"\n") + 1]
        if not whole and len(fresh) >= AT_ONCE:  # no event is that long
            whole = fresh
        if not whole:
            return []
        lines = whole.splitlines(keepends=True)
        self._offset += len(whole)
        self._last_line = lines[-1]
        return [event for line in lines if (event := self._event(line))]

    def _read(self) -> bytes | None:
        """Return what follows the last line seen; None if that line is not there."""
        known = len(self._last_line)
        try:
            with open(self.path, "rb") as handle:
                handle.seek(self._offset - known)
                content = handle.read(known + AT_ONCE)
        except FileNotFoundError:
            return None if self._offset else b""
        except OSError:  # a network disk that is away for a moment
            return b""
        return content[known:] if content.startswith(self._last_line) else None

    def _event(self, line: bytes) -> Event | None:
        try:
            event = decode(line)
        except ValueError:
            self.unreadable += 1
            self._count(_seq(line))
            return None
        self._count(event.seq)
        return event

    def _count(self, seq: int | None) -> None:
        if seq is not None and seq > self._seq:
            self.lost += seq - self._seq - 1
            self._seq = seq


def _seq(line: bytes) -> int | None:
    try:
        return int(json.loads(line)["seq"]) if len(line) < 1 << 16 else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
