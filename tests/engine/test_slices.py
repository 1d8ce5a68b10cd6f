"""Slices read out of the network while it learns."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_inr_tomo import io, planes, runs
from napari_inr_tomo.config import FieldSettings, ReconstructionConfig
from napari_inr_tomo.engine import worker
from napari_inr_tomo.engine.slices import read_plane, read_volume
from napari_inr_tomo.inr import Box, build_field
from napari_inr_tomo.simulate import simulate_series

SHAPE_ZYX = (7, 12, 9)
LIKE = torch.zeros(1)


@pytest.fixture
def field() -> torch.nn.Module:
    return build_field(FieldSettings(width=16, hidden_layers=1), 12, 3)


def test_a_plane_of_the_network_is_a_slice_of_its_volume(field) -> None:
    box = Box(SHAPE_ZYX)
    occupied = torch.rand(SHAPE_ZYX, generator=torch.Generator().manual_seed(1)) > 0.3
    volume = read_volume(field, box, 1, LIKE, occupied)
    wanted = planes.orthogonal((-2.0, 1.5, 1.0), SHAPE_ZYX)
    xy, xz, yz = (read_plane(field, box, p, LIKE, occupied) for p in wanted)
    for found, expected in ((xy, volume[4]), (xz, volume[:, 7]), (yz, volume[:, :, 2])):
        torch.testing.assert_close(found, expected)
    assert volume.std() > 0


@pytest.mark.parametrize("step", [2, 3])
def test_a_coarse_volume_is_empty_where_no_voxel_of_a_cell_is_occupied(
    field, step: int
) -> None:
    box = Box((9, 10, 11))
    occupied = torch.zeros(box.shape_zyx, dtype=torch.bool)
    occupied[1, 7, 4] = True
    everywhere = read_volume(field, box, step, LIKE)
    inside = read_volume(field, box, step, LIKE, occupied)
    assert everywhere.abs().min() > 0
    (cell,) = (inside != 0).nonzero()
    assert inside[tuple(cell)] == everywhere[tuple(cell)]
    voxel = torch.tensor([1.0, 7.0, 4.0]) - (torch.tensor(box.shape_zyx) - 1) / 2
    cells = torch.tensor(box.coarse_shape(step))
    centre = (cell - (cells - 1) / 2) * step
    assert (centre - voxel).abs().max() <= step / 2


def test_there_is_nothing_outside_the_box(field) -> None:
    plane = planes.Plane((0, 0, 0), (1, 0, 0), (0, 0.6, 0.8), (31, 31))
    image = read_plane(field, Box(SHAPE_ZYX), plane, LIKE)
    inside = (np.abs(plane.points()) <= np.array([4.5, 6, 3.5])).all(-1)
    assert np.array_equal(image.numpy() > 0, inside)


def test_slices_may_be_read_between_the_parts_of_a_volume(field) -> None:
    box, heard = Box(SHAPE_ZYX), []
    count = int(np.prod(SHAPE_ZYX))
    known = (LIKE, None, 100, lambda: heard.append(1))
    volume = read_volume(field, box, 1, *known)
    assert len(heard) >= count // 100
    torch.testing.assert_close(volume, read_volume(field, box, 1, LIKE))


def test_a_run_answers_once_and_learns_the_same(tmp_path: Path, monkeypatch) -> None:
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1)}
    monkeypatch.setattr("napari_inr_tomo.engine.reporter.POLL_S", 0.0)
    series = simulate_series("chiral", (14, 12), np.arange(-60, 61, 15.0)).series
    config = ReconstructionConfig.from_preset("fast").merged(
        {
            "compute": {"device": "cpu", "precision": "float32"},
            "inr": {
                "field": {"width": 16, "hidden_layers": 1},
                "schedule": {"epochs": 1, "batch_rays": 256},
                "loss": {"tv_points": 50},
                "poses": {"coarse": False},
                "warm_start_iterations": 5,
                "warm_start_steps": 5,
            },
        }
    )
    results = []
    for name in ("quiet", "asked"):
        run = runs.create_run(tmp_path / name, series, config)
        if name == "asked":
            wanted = planes.orthogonal((0, 0, 0), (14, 14, 12), zoom=2)
            run.ask_slices("one", wanted)
            assert run.paths.slice_request.exists()
        assert worker.main(str(run.path)) == 0
        results.append(io.read_volume(run.paths.result_volume).data)
    for number, handler in before.items():
        signal.signal(number, handler)
    assert np.array_equal(*results)
    said = [json.loads(line) for line in run.paths.events.open()]
    answers = [e for e in said if e["type"] == "slices"]
    assert [e["name"] for e in answers] == ["one"]
    images = planes.read_slices(run.path / answers[0]["file"])
    assert [i.shape for i in images] == [p.shape for p in wanted]
    assert max(float(i.max()) for i in images) > 0
    assert not run.paths.slice_request.exists()
