"""A small series, a run folder of it, and a fake worker that can be launched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.runs import RunFolder, create_run
from napari_inr_tomo.types import Poses, Step, TiltSeries

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"


@pytest.fixture
def series() -> TiltSeries:
    """Seven views of 9 x 13 px, one of them excluded."""
    rng = np.random.default_rng(5)
    return TiltSeries(
        images=rng.random((7, 9, 13), np.float32),
        angles_deg=np.linspace(-60, 60, 7),
        poses=Poses.from_array(rng.normal(size=(7, 4))),
        used=np.arange(7) != 3,
        pixel_size_nm=0.7,
        name="seven",
        history=(Step("bin_images", {"factor": 2}),),
    )


@pytest.fixture
def run(tmp_path: Path, series: TiltSeries) -> RunFolder:
    config = ReconstructionConfig.from_preset("preview", method="sirt")
    return create_run(tmp_path / "seven.inr-run", series, config)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of the fake worker's module; ends what it left behind."""
    paths = [str(SOURCE), str(HERE), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    before = {process.pid for process in psutil.process_iter()}
    yield "fake_worker"
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if process.pid not in before and "fake_worker" in words:
            process.kill()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until something is true, or fail."""

    def wait(true: Callable[[], object], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait
