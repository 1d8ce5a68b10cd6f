"""Warm-up, cosine, ramp (section 4.1.2)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_inr_tomo.config import ReconstructionConfig, ScheduleSettings
from napari_inr_tomo.engine.inr_run import InrRun
from napari_inr_tomo.engine.schedule import network_factor, pose_factor, samples_per_ray

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
