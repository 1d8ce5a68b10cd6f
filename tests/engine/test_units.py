"""Whatever unit the images are in, volume and residuals are in the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_runs import ANGLES, events, make

from napari_inr_tomo import io, runs
from napari_inr_tomo.engine import worker
from napari_inr_tomo.simulate import simulate_series


@pytest.mark.parametrize("method", ["sirt", "tv", "inr"])
def test_volume_residuals_and_preview_follow_the_unit_of_the_images(
    tmp_path, method
) -> None:
    """The work itself does not know the unit: all comes out in proportion."""
    one = make(tmp_path / "one", method)
    config = runs.RunFolder(one.folder).spec.config
    series = simulate_series("chiral", (18, 16), ANGLES, seed=1).series
    bright = replace(series, images=256 * series.images)
    many = runs.create_run(tmp_path / "many", bright, config).paths
    found = []
    for paths in (one, many):
        assert worker.main(str(paths.folder)) == 0
        table = np.genfromtxt(paths.result_poses, delimiter=",", names=True)
        volume = io.read_volume(paths.result_volume).data
        shown = [e for e in events(paths) if e["type"] == "preview"]
        preview = np.load(paths.folder / shown[-1]["file"])
        found.append((table["residual"], volume, preview))
    for small, large in zip(*found, strict=True):
        assert np.abs(small).max() > 0
        np.testing.assert_allclose(
            large, 256 * small, rtol=1e-3, atol=0.256 * np.abs(small).max()
        )
    # and that is the unit of the images: their rms bounds what is left of them
    rms = np.sqrt((series.images**2).mean(axis=(1, 2)))
    assert (found[0][0] < rms).all()
    assert (found[0][0] > 1e-4 * rms).all()
