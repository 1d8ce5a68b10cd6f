"""One stop ends all that follows, whenever it comes, and something is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import ANGLES, asking, events, make

from napari_inr_tomo import io, runs
from napari_inr_tomo.classic import Projector
from napari_inr_tomo.engine import worker
from napari_inr_tomo.engine.recovery import Recovery
from napari_inr_tomo.engine.reporter import CANCEL, NOTHING, SAVE, STOP, Reporter
from napari_inr_tomo.engine.training import Diverged
from napari_inr_tomo.layout import read_run
from napari_inr_tomo.simulate import simulate_series


def likeness(paths) -> float:
    """Return how well the result correlates with the specimen."""
    truth = simulate_series("chiral", (18, 16), ANGLES, seed=1).truth.data
    found = io.read_volume(runs.RunFolder(paths.folder).result()).data
    return float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


@pytest.mark.parametrize(
    ("phase", "warm_start", "follow"),
    [
        ("coarse poses", "tv", ["classical start"]),
        ("coarse poses", "none", ["classical start"]),
        ("choosing the TV weight", "tv", ["classical start"]),
        ("classical start", "tv", []),
        ("classical start", "sirt", []),
        ("learning the start", "tv", []),
    ],
)
def test_a_stop_before_the_rays_gives_the_classical_volume(
    tmp_path, monkeypatch, phase, warm_start, follow
) -> None:
    paths = make(tmp_path / "run", "inr", {"inr": {"warm_start": warm_start}})
    asking(monkeypatch, STOP, after=2, phase=phase)
    assert worker.main(str(paths.folder)) == 0
    said = events(paths)
    phases = [e["name"] for e in said if e["type"] == "phase"]
    assert phases[phases.index(phase) + 1 :] == follow
    assert (said[-1]["type"], said[-1]["stopped"]) == ("finished", True)
    assert runs.RunFolder(paths.folder).status().state == "stopped"
    assert likeness(paths) > 0.6


def test_a_stop_in_the_search_for_poses_costs_a_few_iterations(
    tmp_path, monkeypatch
) -> None:
    looks = []
    whole = worker.Reporter.progress

    def progress(self, position, total, *rest, **more) -> bool:
        looks.append(self.phase_name)
        return whole(self, position, total, *rest, **more)

    monkeypatch.setattr(worker.Reporter, "progress", progress)
    changes = {"inr": {"warm_start_iterations": 100}}
    paths = make(tmp_path / "run", "inr", changes)
    asking(monkeypatch, STOP, after=3, phase="coarse poses")
    assert worker.main(str(paths.folder)) == 0
    assert looks.count("coarse poses") == 3
    assert len(looks) <= 3 + 20


@pytest.mark.parametrize("phase", ["learning the start", "rays"])
def test_a_stop_before_the_first_epoch_ends_leaves_residuals(
    tmp_path, monkeypatch, phase
) -> None:
    """They are those of the volume that is kept, of the pixels that count."""
    series = simulate_series("chiral", (18, 16), ANGLES, seed=1).series
    valid = np.ones(series.images.shape, bool)
    valid[4, :, :5] = False
    config = runs.RunFolder(make(tmp_path / "as-it-is", "inr").folder).spec.config
    run = runs.create_run(tmp_path / "run", replace(series, valid=valid), config)
    asking(monkeypatch, STOP, after=2, phase=phase)
    assert worker.main(str(run.path)) == 0
    table = np.genfromtxt(run.paths.result_poses, delimiter=",", names=True)
    angles, poses, _ = run.poses()
    volume = torch.from_numpy(io.read_volume(run.result()).data)
    computed = Projector(angles, poses, (18, 16), len(volume)).forward(volume).numpy()
    wrong = np.where(valid, series.images - computed, np.nan)
    expected = np.sqrt(np.nanmean(wrong**2, axis=(1, 2)))
    np.testing.assert_allclose(table["residual"], expected, rtol=1e-3)


def test_a_cancel_after_the_stop_still_ends_without_a_result(
    tmp_path, monkeypatch
) -> None:
    paths = make(tmp_path / "run", "inr")

    def poll(self) -> int:
        return CANCEL if self.phase_name == "classical start" else STOP

    monkeypatch.setattr(Reporter, "poll", poll)
    assert worker.main(str(paths.folder)) == 0
    assert events(paths)[-1]["type"] == "cancelled"
    assert not paths.complete.exists()


def test_a_request_to_end_is_heard_at_every_later_look(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("napari_inr_tomo.engine.reporter.POLL_S", 0.0)
    paths = make(tmp_path / "run", "sirt")
    run = runs.RunFolder(paths.folder)
    reporter = Reporter(paths, read_run(paths))
    assert reporter.poll() == NOTHING
    for asked, heard in (("save-now", SAVE), ("stop", STOP), ("cancel", CANCEL)):
        paths.control(asked).touch()
        assert reporter.poll() == heard
        assert reporter.poll() == (NOTHING if heard == SAVE else heard)
    assert not paths.control("stop").exists()
    assert run.paths.obeyed.exists()


def test_a_stop_is_not_lost_with_a_step_that_diverged(tmp_path, monkeypatch) -> None:
    paths = make(tmp_path / "run", "inr", {"inr": {"schedule": {"epochs": 30}}})
    whole, steps = Recovery.after_step, []

    def after_step(self, loss) -> None:
        steps.append(loss)
        if len(steps) == 4:
            raise Diverged("for the test")
        whole(self, loss)

    def look(self) -> int:
        """Say so once, in the step that is taken back."""
        return STOP if len(steps) == 3 else NOTHING

    monkeypatch.setattr(Recovery, "after_step", after_step)
    monkeypatch.setattr(Reporter, "_look", look)
    assert worker.main(str(paths.folder)) == 0
    assert len(steps) == 5
    last = events(paths)[-1]
    assert (last["type"], last["stopped"]) == ("finished", True)
