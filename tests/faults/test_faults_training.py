"""Training that leaves the rails, loses memory or has a term without a gradient."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo import io, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import checkpoint, inr_run, recovery, worker
from napari_inr_tomo.engine.training import Trainer
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.runs import RunFolder
from napari_inr_tomo.types import Poses

if os.name == "nt":
    pytest.skip("the forked workers are POSIX", allow_module_level=True)

from fault_runs import ANGLES, make_run, ranks

Figure = Callable[[str], None]


def told(paths: RunPaths, kind: str) -> list[dict]:
    lines = [json.loads(line) for line in paths.events.open()]
    return [line for line in lines if line["type"] == kind]


def spoil(when: Callable[[Trainer], bool], rank: int = 0) -> Callable[[], None]:
    """Put NaN into the gradient of one rank in the steps that ``when`` picks."""

    def before() -> None:
        whole = Trainer._gradient

        def gradient(self, drawn, samples):
            found = whole(self, drawn, samples)
            if self.ranks.rank == rank and when(self):
                self.optimisers.gradients()[0].view(-1)[0] = float("nan")
            return found

        Trainer._gradient = gradient

    return before


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Keep what a test changes in the worker's classes to that test."""
    for name in ("_gradient", "_step", "run"):
        monkeypatch.setattr(Trainer, name, getattr(Trainer, name))
    return monkeypatch


@pytest.mark.scenario(32)
def test_one_spoilt_gradient_takes_training_back_and_on(
    tmp_path: Path, figure: Figure
) -> None:
    """On two ranks, of which one has the NaN: both decide alike."""
    seen = {"count": 0}

    def once(trainer: Trainer) -> bool:
        seen["count"] += 1
        return seen["count"] == 8

    paths = make_run(tmp_path / "run")
    with ranks(paths, 2, spoil(once, rank=1)) as members:
        assert [member.wait() for member in members] == [0, 0]
    run = RunFolder(paths.folder)
    assert run.status().state == "finished"
    run.verify_result()
    warned = told(paths, "warning")
    assert [w["what"] for w in warned] == ["The reconstruction diverged"]
    assert np.isfinite(io.read_volume(run.result()).data).all()
    figure("one NaN on one of 2 ranks: taken back once, then finished")


@pytest.mark.scenario(32)
def test_training_that_cannot_be_saved_ends_with_the_last_good_volume(
    tmp_path: Path, figure: Figure, in_process: pytest.MonkeyPatch
) -> None:
    spoil(lambda trainer: trainer.progress.epoch >= 2)()
    paths = make_run(tmp_path / "run")
    assert worker.main(str(paths.folder)) == 0
    run = RunFolder(paths.folder)
    status = run.status()
    assert status.state == "stopped"
    assert "last good volume" in status.message
    assert len(told(paths, "warning")) == recovery.ATTEMPTS + 1
    record = json.loads(paths.record.read_text())["outcome"]
    assert "diverged" in record["reason"]
    two_epochs = make_run(tmp_path / "two", {"inr": {"schedule": {"epochs": 2}}})
    assert worker.main(str(two_epochs.folder)) == 0
    good = io.read_volume(run.result()).data
    assert np.isfinite(good).all()
    assert good.max() > 0
    figure(f"taken back {recovery.ATTEMPTS} times, then the last good volume")


@pytest.mark.scenario(32)
def test_a_wild_learning_rate_ends_in_the_classical_start(
    tmp_path: Path, figure: Figure
) -> None:
    inr = {"schedule": {"learning_rate": 1e30}, "warm_start": "tv"}
    inr |= {"warm_start_iterations": 10, "warm_start_steps": 60}
    paths = make_run(tmp_path / "run", {"inr": inr})
    assert worker.main(str(paths.folder)) == 0
    assert RunFolder(paths.folder).status().state == "stopped"
    volume = io.read_volume(paths.result_volume).data
    assert np.isfinite(volume).all()
    assert volume.std() > 0


@pytest.mark.scenario(32)
def test_a_state_is_judged_by_what_comes_after_it(
    tmp_path: Path, in_process: pytest.MonkeyPatch
) -> None:
    """The step that ruins the network has a fine loss: its own was measured before."""
    in_process.setattr(recovery, "EVERY_STEPS", 1)
    whole, moved = Trainer._step, {"count": 0}

    def step(self, request):
        reports = whole(self, request)
        moved["count"] += 1
        if moved["count"] == 6:
            for parameter in self.field.parameters():
                parameter.data.mul_(1e3)
        return reports

    in_process.setattr(Trainer, "_step", step)
    paths = make_run(tmp_path / "run")
    assert worker.main(str(paths.folder)) == 0
    assert RunFolder(paths.folder).status().state == "finished"
    assert len(told(paths, "warning")) == 1  # not taken back to the ruin, and again


@pytest.mark.scenario(32)
def test_nothing_good_is_no_result(
    tmp_path: Path, in_process: pytest.MonkeyPatch
) -> None:
    spoil(lambda trainer: True)()
    paths = make_run(tmp_path / "run")
    assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    assert "diverged" in told(paths, "failed")[-1]["what"]
    assert not paths.complete.exists()


@pytest.mark.scenario(32)
def test_the_halved_rates_outlive_a_resume(
    tmp_path: Path, in_process: pytest.MonkeyPatch
) -> None:
    count = {"count": 0}

    def once(trainer: Trainer) -> bool:
        count["count"] += 1
        return count["count"] == 3

    spoil(once)()
    paths = make_run(tmp_path / "run")
    assert worker.main(str(paths.folder)) == 0
    loaded = checkpoint.load(paths.checkpoints)
    assert loaded is not None
    assert loaded[1]["halved"] == [1, 0]


@pytest.mark.scenario(33)
def test_poses_that_run_away_are_put_back(
    tmp_path: Path, figure: Figure, in_process: pytest.MonkeyPatch
) -> None:
    """A pose rate a thousand times too high; the reference never moves."""
    poses = {"learning_rate_deg": 50.0, "learning_rate_px": 10.0, "start_epoch": 0}
    inr = {"poses": poses, "schedule": {"epochs": 6}}
    paths = make_run(tmp_path / "run", {"inr": inr})
    assert worker.main(str(paths.folder)) == 0
    warned = [w for w in told(paths, "warning") if "poses ran away" in w["what"]]
    assert len(warned) == recovery.ATTEMPTS
    _, found, _ = io.read_poses(paths.result_poses)
    start = RunFolder(paths.folder).spec.poses
    far = recovery.runaways(ANGLES, start, found, 0.2 * 13)
    assert not len(far)
    reference = int(np.argmin(np.abs(ANGLES)))
    assert found.as_array()[reference] == pytest.approx(start.as_array()[reference])
    figure(f"put back {len(warned)} times, then held; all poses within bounds")


def test_poses_that_only_look_far_are_left_alone() -> None:
    """At a low tilt z1 and z3 may drift apart and turn nothing."""
    zeros, drift = np.zeros(3), np.array([0.0, 40.0, 0.0])
    low, start = np.array([-1.0, 0.5, 1.0]), Poses.zeros(3)
    assert not len(recovery.runaways(low, start, Poses(drift, -drift, zeros, zeros), 9))
    turned = recovery.runaways(low, start, Poses(drift, zeros, zeros, zeros), 9)
    np.testing.assert_allclose(turned, [[1, 40, 0]], atol=1e-5)
    moved = replace(start, dx_px=np.array([0, 0, 10.0]))
    np.testing.assert_allclose(recovery.runaways(low, start, moved, 9), [[2, 0, 10]])


@pytest.mark.scenario(40)
def test_every_term_of_the_loss_moves_something(
    tmp_path: Path, figure: Figure, in_process: pytest.MonkeyPatch
) -> None:
    """Gradients of the pixel term alone and of the total variation alone."""
    found: dict[str, dict[str, float]] = {}

    def step(self: Trainer, request: int):
        for parameter in self.poses.parameters():
            parameter.requires_grad_(True)
        drawn = self.gradient.draw(self.sampler.step(0, 0), 0, 0)
        none = drawn.variation[:0]
        drawn_for = {
            "pixels": replace(drawn, variation=none, depths=drawn.depths[:0]),
            "variation": replace(drawn, pixels=none, places=drawn.places[:0]),
        }
        named = {"network": self.optimisers.network}
        named["poses"] = self.optimisers.pose_parameters
        for term, part in drawn_for.items():
            self.optimisers.zero_grad()
            self.gradient.add(part, 12, 1 << 14)
            found[term] = {
                name: max(
                    float(p.grad.abs().max()) for p in group if p.grad is not None
                )
                for name, group in named.items()
            }
        raise UserError("enough", "seen", "stop")

    in_process.setattr(Trainer, "_step", step)
    paths = make_run(tmp_path / "run")
    assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    assert found["pixels"]["network"] > 1e-6
    assert found["pixels"]["poses"] > 1e-6
    assert found["variation"]["network"] > 1e-9
    figure("pixels move network and poses, total variation moves the network")


@pytest.mark.scenario(15)
@pytest.mark.parametrize(
    "share",
    [0.01, *(pytest.param(s, marks=pytest.mark.faults) for s in (0.001, 0.5))],
    ids=str,
)
def test_nan_in_the_data_equals_masked_pixels(
    tmp_path: Path, share: float, figure: Figure
) -> None:
    """And one NaN would have spoilt all weights after one step (Adam)."""
    clean = RunFolder(make_run(tmp_path / "clean").folder).series()
    rng = np.random.default_rng(15)
    bad = rng.random(clean.images.shape) < share
    bad[0, 0, 0] = True
    config = ReconstructionConfig.from_preset("fast").merged(
        RunFolder(tmp_path / "clean").config.model_dump()
    )
    volumes = []
    for name, series in (
        ("nan", clean.evolve(images=np.where(bad, np.nan, clean.images))),
        ("masked", clean.evolve(images=np.where(bad, 0, clean.images), valid=~bad)),
    ):
        runs.create_run(tmp_path / name, series, config)
        assert worker.main(str(tmp_path / name)) == 0
        volumes.append(io.read_volume(tmp_path / name / "result" / "volume.mrc").data)
    assert np.isfinite(volumes[0]).all()
    assert np.array_equal(*volumes)
    figure(f"{share:.1%} NaN: equal to the same pixels masked")


def test_a_live_volume_without_memory_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = inr_run.read_volume

    def read(*args):
        raise_now = bool(RunPaths(tmp_path / "run").folder.exists()) and calls[0] < 2
        calls[0] += 1
        if raise_now:
            raise MemoryError
        return whole(*args)

    calls = [0]
    monkeypatch.setattr(inr_run, "read_volume", read)
    paths = make_run(tmp_path / "run")
    assert worker.main(str(paths.folder)) == 0
    assert calls[0] > 2
