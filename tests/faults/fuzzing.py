"""Damaged copies of good files, tried in a child whose memory and time are watched."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_inr_tomo.errors import UserError

MOST_S = 10
"""Of the processor, and by the wall for a reader that waits for something."""
MOST_WALL_S = 120
MOST_MB = 250
MOST_BYTES = 1 << 35
"""Address space of the child: mapped files count, so it is large."""

WORDS = (
    b"nan",
    b"-inf",
    b"1e999",
    b"99999999999999999999",
    b"-1",
    b"\0",
    b"[" * 5000,
    b'{"a":' * 3000,
    b"\xff\xfe",
    "٣".encode(),
    b"\n",
    b'"',
    b"null",
    b"../../etc",
)


_GOOD: dict[Path, bytes] = {}


@dataclass
class Fuzzed:
    """What became of many damaged files."""

    tried: int
    refused: int = 0
    escapes: list[str] = field(default_factory=list)
    deadly: list[bytes] = field(default_factory=list)
    slowest_s: float = 0.0
    growth_mb: float = 0.0

    def words(self, what: str) -> str:
        escapes = f"{self.tried} {what}: {len(self.escapes)} escapes"
        cost = f"slowest {self.slowest_s:.2f} s, {self.growth_mb:.0f} MB more memory"
        return f"{escapes}, {self.refused} refused, {cost}"


def damaged(good: bytes, chance: random.Random, head: int, text: bool) -> bytes:
    """A copy with a few bits, bytes or blocks changed, most of them in the header."""
    raw = bytearray(good)
    for _ in range(chance.randint(1, 3)):
        size = max(len(raw), 1)
        near = chance.random() < 0.7
        place = chance.randrange(min(head, size) if near else size)
        match chance.randrange(7 if text else 5):
            case 0 | 1 if raw:
                raw[place % len(raw)] ^= 1 << chance.randrange(8)
            case 2 if raw:
                raw[place % len(raw)] = chance.choice((0, 1, 127, 128, 255))
            case 3:
                del raw[place:]
            case 4:
                block = bytes(raw[place : place + chance.randrange(1, 64)])
                raw[place:place] = block
            case 5:
                raw[place:place] = chance.choice(WORDS)
            case 6:
                end = place + chance.randrange(1, 20)
                raw[place:end] = chance.choice(WORDS)
    return bytes(raw)


def fuzz(
    path: Path,
    attempt: Callable[[], None],
    count: int,
    head: int = 400,
    text: bool = False,
    after: Callable[[bytes], None] | None = None,
) -> Fuzzed:
    """Try ``count`` damaged copies at ``path``; ``attempt`` may raise `UserError` only.

    after: called with every content that was written, e.g. to make its digest anew.
    Anything else that is raised is an escape.  A copy on which the reader dies,
    hangs or takes too much memory is kept in ``deadly``; another child goes on behind.
    """
    good = _GOOD[path] = path.read_bytes()
    found = Fuzzed(count)
    done = 0
    while done < count:
        lines = _in_a_child(path, attempt, (done, count), head, text, after)
        for line in lines:
            if line[0] == "end":
                found.slowest_s = max(found.slowest_s, line[1])
                found.growth_mb = max(found.growth_mb, line[2])
                continue
            done += 1
            found.refused += line[0] == "refused"
            if line[0] == "escaped":
                found.escapes.append(line[1])
        if not lines or lines[-1][0] != "end":
            found.deadly.append(path.read_bytes())
            done += 1
    path.write_bytes(good)
    return found


def _in_a_child(
    path: Path,
    attempt: Callable[[], None],
    part: tuple[int, int],
    head: int,
    text: bool,
    after: Callable[[bytes], None] | None,
) -> list[Any]:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
            with os.fdopen(write_end, "w") as pipe:
                for line in _trials(path, attempt, part, head, text, after):
                    print(json.dumps(line), file=pipe, flush=True)
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        lines = [json.loads(line) for line in pipe]
    os.waitpid(pid, 0)
    return lines


def _trials(
    path: Path,
    attempt: Callable[[], None],
    part: tuple[int, int],
    head: int,
    text: bool,
    after: Callable[[bytes], None] | None,
) -> Iterator[Any]:
    good = _GOOD[path]
    path.write_bytes(good)
    if after is not None:
        after(good)
    attempt()  # the good one opens, and all modules are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest = 0.0
    for number in range(*part):
        content = damaged(good, random.Random(f"{path.name} {number}"), head, text)
        path.write_bytes(content)
        if after is not None:
            after(content)
        signal.setitimer(signal.ITIMER_PROF, MOST_S)  # a reader that hangs dies,
        signal.alarm(MOST_WALL_S)  # and its file stays
        began = time.process_time()
        outcome: Any = ("opened",)
        try:
            attempt()
        except UserError:
            outcome = ("refused",)
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            outcome = ("escaped", f"{type(error).__name__}: {str(error)[:200]}")
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if now - before > 1000 * MOST_MB:
            os._exit(1)  # one that takes too much memory counts as deadly too
        slowest = max(slowest, time.process_time() - began)
        yield outcome
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    yield ("end", slowest, growth)
