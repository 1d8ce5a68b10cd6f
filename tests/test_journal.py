"""Writing events: numbered on, whole lines, no litter on a full disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from napari_inr_tomo import journal
from napari_inr_tomo.events import Failed, Phase, decode
from napari_inr_tomo.journal import EventWriter


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_numbers_go_on_after_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(3):
        writer = EventWriter(path)
        writer.write(Phase(name="a"))
        writer.write(Phase(name="b"))
        writer.close()
    assert [decode(line).seq for line in lines(path)] == [0, 1, 2, 3, 4, 5]
    times = [decode(line).time for line in lines(path)]
    assert times == sorted(times)
    assert times[0] > 1e9


@pytest.mark.parametrize("torn", [b"{", b'{"seq": 17', b'{"seq": 17, "type": "phase"}'])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "events.jsonl"
    EventWriter(path).write(Phase(name="a"))
    with open(path, "ab") as handle:
        handle.write(torn)
    EventWriter(path).write(Phase(name="b"))
    assert [decode(line).seq for line in lines(path)] == [0, 1]


def test_strange_lines_do_not_disturb_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq":4,"type":"from the future"}\nnonsense\n[]\n')
    assert EventWriter(path).next_seq == 5


def test_a_line_stays_below_four_kilobytes(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(Failed(what="w" * 9000, why="ü" * 9000, do='"' * 9000))
    (line,) = lines(path)
    assert len(line) <= journal.LINE_LIMIT
    event = decode(line)
    assert isinstance(event, Failed)
    assert event.what.startswith("www")


def test_a_full_disk_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write(Phase(name="a"))
    write = os.write

    def short(descriptor: int, data: Any) -> int:
        return write(descriptor, bytes(data)[:7])

    monkeypatch.setattr(journal.os, "write", short)
    with pytest.raises(OSError, match="could not be written"):
        writer.write(Phase(name="b"))
    monkeypatch.undo()
    assert len(lines(path)) == 1
    writer.write(Phase(name="c"))
    assert [json.loads(line)["seq"] for line in lines(path)] == [0, 1]
