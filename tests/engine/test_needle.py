"""The whole way on a real tilt series: the INR against SIRT, and back to the axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_inr_tomo import io, metrics, runs
from napari_inr_tomo.align import align_cross_correlation, align_tilt_axis
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import worker
from napari_inr_tomo.preprocess import subtract_background
from napari_inr_tomo.types import Poses

AXIS_DEG = 10.6
"""Found by an independent search on the same data, +-0.5 degrees."""


def run(folder, series, method: str) -> runs.RunFolder:
    config = ReconstructionConfig.from_preset("preview", method=method)
    runs.create_run(folder, series, config)
    assert worker.main(str(folder)) == 0
    return runs.RunFolder(folder)


def volume(run_: runs.RunFolder) -> np.ndarray:
    return io.read_volume(run_.result()).data


@pytest.mark.slow
def test_with_a_wedge_the_inr_is_nearer_to_the_full_range_and_finds_the_axis(
    shared_data, tmp_path
) -> None:
    series = io.read_series(shared_data / "needle" / "needle_unaligned.mrc")
    series = align_tilt_axis(align_cross_correlation(subtract_background(series)))
    full = volume(run(tmp_path / "full", series, "sirt"))
    cut = replace(series, used=np.abs(series.angles_deg) <= 60)
    sirt = metrics.register(volume(run(tmp_path / "sirt", cut, "sirt")), full)[0]
    start = series.start_poses
    off = Poses(start.z1_deg - 3, start.z3_deg + 3, start.dx_px, start.dy_px)
    inr_run = run(tmp_path / "inr", replace(cut, poses=off), "inr")
    inr = metrics.register(volume(inr_run), full)[0]
    angles, found, used = inr_run.poses()
    weight = used * np.sin(np.deg2rad(angles)) ** 2
    axis = np.average((found.z3_deg - found.z1_deg) / 2, weights=weight)
    assert axis == pytest.approx(AXIS_DEG, abs=0.8)
    assert metrics.ssim(inr, full) > metrics.ssim(sirt, full) + 0.005
    fsc = [metrics.fsc(v, full)[1].mean() for v in (inr, sirt)]
    assert fsc[0] > fsc[1]
