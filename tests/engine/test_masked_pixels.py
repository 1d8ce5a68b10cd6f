"""Pixels that do not count: no method may see what they hold."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo import io, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import worker
from napari_inr_tomo.engine.data import intensity_scale
from napari_inr_tomo.simulate import simulate_series

ANGLES = np.arange(-60, 61, 10.0)
SIZE = (18, 16)


def test_the_scale_is_that_of_the_pixels_that_count() -> None:
    images = np.linspace(0, 1, 4000, dtype=np.float32).reshape(10, 20, 20)
    spoilt, valid = images.copy(), np.ones(images.shape, bool)
    spoilt[:, ::2], valid[:, ::2] = 1e4, False
    assert intensity_scale(spoilt, valid) == intensity_scale(images[:, 1::2])
    assert intensity_scale(spoilt, np.zeros_like(valid)) == 1


@pytest.mark.parametrize("method", ["fbp", "sirt", "tv"])
def test_what_masked_pixels_hold_is_neither_volume_nor_residual(
    tmp_path, method
) -> None:
    simulated = simulate_series("chiral", SIZE, ANGLES, seed=1)
    series, truth = simulated.series, simulated.truth.data
    bad = np.random.default_rng(0).random(series.images.shape) < 0.01
    bad[4] = True  # a whole tilt
    masked = series.evolve(images=np.where(bad, 5000, series.images), valid=~bad)
    changes = {"classic": {"iterations": 30}, "compute": {"device": "cpu"}}
    config = ReconstructionConfig.from_preset("fast", method=method).merged(changes)
    errors, residuals = [], []
    for name, given in (("clean", series), ("masked", masked)):
        run = runs.create_run(tmp_path / name, given, config)
        assert worker.main(str(run.path)) == 0
        volume = io.read_volume(run.result()).data
        errors.append(np.sqrt(np.mean((volume - truth) ** 2)))
        lines = run.paths.result_poses.read_text().splitlines()
        column = lines[0].split(",").index("residual")
        residuals.append([line.split(",")[column] for line in lines[1:]])
    assert errors[1] < 1.2 * errors[0]
    assert residuals[1].pop(4) == ""  # nothing was measured
    assert max(map(float, residuals[1])) < 1.5 * max(map(float, residuals[0]))
