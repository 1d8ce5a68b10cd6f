"""The arithmetic that a run chooses by itself does not change from run to run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_inr_tomo import io, remembered, runs
from napari_inr_tomo.config import (
    ComputeSettings,
    FieldSettings,
    ReconstructionConfig,
)
from napari_inr_tomo.engine import precision, worker
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.simulate import simulate_series

ANGLES = np.arange(-60, 61, 15.0)
SMALL = FieldSettings(width=16, hidden_layers=1)
AUTO = ReconstructionConfig.from_preset("fast").merged(
    {
        "compute": {"device": "cpu"},
        "inr": {
            "field": SMALL.model_dump(),
            "schedule": {"epochs": 1},
            "warm_start": "none",
            "poses": {"coarse": False},
        },
    }
)


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """The answers of the next trials; what is remembered is in a folder of the test."""
    answers: list[bool] = []
    monkeypatch.setattr(remembered, "file", lambda name: tmp_path / "kept" / name)
    monkeypatch.setattr(
        precision, "_bfloat16_is_faster", lambda settings: answers.pop(0)
    )
    return answers


def chosen(field: FieldSettings) -> str:
    return precision.name(*precision.types(ComputeSettings(), Ranks(), field))


def test_one_trial_holds_for_all_runs_of_such_a_network(clock, tmp_path) -> None:
    other = FieldSettings(width=24)
    clock[:] = [True, False]
    assert [chosen(SMALL), chosen(other)] == ["bfloat16", "float32"]
    assert [chosen(SMALL), chosen(other)] == ["bfloat16", "float32"]
    (tmp_path / "kept" / "precision.json").write_text("{")
    clock[:] = [False]
    assert chosen(SMALL) == "float32"


@pytest.mark.parametrize("first", [True, False])
def test_a_run_again_has_the_arithmetic_of_the_first(clock, tmp_path, first) -> None:
    series = simulate_series("chiral", (15, 13), ANGLES, seed=1).series
    run = runs.create_run(tmp_path / "run", series, AUTO)
    assert runs.as_chosen(run.config, run.paths.record) == run.config  # no result yet
    clock[:] = [first]
    assert worker.main(str(run.path)) == 0
    clock[:] = [not first]
    (tmp_path / "kept" / "precision.json").unlink()  # as on another computer
    again = runs.copy_run(run, tmp_path / "again")
    assert worker.main(str(again.path)) == 0
    volumes = [io.read_volume(each.result()).data for each in (run, again)]
    assert np.array_equal(*volumes)
    assert again.config.compute.precision == ("bfloat16" if first else "float32")


@pytest.mark.parametrize(
    "outcome",
    [
        {},
        {"device": "CPU (1 threads)", "chosen": {"compute.precision": "float8"}},
        {"device": "CPU (1 threads)", "chosen": []},
        {"device": "NVIDIA X", "chosen": {"compute.precision": "bfloat16"}},
    ],
)
def test_a_record_that_says_nothing_of_use_changes_nothing(tmp_path, outcome) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"outcome": outcome}))
    assert runs.as_chosen(AUTO, record) == AUTO
