"""A run that goes on from an earlier one with more tilts: quality, poses, refusals."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo import io, metrics, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import worker
from napari_inr_tomo.engine.earlier import load_earlier
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.inr import Box
from napari_inr_tomo.simulate import Simulation, simulate_series
from napari_inr_tomo.types import Poses, TiltSeries

ANGLES = np.arange(-60, 61, 6.0)
CONFIG = ReconstructionConfig.from_preset("fast").merged(
    {
        "compute": {"device": "cpu", "precision": "float32"},
        "inr": {
            "field": {"width": 64, "hidden_layers": 2},
            "schedule": {"epochs": 10},
            "warm_start_iterations": 30,
        },
    }
)


@pytest.fixture(scope="module", autouse=True)
def _own_signals():
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def simulated() -> Simulation:
    return simulate_series("chiral", (24, 26), ANGLES, dose=2000, seed=1)


def first_tilts(series: TiltSeries, up_to_deg: float = 45) -> TiltSeries:
    keep = np.abs(series.angles_deg) <= up_to_deg
    return replace(
        series,
        images=series.images[keep],
        angles_deg=series.angles_deg[keep],
        poses=series.start_poses.take(keep),
        used=None,
    )


def finish(run: runs.RunFolder) -> runs.RunFolder:
    assert worker.main(str(run.path)) == 0
    return run


@pytest.fixture(scope="module")
def earlier(tmp_path_factory, simulated) -> runs.RunFolder:
    folder = tmp_path_factory.mktemp("earlier") / "first"
    return finish(runs.create_run(folder, first_tilts(simulated.series), CONFIG))


def quality(run: runs.RunFolder, simulated: Simulation) -> float:
    return float(metrics.psnr(io.read_volume(run.result()), simulated.truth))


def phases(run: runs.RunFolder) -> list[str]:
    said = [json.loads(line) for line in run.paths.events.open()]
    return [event["name"] for event in said if event["type"] == "phase"]


def test_going_on_is_better_than_as_many_steps_from_the_beginning(
    tmp_path, simulated, earlier
) -> None:
    short = CONFIG.merged({"inr": {"schedule": {"epochs": 1}}})
    series = simulated.series
    scratch = finish(runs.create_run(tmp_path / "scratch", series, short))
    going_on = finish(runs.continue_run(tmp_path / "on", series, earlier, short))
    assert phases(going_on) == ["rays"]
    assert quality(going_on, simulated) > quality(scratch, simulated) + 1
    assert quality(going_on, simulated) > quality(earlier, simulated)
    third = runs.continue_run(tmp_path / "third", series, going_on, short)
    shutil.rmtree(going_on.path)  # a run folder needs no other
    assert quality(finish(third), simulated) > quality(scratch, simulated) + 1


def test_the_network_and_the_scale_are_those_of_the_earlier_run(
    tmp_path, simulated, earlier
) -> None:
    """Twice as bright tilts come: the volume begins with the old intensities."""
    series = simulated.series
    brighter = np.array(series.images)
    brighter[np.abs(ANGLES) > 45] *= 2
    none = CONFIG.merged(
        {
            "inr": {
                "schedule": {"epochs": 1, "learning_rate": 1e-12},
                "poses": {"refine": False},
            }
        }
    ).merged({"inr": {"schedule": {"hidden_learning_rate": None}}})
    more = replace(series, images=brighter)
    run = finish(runs.continue_run(tmp_path / "on", more, earlier, none))
    before = io.read_volume(earlier.result()).data
    after = io.read_volume(run.result()).data
    kept = after != 0  # more tilts may show more of the box to be empty
    assert np.abs(after - before)[kept].max() < 1e-3 * before.max()
    assert before[~kept].sum() < 0.05 * before.sum()


def test_poses_are_taken_over_by_angle() -> None:
    series = TiltSeries(
        np.zeros((5, 4, 4), np.float32), np.array([10.0, -10.0, 20.0, 10.0, 30.0])
    )
    found = Poses.from_array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]])
    began = Poses.from_array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    used = np.array([True, True, False])
    poses, known = runs.known_poses(
        series, np.array([-10.0, 10.001, 20.0]), found, used, began
    )
    assert known.tolist() == [True, True, False, False, False]
    rows = poses.as_array()
    assert rows[0].tolist() == [5, 6, 7, 8]
    assert rows[1].tolist() == [1, 2, 3, 4]
    # what the tilt next to it was turned and moved by; one angle, one known tilt
    for row in (rows[2], rows[3], rows[4]):
        assert row.tolist() == [5, 6, 6, 7]


def test_what_does_not_fit_is_refused_before_a_folder_is_made(
    tmp_path, simulated, earlier
) -> None:
    series = simulated.series
    wide = CONFIG.merged({"inr": {"field": {"width": 40}}})
    flat = CONFIG.merged({"depth_px": 20})
    small = replace(series, images=series.images[:, 2:])
    sirt = runs.create_run(tmp_path / "sirt", series, CONFIG.merged({"method": "sirt"}))
    fresh = runs.create_run(tmp_path / "fresh", series, CONFIG)
    for data, start, config, word in (
        (series, earlier, wide, "other settings"),
        (small, earlier, CONFIG, "22 x 26"),
        (series, earlier, flat, "24 voxels deep, and 20"),
        (series, sirt, CONFIG, "only the network"),
        (series, fresh, CONFIG, "no checkpoint"),
    ):
        with pytest.raises(UserError, match=word):
            runs.continue_run(tmp_path / "on", data, start, config)
        assert not (tmp_path / "on").exists()
    same = runs.continue_run(
        tmp_path / "on", series, earlier, CONFIG.merged({"depth_px": 24})
    )
    assert same.config.depth_px == 24


def test_a_damaged_start_is_said(tmp_path: Path, simulated, earlier) -> None:
    run = runs.continue_run(tmp_path / "on", simulated.series, earlier, CONFIG)
    (file,) = run.paths.start.glob("*.npz")
    file.write_bytes(file.read_bytes()[:-9])
    assert worker.main(str(run.path)) == worker.OWN_FAULT
    assert "earlier" in run.events()[-1].what
    with pytest.raises(UserError, match="damaged or missing"):
        load_earlier(run.paths.start, CONFIG.inr.field, Box((24, 24, 26)))


def test_a_copy_of_the_run_goes_on_from_the_same_start(
    tmp_path, simulated, earlier
) -> None:
    short = CONFIG.merged({"inr": {"schedule": {"epochs": 1}}})
    run = runs.continue_run(tmp_path / "on", simulated.series, earlier, short)
    copy = runs.copy_run(run, tmp_path / "copy")
    a, b = (io.read_volume(finish(r).result()).data for r in (run, copy))
    np.testing.assert_array_equal(a, b)
