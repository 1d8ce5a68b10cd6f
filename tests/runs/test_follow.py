"""Following a file that grows, is torn, cut short, or replaced."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from napari_inr_tomo.events import Epoch, Event, encode
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.runs import Follower, RunFolder


def epoch(step: int) -> Epoch:
    return Epoch(step=step, total=9, phase="rays", loss=0.5, elapsed_s=step)


def line(seq: int) -> bytes:
    return encode(epoch(seq).model_copy(update={"seq": seq}))


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return RunPaths(tmp_path)


def test_every_event_comes_once(paths: RunPaths) -> None:
    follower = Follower(paths)
    assert follower.poll() == []
    writer = EventWriter(paths.events)
    writer.write(epoch(0))
    writer.write(epoch(1))
    assert seqs(follower.poll()) == [0, 1]
    assert follower.poll() == []
    writer.write(epoch(2))
    assert seqs(follower.poll()) == [2]
    assert (follower.lost, follower.unreadable, follower.restarts) == (0, 0, 0)


def test_any_splitting_of_the_bytes_gives_the_same_events(paths: RunPaths) -> None:
    rng = random.Random(3)
    content = b"".join(line(seq) for seq in range(20))
    follower, seen, position = Follower(paths), [], 0
    while position < len(content):
        end = position + rng.randrange(1, 90)
        with open(paths.events, "ab") as handle:
            handle.write(content[position:end])
        position = end
        seen += seqs(follower.poll())
    assert seen == list(range(20))
    assert follower.unreadable == 0


def test_a_torn_line_waits_and_may_vanish(paths: RunPaths) -> None:
    EventWriter(paths.events).write(epoch(0))
    with open(paths.events, "ab") as handle:
        handle.write(b'{"seq": 1, "ti')
    follower = Follower(paths)
    assert seqs(follower.poll()) == [0]
    EventWriter(paths.events).write(epoch(1))  # a resumed run cuts the torn line off
    assert seqs(follower.poll()) == [1]
    assert follower.unreadable == 0


def test_gaps_and_strangers_are_counted(paths: RunPaths) -> None:
    stranger = b'{"seq":4,"type":"from the future"}\n'
    paths.events.write_bytes(line(0) + line(3) + stranger + b"nonsense\n" + line(5))
    follower = Follower(paths)
    assert seqs(follower.poll()) == [0, 3, 5]
    assert follower.lost == 2
    assert follower.unreadable == 2


def test_a_file_cut_short_is_read_again(paths: RunPaths) -> None:
    paths.events.write_bytes(line(0) + line(1) + line(2))
    follower = Follower(paths)
    follower.poll()
    paths.events.write_bytes(line(0))
    assert seqs(follower.poll()) == [0]
    assert follower.restarts == 1


def test_another_file_of_the_same_or_greater_length_is_noticed(
    paths: RunPaths,
) -> None:
    paths.events.write_bytes(line(0) + line(1))
    follower = Follower(paths)
    follower.poll()
    other = encode(epoch(7)) + encode(epoch(8).model_copy(update={"seq": 1})) + line(2)
    new = paths.folder / "new"
    new.write_bytes(other)
    os.replace(new, paths.events)
    assert [event.step for event in follower.poll()] == [7, 8, 2]  # type: ignore[union-attr]
    assert (follower.restarts, follower.lost) == (1, 0)


def test_a_longer_copy_of_the_same_file_goes_on(paths: RunPaths) -> None:
    paths.events.write_bytes(line(0) + line(1))
    follower = Follower(paths)
    follower.poll()
    new = paths.folder / "new"  # as rsync replaces a file
    new.write_bytes(line(0) + line(1) + line(2))
    os.replace(new, paths.events)
    assert seqs(follower.poll()) == [2]
    assert follower.restarts == 0


def test_a_file_that_vanishes_starts_anew(paths: RunPaths) -> None:
    paths.events.write_bytes(line(0))
    follower = Follower(paths)
    follower.poll()
    paths.events.unlink()
    assert follower.poll() == []
    paths.events.write_bytes(line(0))
    assert seqs(follower.poll()) == [0]
    assert follower.restarts == 1


def test_it_takes_a_run_or_a_folder(run: RunFolder) -> None:
    EventWriter(run.paths.events).write(epoch(0))
    assert seqs(Follower(run).poll()) == seqs(Follower(run.path).poll()) == [0]
