"""Expected times multiply as they should; measurements are kept and fail in words."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from in_use import InUse
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs import timing
from napari_inr_tomo.runs.timing import Costs, expected, in_seconds
from napari_inr_tomo.types import TiltSeries

SHAPE = (61, 48, 96)
COSTS = Costs(
    {
        "start": 3.0,
        "iteration": 0.5,
        "weight iteration": 0.1,
        "lesson": 0.02,
        "ray step": 0.1,
        "first ray step": 0.02,
        "preview": 0.0,
        "volume": 1.0,
    },
    10**9,
    "CPU",
)
ANSWER = {"seconds": {"iteration": 0.25}, "memory_bytes": 7, "device": "CPU"}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "cache_file", lambda: tmp_path / "kept" / "times.json")


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """Put a module that stands in for the trial where its process finds it."""
    (folder / "stand_in_trial.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{':'.join(sys.path)}")
    return "stand_in_trial"


def test_twice_the_steps_take_twice_the_time() -> None:
    def rays(**schedule: object) -> float:
        config = ReconstructionConfig.from_preset("fast").merged(
            {"inr": {"schedule": schedule}}
        )
        return expected(config, SHAPE, COSTS).phases_s["rays"]

    steps = -(-61 * 48 * 96 // 512)
    assert rays(epochs=5) == pytest.approx(5 * steps * 0.1)
    assert rays(epochs=10) == pytest.approx(2 * rays(epochs=5))
    assert rays(epochs=5, batch_rays=1024) == pytest.approx(
        rays(epochs=5) / 2, rel=0.01
    )
    # samples that rise over the first half: half way between few and all, then all
    assert rays(epochs=10, ramp_epochs=5) == pytest.approx(
        steps * (5 * (0.02 + 0.1) / 2 + 5 * 0.1)
    )


def test_iterations_count_and_so_does_the_search_for_a_weight() -> None:
    def seconds(method: str, **classic: object) -> float:
        config = ReconstructionConfig(method=method).merged({"classic": classic})
        return expected(config, SHAPE, COSTS).seconds - 3.0

    assert seconds("sirt", iterations=40) == pytest.approx(20)
    assert seconds("sirt", iterations=80) == pytest.approx(40)
    fixed = seconds("tv", iterations=80, tv_weight=1.0)
    assert fixed == pytest.approx((80 + timing.TV_START) * 0.5)
    tried = timing.TV_START + timing.WEIGHTS_TRIED * timing.WEIGHT_ITERATIONS
    assert seconds("tv", iterations=80) == pytest.approx(fixed + tried * 0.1)


def test_processes_share_the_work_but_not_the_start() -> None:
    config = ReconstructionConfig(method="sirt")
    one, two = (expected(config, SHAPE, COSTS, n).seconds for n in (1, 2))
    assert two - 3.0 == pytest.approx((one - 3.0) / 2)


def test_live_volumes_take_no_more_than_their_share() -> None:
    config = ReconstructionConfig.from_preset("fast")
    slow = Costs({**COSTS.seconds, "preview": 60.0}, 1, "CPU")
    without = expected(config, SHAPE, COSTS).phases_s["rays"]
    assert expected(config, SHAPE, slow).phases_s["rays"] == pytest.approx(
        1.1 * without
    )


def test_what_a_step_costs_depends_on_some_settings_and_on_the_images(
    series: TiltSeries,
) -> None:
    fast = ReconstructionConfig.from_preset("fast")
    same = [
        {"inr": {"schedule": {"epochs": 7}}},
        {"inr": {"warm_start_steps": 50}},
        {"seed": 4},
    ]
    other = [
        {"inr": {"field": {"width": 64}}},
        {"inr": {"schedule": {"batch_rays": 4096}}},
        {"depth_px": 6},
        {"inr": {"hull": False}},
        {"method": "tv"},
    ]
    base = timing.key(series, fast)
    assert {timing.key(series, fast.merged(change)) for change in same} == {base}
    others = [timing.key(series, fast.merged(change)) for change in other]
    brighter = series.evolve(None, images=series.images + 1)
    names = [base, *others, timing.key(brighter, fast)]
    assert len(set(names)) == len(names)


def test_a_measurement_is_made_once(
    series: TiltSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.dumps(ANSWER)
    module = program(
        tmp_path,
        monkeypatch,
        f"import sys\nopen({str(tmp_path / 'calls')!r}, 'a').write('x')\n"
        f"open(sys.argv[2], 'w').write({said!r})",
    )
    config = ReconstructionConfig(method="sirt")
    monkeypatch.setattr(timing, "_is_busy", lambda: True)
    assert timing.known(series, config) is None
    for iterations in (10, 20):
        longer = config.merged({"classic": {"iterations": iterations}})
        costs = timing.measure(series, longer, module=module)
        assert costs is not None
        assert costs.seconds == {"iteration": 0.25}
        assert costs.busy
    assert (tmp_path / "calls").read_text() == "x"
    assert timing.known(series, config) == costs
    timing.measure(series, config, module=module, again=True)
    assert (tmp_path / "calls").read_text() == "xx"


def test_a_broken_process_and_a_broken_cache_are_told_in_words(
    series: TiltSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ReconstructionConfig(method="sirt")
    module = program(tmp_path, monkeypatch, "raise SystemExit('out of luck')")
    with pytest.raises(UserError, match="out of luck"):
        timing.measure(series, config, module=module)
    module = program(
        tmp_path, monkeypatch, "import sys; open(sys.argv[2], 'w').write('{')"
    )
    with pytest.raises(UserError, match="could not be measured"):
        timing.measure(series, config, module=module)
    timing.cache_file().parent.mkdir(exist_ok=True)
    for text in ("{", "[]", json.dumps({timing.key(series, config): {"seconds": 3}})):
        timing.cache_file().write_text(text)
        assert timing.known(series, config) is None


def test_a_file_that_cannot_be_removed_yet_costs_no_measurement(
    series: TiltSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.dumps(ANSWER)
    module = program(
        tmp_path, monkeypatch, f"import sys; open(sys.argv[2], 'w').write({said!r})"
    )
    monkeypatch.setattr(os, "unlink", InUse(os.unlink, "input.npy"))
    assert timing.measure(series, ReconstructionConfig(method="sirt"), module=module)


def test_a_measurement_ends_when_nobody_wants_it(
    series: TiltSeries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = program(tmp_path, monkeypatch, "import time; time.sleep(100)")
    config = ReconstructionConfig(method="sirt")
    assert timing.measure(series, config, lambda: True, module=module) is None
    assert timing.known(series, config) is None


def test_the_engine_times_its_own_steps(series: TiltSeries) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((7, 9, 13), np.float32)
    config = ReconstructionConfig.from_preset("fast").merged(
        {"inr": {"field": {"width": 8}}, "compute": {"device": "cpu"}}
    )
    costs = timing.measure(series.evolve(None, images=images), config)
    assert costs is not None
    names = {"start", "projector", "hull", "iteration", "lesson", "ray step"}
    names |= {"weight iteration", "preview", "volume"}
    names |= {*(f"poses {stage}" for stage in range(3))}
    assert set(costs.seconds) == names
    assert all(value >= 0 for value in costs.seconds.values())
    assert costs.seconds["iteration"] > 0
    assert costs.memory_bytes > 5e7


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (41.3, "41 s"), (200, "3.3 min"), (1740, "29 min"), (9000, "2.5 h")],
)
def test_seconds_in_words(seconds: float, words: str) -> None:
    assert in_seconds(seconds) == words
