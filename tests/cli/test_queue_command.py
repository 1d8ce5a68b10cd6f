"""``inr-tomo queue``: made, done, said, taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_a_queue_is_done_and_its_numbers_are_said(
    cli: Any, stack: Path, tmp_path: Path, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_inr_tomo.runs.queue.ENGINE", worker)
    out = tmp_path / "q"
    words = ["queue", stack, "-o", out, "--method", "sirt", "--device", "cpu"]
    answer = cli(*words, "--vary", "iterations=3,5", "--json")
    assert answer.status == 0, answer.err
    assert answer.json["key"] == "classic.iterations"
    assert [run["state"] for run in answer.json["runs"]] == ["finished"] * 2
    assert [run["label"] for run in answer.json["runs"]] == [
        "iterations = 3",
        "iterations = 5",
    ]
    assert answer.json["runs"][0]["loss"] == pytest.approx(0.2)
    again = cli("queue", out)
    assert again.status == 0
    assert again.out.count("finished") == 2
    assert "begins" not in again.err
    assert "a queue already" in cli("queue", out, "--vary", "seed=1").problem
    problem = cli("queue", out, "--seed", 1, "--angles", "0:1:1").problem
    assert "Leave --angles, --seed out" in problem
    assert "not at work" in cli("queue", out, "--cancel").problem
    assert cli("queue", out, "--status", "--json").json["runs"][1]["run"].endswith("-5")
    assert "exists already" in cli(*words, "--vary", "seed=1").problem


def test_wrong_words(cli: Any, stack: Path, tmp_path: Path) -> None:
    out = tmp_path / "q"
    assert "--vary" in cli("queue", stack, "-o", out).problem
    assert "--vary" in cli("queue", stack, "--vary", "seed=1,2").problem
    assert "no queue" in cli("queue", stack, "--status").problem
    answer = cli("queue", stack, "-o", out, "--vary", "depth=3,4")
    assert "no such setting" in answer.problem
    assert "depth_px" in answer.problem
    assert not out.exists()
