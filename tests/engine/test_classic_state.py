"""SIRT and TV go on where they were interrupted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inr_tomo import io, runs
from napari_inr_tomo.classic.tv import START_ITERATIONS, state_like
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import checkpoint, worker
from napari_inr_tomo.engine.reporter import CANCEL, SAVE, STOP, Reporter
from napari_inr_tomo.events import Epoch, Failed, Phase, Started
from napari_inr_tomo.simulate import simulate_series

ANGLES = np.arange(-60, 61, 10.0)
SIZE = (18, 15)
ITERATIONS = 12


def make(folder, method: str, **classic) -> runs.RunFolder:
    series = simulate_series("chiral", SIZE, ANGLES, seed=1).series
    changes = {
        "compute": {"device": "cpu"},
        "classic": {"iterations": ITERATIONS} | classic,
    }
    config = ReconstructionConfig.from_preset("fast", method=method).merged(changes)
    return runs.create_run(folder, series, config)


def work(run: runs.RunFolder) -> np.ndarray | None:
    assert worker.main(str(run.path)) == 0
    return io.read_volume(run.result()).data if run.paths.complete.exists() else None


@pytest.fixture
def ask(monkeypatch):
    """Have a request arrive after so many looks in a phase."""

    def ask(request: int, after: int, phase: str) -> None:
        looks = 0

        def poll(self) -> int:
            nonlocal looks
            looks += self.phase_name == phase
            return request if looks == after and self.phase_name == phase else 0

        monkeypatch.setattr(Reporter, "poll", poll)

    return ask


@pytest.mark.parametrize("method", ["sirt", "tv"])
@pytest.mark.parametrize("request_", [CANCEL, STOP])
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    tmp_path, ask, method, request_
) -> None:
    straight = work(make(tmp_path / "straight", method))
    run = make(tmp_path / "broken", method)
    ask(request_, 5, method.upper())
    work(run)
    assert run.status().state == ("cancelled" if request_ == CANCEL else "stopped")
    if request_ == CANCEL:
        assert run.status().message.endswith("it can be resumed from its checkpoint")
    before = len(run.events())
    assert np.array_equal(work(run), straight)
    later = run.events()[before:]
    assert [e.resumed_at for e in later if isinstance(e, Started)] == [5]
    assert [e.name for e in later if isinstance(e, Phase)] == [method.upper()]
    assert next(e.step for e in later if isinstance(e, Epoch)) == 6
    assert run.status().step == ITERATIONS
    assert not list(run.paths.checkpoints.glob("*"))  # nothing goes on from its end


def test_what_is_cancelled_before_a_checkpoint_says_that_it_begins_anew(
    tmp_path, ask
) -> None:
    run = make(tmp_path / "run", "tv")
    ask(CANCEL, 3, "choosing the TV weight")
    work(run)
    assert run.status().message.endswith("resumed, it begins anew")


def test_half_a_choice_of_the_weight_is_not_gone_on_from(tmp_path, ask) -> None:
    run = make(tmp_path / "run", "tv")
    straight = work(make(tmp_path / "straight", "tv"))
    ask(STOP, 25, "choosing the TV weight")
    work(run)
    assert run.status().state == "stopped"
    assert np.array_equal(work(run), straight)


def test_checkpoints_are_written_when_asked_for_and_are_as_large_as_said(
    tmp_path, ask, monkeypatch
) -> None:
    run = make(tmp_path / "run", "tv", tv_weight=1.0)
    ask(SAVE, START_ITERATIONS + 3, "TV")
    monkeypatch.setattr(checkpoint, "clear", lambda folder: None)
    work(run)
    (path,) = run.paths.checkpoints.glob("*.npz")
    need = runs.estimate(run.config, run.spec.shape, run.spec.poses)
    assert path.stat().st_size == pytest.approx(need.checkpoint_bytes, rel=0.1)


def test_a_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    run = make(tmp_path / "run", "tv", tv_weight=1.0)
    arrays = {
        name: torch.zeros(like.shape, dtype=like.dtype)
        for name, like in state_like((15, *SIZE), (len(ANGLES), *SIZE)).items()
    }
    info = {"method": "tv", "progress": {"epoch": 3}, "weight": 1.0}
    for wrong in ({"method": "sirt"}, {"progress": {"epoch": 99}}, {"weight": -1}):
        checkpoint.save(run.paths.checkpoints, 3, arrays, info | wrong)
        assert worker.main(str(run.path)) == worker.OWN_FAULT
        failed = run.events()[-1]
        assert isinstance(failed, Failed)
        assert "does not belong" in failed.what
