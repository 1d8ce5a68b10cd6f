"""A small series and a run folder of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.runs import RunFolder, create_run
from napari_inr_tomo.types import Poses, Step, TiltSeries


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
