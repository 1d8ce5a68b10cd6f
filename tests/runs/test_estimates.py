"""What a run needs grows as it should, and a full disk is told in numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs import check_space, create_run, estimate
from napari_inr_tomo.runs.estimates import OPTIMISER_BYTES, PROGRAM_BYTES, in_words
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

SHAPE = (61, 48, 96)


def test_the_box_is_as_deep_as_the_image_across_the_axis() -> None:
    config = ReconstructionConfig(method="sirt")
    assert estimate(config, SHAPE).shape_zyx == (48, 48, 96)
    assert estimate(config, SHAPE, poses=Poses.from_axis(61, -90)).shape_zyx == (
        96,
        48,
        96,
    )
    deep = config.merged({"depth_px": 20})
    assert estimate(deep, SHAPE, poses=Poses.from_axis(61, 90)).shape_zyx == (
        20,
        48,
        96,
    )


def test_a_drive_that_is_not_there_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise FileNotFoundError(2, "The system cannot find the path specified")

    monkeypatch.setattr("shutil.disk_usage", away)
    with pytest.raises(UserError, match="does not answer"):
        check_space(tmp_path / "runs", 1)


def test_the_sizes_of_files_are_exact() -> None:
    need = estimate(ReconstructionConfig(method="sirt"), SHAPE)
    assert need.input_bytes == 61 * 48 * 96 * 4
    assert need.volume_bytes == 48 * 48 * 96 * 4
    assert need.disk_bytes == need.input_bytes + 5 * need.volume_bytes


def test_the_papers_network_has_a_million_weights() -> None:
    config = ReconstructionConfig.from_preset("paper")
    weights = estimate(config, SHAPE).checkpoint_bytes / 16
    assert weights == pytest.approx(1_053_185, rel=0.01)


def test_more_of_anything_needs_more() -> None:
    def need(shape=SHAPE, **changes) -> int:
        config = ReconstructionConfig.from_preset("fast").merged(changes)
        return estimate(config, shape).memory_bytes

    for method in ("fbp", "sirt", "tv", "inr"):
        larger = [need((61, n, n + 30), method=method) for n in (100, 200, 400)]
        assert larger == sorted(set(larger))
        assert need((180, 200, 200), method=method) > need(
            (61, 200, 200), method=method
        )
        assert need(method=method, depth_px=200) > need(method=method)
    assert need(method="tv") > need(method="sirt") > need(method="fbp")
    assert need(inr={"field": {"width": 512}}) > need()


def test_in_a_thin_box_a_ray_may_have_more_samples_than_the_box_is_deep() -> None:
    config = ReconstructionConfig.from_preset("fast", depth_px=4)
    config = config.merged({"inr": {"warm_start": "none"}})
    need = estimate(config, (61, 32, 32)).memory_bytes
    need -= PROGRAM_BYTES + OPTIMISER_BYTES
    assert need > 512 * 32 * config.inr.field.bytes_per_point()


def test_turned_and_shifted_views_need_more() -> None:
    config = ReconstructionConfig(method="sirt")
    poses = [Poses.zeros(61), Poses.from_axis(61, 10), Poses.from_axis(61, 10, 1.5)]
    needs = [estimate(config, SHAPE, one).memory_bytes for one in poses]
    assert needs == sorted(set(needs))


def test_the_batch_does_not_count_for_it_is_worked_off_in_chunks() -> None:
    needs = [
        estimate(
            ReconstructionConfig.from_preset("fast").merged(
                {"inr": {"schedule": {"batch_rays": rays}}}
            ),
            SHAPE,
        ).memory_bytes
        for rays in (2048, 65536)
    ]
    assert needs[0] == needs[1]


@pytest.mark.skipif(sys.platform != "linux", reason="reads VmHWM")
@pytest.mark.parametrize("method", ["tv", "inr"])
def test_a_run_takes_what_was_said_before_it(tmp_path, method) -> None:
    made = simulate_series("chiral", (33, 41), np.arange(-60, 61, 15.0), seed=1)
    config = ReconstructionConfig.from_preset("preview", method=method).merged(
        {
            "classic": {"iterations": 3},
            "compute": {"device": "cpu"},
            "inr": {
                "schedule": {"epochs": 1, "batch_rays": 1024},
                "warm_start_iterations": 3,
                "warm_start_steps": 3,
                "poses": {"refine": False},
            },
        }
    )
    folder = create_run(tmp_path / "run", made.series, config).path
    program = (
        "import sys; from napari_inr_tomo.engine.worker import main; "
        "code = main(sys.argv[1]); "
        "lines = open('/proc/self/status').read().splitlines(); "
        "print(next(x.split()[1] for x in lines if x.startswith('VmHWM'))); "
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=200,
    )
    peak = int(done.stdout.split()[-1]) * 1024
    said = estimate(config, made.series.images.shape).memory_bytes
    assert 0.5 * said < peak < 1.2 * said


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2.37e9, "2.4 GB")],
)
def test_bytes_in_words(count: float, words: str) -> None:
    assert in_words(count) == words
