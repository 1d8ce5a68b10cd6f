"""Damaged copies of good files, tried in a child whose memory and time are watched."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_inr_tomo.errors import UserError

MOST_S = 20
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


@dataclass(frozen=True)
class Fuzzed:
    """What became of many damaged files."""

    tried: int
    refused: int
    escapes: tuple[str, ...]
    slowest_s: float
    growth_mb: float

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
    Anything else that is raised, or the child's death, is an escape.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
            found = _trials(path, attempt, count, head, text, after)
            os.write(write_end, json.dumps(vars(found)).encode()[:60_000])
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not answer:
        return Fuzzed(count, 0, (f"the reader died: {status}",), 0, 0)
    values = json.loads(answer)
    return Fuzzed(**values | {"escapes": tuple(values["escapes"])})


def _trials(
    path: Path,
    attempt: Callable[[], None],
    count: int,
    head: int,
    text: bool,
    after: Callable[[bytes], None] | None,
) -> Fuzzed:
    good = path.read_bytes()
    chance = random.Random(f"{path.name} {count}")
    attempt()  # the good one opens, and all modules are loaded
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused, escapes, slowest = 0, [], 0.0
    for _ in range(count):
        content = damaged(good, chance, head, text)
        path.write_bytes(content)
        if after is not None:
            after(content)
        signal.alarm(MOST_S)  # a reader that hangs dies, and its file stays
        began = time.process_time()
        try:
            attempt()
        except UserError:
            refused += 1
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            escapes.append(f"{type(error).__name__}: {str(error)[:200]}")
        slowest = max(slowest, time.process_time() - began)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    path.write_bytes(good)
    return Fuzzed(count, refused, tuple(escapes[:20]), slowest, growth)
