"""Live volumes show what the result will: as coarse as asked for, and the right way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inr_tomo import io, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import worker
from napari_inr_tomo.engine.preview import binned, from_axis_frame
from napari_inr_tomo.engine.reporter import Reporter
from napari_inr_tomo.inr import Box
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

ANGLES = np.arange(-60, 61, 10.0)
SIZE = (30, 25)


@pytest.fixture
def shown(monkeypatch):
    """The live volumes of the next run by the name of their phase, with their step."""
    seen: dict[str, list[tuple[np.ndarray, float]]] = {}

    def preview(self, volume, voxel_px, step) -> None:
        one = (volume.detach().numpy().copy(), voxel_px)
        seen.setdefault(self.phase_name, []).append(one)

    monkeypatch.setattr(Reporter, "preview", preview)
    monkeypatch.setattr(Reporter, "preview_due", lambda self: True)
    return seen


def likeness(volume: np.ndarray, truth: np.ndarray) -> float:
    return float(np.corrcoef(volume.ravel(), truth.ravel())[0, 1])


@pytest.mark.parametrize("method", ["sirt", "tv"])
def test_a_large_classical_volume_is_shown_coarser(tmp_path, shown, method) -> None:
    simulated = simulate_series("chiral", SIZE, ANGLES, seed=1)
    config = ReconstructionConfig.from_preset("fast", method=method).merged(
        {
            "classic": {"iterations": 20},
            "compute": {"device": "cpu", "preview_voxels": 1000},
        }
    )
    run = runs.create_run(tmp_path / "run", simulated.series, config)
    assert worker.main(str(run.path)) == 0
    result = io.read_volume(run.result()).data
    live = shown[method.upper()]
    assert {(volume.shape, step) for volume, step in live[:-1]} == {((10, 10, 9), 3.0)}
    last = live[-2][0]  # the very last one is the result
    wanted = binned(torch.from_numpy(result), 3).numpy()
    assert last == pytest.approx(wanted, abs=1e-5)
    assert last.sum() * 27 == pytest.approx(result.sum(), rel=1e-4)


@pytest.mark.parametrize("axis_deg", [0.0, 90.0, -35.0])
def test_the_volume_of_the_search_for_poses_lies_as_the_result_will(
    tmp_path, shown, axis_deg
) -> None:
    simulated = simulate_series("chiral", SIZE, ANGLES, axis_deg=axis_deg, seed=1)
    poses = Poses.from_axis(len(ANGLES), axis_deg)
    truth = simulated.truth.data
    config = ReconstructionConfig.from_preset("fast").merged(
        {
            "depth_px": truth.shape[0],
            "compute": {"device": "cpu", "precision": "float32"},
            "inr": {
                "field": {"width": 16, "hidden_layers": 1},
                "schedule": {"epochs": 1},
                "warm_start": "none",
            },
        }
    )
    series = simulated.series.evolve(poses=poses)
    run = runs.create_run(tmp_path / "run", series, config)
    assert worker.main(str(run.path)) == 0
    volume, step = shown["coarse poses"][-1]
    box = Box(truth.shape)
    assert volume.shape == box.coarse_shape(int(step))
    truth = binned(torch.from_numpy(truth), int(step)).numpy()
    right = likeness(volume, truth)
    assert right > 0.7
    for axes in ((0, 1), (0, 2), (1, 2)):
        assert right > likeness(volume, np.flip(truth, axes)) + 0.1
    assert volume.sum() == pytest.approx(truth.sum(), rel=0.2)


def test_a_coarse_ball_is_put_where_it_belongs() -> None:
    """Voxels of 2.5 px, turned by 30 degrees, onto cells of 2 px of a flat box."""
    z, y, x = np.meshgrid(
        *(np.arange(n) - (n - 1) / 2 for n in (13, 24, 24)), indexing="ij"
    )
    place = np.array([1.0, -3.0, 4.0])  # z, y, x in coarse voxels
    ball = np.exp(
        -((z - place[0]) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2) / 4
    )
    box = Box((30, 47, 52))
    found = from_axis_frame(torch.from_numpy(ball), 2.5, 30.0, box, 2).numpy()
    weight = found / found.sum()
    centre = [
        float((np.array(box.axis(n, 2)) * weight.sum(axis=others)).sum())
        for n, others in zip(box.shape_zyx, ((1, 2), (0, 2), (0, 1)), strict=True)
    ]
    c, s = np.cos(np.deg2rad(30)), np.sin(np.deg2rad(30))
    z, y, x = 2.5 * place
    assert centre == pytest.approx([z, c * y - s * x, c * x + s * y], abs=0.1)
