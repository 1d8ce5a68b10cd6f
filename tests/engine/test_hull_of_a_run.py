"""The visual hull in a run: weak matter comes out, is told of, or the hull is off."""

from __future__ import annotations

import numpy as np
import torch

from napari_inr_tomo import io, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import pose_search, warm_start, worker
from napari_inr_tomo.simulate.bodies import ball, ellipsoid
from napari_inr_tomo.simulate.phantoms import Phantom
from napari_inr_tomo.types import Poses, TiltSeries

ANGLES = np.arange(-60, 61, 6.0)
SIZE = 32
QUICK = {
    "compute": {"device": "cpu", "precision": "float32"},
    "inr": {
        "field": {"width": 24, "hidden_layers": 1},
        "schedule": {"epochs": 1},
        "loss": {"tv_points": 100},
        "poses": {"refine": False},
        "warm_start_iterations": 30,
    },
}


def on_a_film(weak: float, dose: float | None = None) -> tuple[TiltSeries, np.ndarray]:
    """A ball on a film of a part of its density, and where the film is."""
    bodies = (
        ball((0, 0, 0), 0.25, 1.0),
        ellipsoid((0, 0, 0), (0.85, 0.85, 0.15), weak),
    )
    thing = Phantom("film", bodies, (SIZE, SIZE, SIZE))
    images, truth = thing.project(ANGLES, Poses.zeros(len(ANGLES))), thing.voxelise()
    if dose is not None:
        scale = dose / images.max()
        images = np.random.default_rng(0).poisson(images * scale) / scale
    series = TiltSeries(images.astype(np.float32), ANGLES)
    return series, (truth >= 0.9 * weak) & (truth < 0.5)


def finished(folder, series: TiltSeries, changes=None) -> runs.RunFolder:
    config = ReconstructionConfig.from_preset("fast").merged(QUICK)
    run = runs.create_run(folder, series, config.merged(changes or {}))
    assert worker.main(str(folder)) == 0
    return run


def warnings(run: runs.RunFolder) -> list[str]:
    return [event.what for event in run.events() if event.type == "warning"]


def test_a_film_comes_out_and_nothing_is_warned_of(tmp_path) -> None:
    series, film = on_a_film(0.02)
    run = finished(tmp_path / "run", series)
    volume = io.read_volume(run.result()).data
    assert (volume[film] > 0).all()
    assert (volume == 0).mean() > 0.3  # what is empty was carved
    assert warnings(run) == []


def test_a_film_that_is_too_weak_to_be_told_from_nothing_is_told_of(tmp_path) -> None:
    series, _ = on_a_film(0.01, dose=20)
    run = finished(tmp_path / "run", series)
    assert "Weak matter may be missing" in warnings(run)


def test_the_hull_can_be_turned_off(tmp_path, monkeypatch) -> None:
    def carve(*_):
        raise AssertionError("the hull was asked")

    series, _ = on_a_film(0.01, dose=20)
    monkeypatch.setattr(warm_start, "hull", carve)
    monkeypatch.setattr(pose_search, "hull", carve)
    off = {"inr": {"hull": False, "poses": {"refine": True}}}
    run = finished(tmp_path / "off", series, off)
    assert (io.read_volume(run.result()).data > 0).all()
    assert warnings(run) == []


def test_a_run_that_goes_on_can_leave_the_hull_of_the_earlier_one(
    tmp_path, monkeypatch
) -> None:
    series, _ = on_a_film(0.02)
    earlier = finished(tmp_path / "earlier", series)
    seen: list[torch.Tensor | None] = []
    go_on = warm_start._go_on

    def noted(*args):
        start = go_on(*args)
        seen.append(start.occupied)
        return start

    monkeypatch.setattr(warm_start, "_go_on", noted)
    for name, on in (("on", True), ("off", False)):
        config = ReconstructionConfig.from_preset("fast").merged(QUICK)
        config = config.merged({"inr": {"hull": on}})
        runs.continue_run(tmp_path / name, series, earlier, config)
        assert worker.main(str(tmp_path / name)) == 0
    assert [occupied is None for occupied in seen] == [False, True]
