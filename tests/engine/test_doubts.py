"""Runs that can be done and should not pass without a word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_runs import ANGLES, events, make

from napari_inr_tomo import io, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import worker
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.simulate import simulate_series


def warned(paths: RunPaths) -> list[str]:
    return [e["what"] for e in events(paths) if e["type"] == "warning"]


@pytest.mark.parametrize(
    ("epochs", "start_epoch", "refine", "expected"),
    [(2, 2.0, True, 1), (2, 1.5, True, 0), (2, 2.0, False, 0)],
)
def test_poses_that_are_never_let_go_are_told(
    tmp_path, epochs, start_epoch, refine, expected
) -> None:
    changes = {
        "schedule": {"epochs": epochs},
        "poses": {"start_epoch": start_epoch, "refine": refine, "coarse": False},
    }
    paths = make(tmp_path / "run", "inr", {"inr": changes})
    assert worker.main(str(paths.folder)) == 0
    assert warned(paths) == expected * ["The rays will not refine the poses"]
    _, poses, _ = io.read_poses(paths.result_poses)
    moved = np.abs(poses.as_array()).max()
    assert (moved > 0) == (refine and not expected)


def test_the_paper_with_few_epochs_is_told_what_to_do(tmp_path) -> None:
    small = {"field": {"width": 16, "hidden_layers": 1}, "loss": {"tv_points": 50}}
    config = ReconstructionConfig.from_preset("paper").merged(
        {"inr": small | {"schedule": {"epochs": 1}}, "compute": {"device": "cpu"}}
    )
    series = simulate_series("chiral", (12, 10), ANGLES).series
    run = runs.create_run(tmp_path / "run", series, config)
    assert worker.main(str(run.path)) == 0
    (warning,) = [e for e in events(run.paths) if e["type"] == "warning"]
    assert "after 10 epochs" in warning["why"]
    assert "more than 10 epochs" in warning["do"]


@pytest.mark.parametrize("method", ["sirt", "tv", "inr"])
def test_dark_matter_is_told_before_and_an_empty_volume_after(tmp_path, method) -> None:
    paths = make(tmp_path / "bright", method)
    assert worker.main(str(paths.folder)) == 0
    assert warned(paths) == []
    series = simulate_series("chiral", (18, 16), ANGLES, seed=1).series
    config = runs.RunFolder(paths.folder).spec.config
    dark = replace(series, images=-series.images)
    run = runs.create_run(tmp_path / "dark", dark, config)
    assert worker.main(str(run.path)) == 0
    told = warned(run.paths)
    assert told[0] == "The images are not above zero on average"
    assert told[1:] == ([] if method == "inr" else ["The volume is empty"])
    said = [e["type"] for e in events(run.paths)]
    assert said.index("warning") < said.index("phase")


def test_only_pixels_that_count_are_looked_at(tmp_path) -> None:
    """A masked bar far above the rest does not hide that matter is dark."""
    series = simulate_series("chiral", (18, 16), ANGLES, seed=1).series
    images = -np.array(series.images)
    images[:, :, 3] = 1e6
    valid = np.ones(images.shape, bool)
    valid[:, :, 3] = False
    config = ReconstructionConfig.from_preset("fast", method="sirt").merged(
        {"classic": {"iterations": 2}, "compute": {"device": "cpu"}}
    )
    masked = replace(series, images=images, valid=valid)
    run = runs.create_run(tmp_path / "run", masked, config)
    assert worker.main(str(run.path)) == 0
    assert warned(run.paths)[0] == "The images are not above zero on average"
