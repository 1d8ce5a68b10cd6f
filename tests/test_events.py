"""Events: one JSON line each, back and forth, and nothing but ValueError on garbage."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_inr_tomo.events import (
    Cancelled,
    Checkpoint,
    Epoch,
    Event,
    Failed,
    Finished,
    Phase,
    PosesUpdated,
    Preview,
    Started,
    Warned,
    decode,
    duration,
    encode,
)

EPOCH = Epoch(seq=4, step=3, total=9, phase="rays", loss=0.25, elapsed_s=1.5, eta_s=3)
EVERY: list[Event] = [
    Started(
        time=12.5,
        method="inr",
        ranks=2,
        device="cpu",
        pid=77,
        tilts=61,
        shape_zyx=(64, 65, 66),
        voxel_nm=1.5,
        total=30,
        resumed_at=4,
    ),
    Phase(name="rays"),
    EPOCH,
    PosesUpdated(step=3, file="previews/poses.csv"),
    Preview(step=3, file="previews/volume.npy", shape_zyx=(8, 9, 10), voxel_px=2.0),
    Checkpoint(step=3, file="checkpoints/3.npz"),
    Warned(what="Slow", why="the disk is full\nnearly", do="Free some space"),
    Finished(step=9, stopped=True, elapsed_s=99.0),
    Cancelled(step=2),
    Failed(what="Broken", why="µm ↯ \u2028", do="Start again"),
]


@pytest.mark.parametrize("event", EVERY, ids=lambda e: e.type)
def test_round_trip_on_one_line(event: Event) -> None:
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) < 4096
    assert decode(line) == event
    assert type(decode(line)) is type(event)
    json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_diverged_loss_is_reported(loss: float) -> None:
    line = encode(EPOCH.model_copy(update={"loss": loss, "holdout": loss}))
    json.loads(line, parse_constant=pytest.fail)  # still plain JSON
    back = decode(line)
    assert isinstance(back, Epoch)
    assert back.holdout is not None
    assert [back.loss, back.holdout] == pytest.approx([loss, loss], nan_ok=True)


def test_undecodable_file_names_do_not_hide_a_failure() -> None:
    event = Failed(what="Cannot read", why="/data/\udcff.mrc", do="Rename it")
    back = decode(encode(event))
    assert isinstance(back, Failed)
    assert back.why == "/data/?.mrc"


def test_fields_of_a_later_version_are_ignored() -> None:
    line = json.dumps({"type": "cancelled", "step": 2, "reason": "new"}).encode()
    assert decode(line) == Cancelled(step=2)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null",
        b"[]",
        b"{}",
        b'{"type": "nothing", "step": 1}',
        b'{"type": "cancelled"}',
        b'{"type": "cancelled", "step": "many"}',
        b'{"type": ["cancelled"], "step": 1}',
        b'{"type": "cancelled", "step": 1e999}',
        b"\xff\xfe{}",
        b"[" * 100_000,
        encode(EPOCH)[:-20],
        encode(EPOCH) + encode(EPOCH),
        b"\0" * 4096,
    ],
)
def test_garbage_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 200))
def test_any_damage_is_a_value_error_or_an_event(
    junk: bytes, first: int, last: int
) -> None:
    line = encode(EPOCH)
    damaged = line[:first] + junk + line[last:]
    try:
        event = decode(damaged)
    except ValueError:
        return
    assert isinstance(event, Event)


def test_events_are_frozen() -> None:
    with pytest.raises(ValueError):
        EPOCH.loss = 1.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3.4, "3 s"), (200, "3 min 20 s"), (7300, "2 h 1 min"), (None, "unknown")],
)
def test_duration(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_the_end_is_told_with_how_far_it_came() -> None:
    early = Finished(step=1, stopped=True, elapsed_s=81)
    assert early.in_words(81, "rays", 30) == (
        "Finished early, as asked, after 1 min 21 s, epoch 2 of 30"
    )
    assert early.in_words(81, "SIRT", 20).endswith("s, iteration 1 of 20")
    assert early.in_words(81, "classical start", 20).endswith("1 min 21 s")
    tired = Finished(step=4, elapsed_s=9, reason="No better for 3 epochs", kept=1)
    assert tired.in_words(9, "rays", 30) == (
        "Ended early after 9 s, epoch 5 of 30. No better for 3 epochs; "
        "the network of epoch 1 is kept"
    )
    asked = tired.model_copy(update={"reason": None, "stopped": True})
    assert asked.in_words(9, "rays", 30).endswith("; the network of epoch 1 is kept")
    whole = Finished(step=30, elapsed_s=9)
    assert whole.in_words(9, "rays", 30) == "Finished after 9 s"
