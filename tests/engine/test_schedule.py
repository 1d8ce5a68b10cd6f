"""Warm-up, cosine, ramp (section 4.1.2)."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_inr_tomo.config import ReconstructionConfig, ScheduleSettings
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.inr_run import InrRun
from napari_inr_tomo.engine.schedule import network_factor, pose_factor, samples_per_ray
from napari_inr_tomo.engine.training import Trainer
from napari_inr_tomo.inr import Box, LearnedPoses, build_field, rendering
from napari_inr_tomo.types import Poses

PAPER = ScheduleSettings(epochs=150, warmup_epochs=10, ramp_epochs=10)


def test_learning_rate_rises_then_falls_as_a_cosine() -> None:
    assert network_factor(PAPER, 5) == pytest.approx(0.5)
    assert network_factor(PAPER, 10) == pytest.approx(1.0)
    assert network_factor(PAPER, 80) == pytest.approx((1 + 0.01) / 2)
    assert network_factor(PAPER, 150) == pytest.approx(0.01)


def test_poses_wait_then_start_at_full_rate() -> None:
    assert pose_factor(PAPER, 10, 9.99) == 0
    assert pose_factor(PAPER, 10, 10) == 1
    assert pose_factor(PAPER, 10, 150) == pytest.approx(0.01)


def test_samples_grow_to_one_per_pixel() -> None:
    counts = [samples_per_ray(PAPER, e, 500) for e in (0, 5, 10, 90)]
    assert counts == [20, 260, 500, 500]
    assert samples_per_ray(PAPER, 0, 8) == 2


@pytest.mark.parametrize(("depth", "longest_px"), [(8, 1.1), (24, 1.42)])
def test_a_step_along_a_ray_is_about_a_voxel_also_in_a_thin_box(
    depth: int, longest_px: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The diagonal of a cube is the exception, as in the paper: its depth is enough."""
    angles = np.linspace(-75, 75, 11)
    box = Box((depth, 24, 24))
    inr = {"field": {"width": 8, "hidden_layers": 1}, "loss": {"tv_points": 0}}
    config = ReconstructionConfig.from_preset("fast").merged({"inr": inr}).resolved(11)
    stack = Stack.load(
        np.ones((11, 24, 24), np.float32), None, torch.device("cpu"), torch.float32, 1.0
    )
    field = build_field(config.inr.field, 24, 0)
    poses = LearnedPoses(angles, Poses.zeros(11), 5)
    trainer = Trainer(stack, field, poses, box, None, config, Ranks())
    steps, counts = [], set()
    sample_points = rendering.sample_points

    def noted(*args):
        points, length = sample_points(*args)
        steps.append(float(length.max()) / box.unit)
        counts.add(points.shape[1])
        return points, length

    monkeypatch.setattr(rendering, "sample_points", noted)
    trainer.run(lambda: 0, lambda report: report.position > 0.5, lambda _: None)
    assert 0.9 < max(steps) < longest_px
    assert counts == {24}


def test_the_report_at_the_end_of_an_epoch_is_no_single_step() -> None:
    told = []
    run = InrRun.__new__(InrRun)
    run.job = SimpleNamespace(
        config=ReconstructionConfig.from_preset("preview").resolved(60),
        reporter=SimpleNamespace(progress=lambda *a, **_: not told.append(a[2])),
    )
    run.trainer = SimpleNamespace(optimisers=SimpleNamespace(learning_rate=1.0))
    run.holdout, run._losses = None, [1.0, 3.0]
    run._progress(0.999)
    run._progress(1, force=True)  # nothing came since
    assert told == [2.0, 2.0]
