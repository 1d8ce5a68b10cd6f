"""Held-out pixels: their loss, the epoch that is kept, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_runs import asking, events, make

from napari_inr_tomo import runs
from napari_inr_tomo.engine import inr_run, worker
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.earlier import load_earlier
from napari_inr_tomo.engine.job import Job
from napari_inr_tomo.engine.reporter import STOP, Reporter

Weights = dict


@pytest.fixture
def scripted(monkeypatch):
    """Give the loss on the held-out pixels; return the weights, last those kept."""
    seen: list[Weights] = []
    whole = inr_run.InrRun._finish

    def note(trainer) -> None:
        seen.append({k: v.detach().clone() for k, v in trainer._tensors().items()})

    def finish(self, volume):
        note(self.trainer)
        return whole(self, volume)

    def script(*losses: float) -> list[Weights]:
        def holdout(self) -> float:
            note(self)
            return losses[len(seen) - 1]

        monkeypatch.setattr(inr_run.Trainer, "holdout_loss", holdout)
        monkeypatch.setattr(inr_run.InrRun, "_finish", finish)
        return seen

    return script


def equal(one: Weights, other: Weights) -> bool:
    """Whether the networks are the same; the poses have been pinned since."""
    return all(bool((one[k] == other[k]).all()) for k in one if "poses" not in k)


def start(folder: Path, patience: int, epochs: int = 5):
    changes = {
        "holdout": {"fraction": 0.2, "patience": patience},
        "schedule": {"epochs": epochs},
    }
    return make(folder, "inr", {"inr": changes})


def outcome(paths) -> dict:
    return json.loads(paths.record.read_text())["outcome"]


def test_out_of_patience_the_run_ends_with_the_best_and_says_so(
    tmp_path, scripted
) -> None:
    seen = scripted(0.4, 0.2, 0.3, 0.35, 0.1)
    paths = start(tmp_path / "run", patience=2)
    assert worker.main(str(paths.folder)) == 0
    assert len(seen) == 5  # four epochs
    assert equal(seen[1], seen[-1])
    assert not equal(seen[3], seen[-1])
    told = outcome(paths)
    assert (told["step"], told["kept"], told["holdout"]) == (4, 2, 0.2)
    assert "has not improved for 2 epochs" in told["reason"]
    held = [e["holdout"] for e in events(paths) if e["type"] == "epoch"]
    assert [h for h in held if h is not None][-1] == 0.35  # the curve goes on
    status = runs.RunFolder(paths.folder).status()
    assert (status.state, status.holdout) == ("finished", 0.2)
    assert status.message.startswith("Ended early after ")
    assert status.message.endswith(
        "not improved for 2 epochs; the network of epoch 2 is kept"
    )


def test_a_stop_keeps_the_best_epoch_too(tmp_path, monkeypatch, scripted) -> None:
    seen = scripted(0.2, 0.4)
    paths = start(tmp_path / "run", patience=5)
    asking(monkeypatch, STOP, after=35)  # in the third epoch
    assert worker.main(str(paths.folder)) == 0
    assert len(seen) == 3
    assert equal(seen[0], seen[-1])
    told = outcome(paths)
    assert (told["stopped"], told["kept"], told["holdout"]) == (True, 1, 0.2)
    assert told["reason"] is None
    status = runs.RunFolder(paths.folder).status()
    assert status.state == "stopped"
    assert status.message.endswith("; the network of epoch 1 is kept")


def test_a_run_that_goes_on_begins_with_the_network_that_was_kept(
    tmp_path, scripted
) -> None:
    seen = scripted(0.2, 0.4)
    paths = start(tmp_path / "run", patience=5, epochs=2)
    assert worker.main(str(paths.folder)) == 0
    spec = runs.RunFolder(paths.folder).spec
    box = Job(paths, spec, Ranks(), Reporter(None, spec)).box
    weights = load_earlier(paths.checkpoints, spec.config.inr.field, box).weights
    assert equal({f"field/{name}": w for name, w in weights.items()}, seen[0])
    assert not equal(seen[0], seen[1])


def test_where_the_last_epoch_is_the_best_nothing_is_added(tmp_path, scripted) -> None:
    scripted(0.4, 0.2)
    paths = start(tmp_path / "run", patience=1, epochs=2)
    assert worker.main(str(paths.folder)) == 0
    assert outcome(paths)["reason"] is None
    message = runs.RunFolder(paths.folder).status().message
    assert message.startswith("Finished after")
    assert "kept" not in message


def test_holdout_loss_is_the_mean_over_held_out_pixels_only(tmp_path) -> None:
    changes = {"holdout": {"fraction": 0.2}, "poses": {"refine": False}}
    paths = make(tmp_path / "run", "inr", {"inr": changes})
    assert worker.main(str(paths.folder)) == 0
    held = [e["holdout"] for e in events(paths) if e.get("holdout") is not None]
    trained = [e["loss"] for e in events(paths) if e.get("phase") == "rays"]
    assert 0 < held[-1] < 3 * np.mean(trained[-3:])
