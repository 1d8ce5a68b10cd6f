"""A slab is the series in small: same projections, same slices."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo import geometry
from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import cut_slab
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses, TiltSeries

ANGLES = np.arange(-60, 61, 7.5)


def series_of(shape_yx: tuple[int, int], axis_deg: float) -> TiltSeries:
    rng = np.random.default_rng(1)
    count = len(ANGLES)
    poses = Poses.from_axis(count, axis_deg).as_array() + rng.normal(size=(count, 4))
    images = rng.random((count, *shape_yx), np.float32)
    return TiltSeries(images, ANGLES, poses=Poses.from_array(poses))


@pytest.mark.parametrize("axis_deg", [0.0, 6.0, -84.0, 90.0])
def test_a_point_lands_on_the_same_pixel_of_slab_and_whole(axis_deg: float) -> None:
    series = series_of((41, 36), axis_deg)
    slab = cut_slab(series, 9, 4)
    assert slab.axis == (2 if abs(axis_deg) < 45 else 1)
    assert (slab.first, slab.last) == (7, 11)
    assert slab.inside.stop - slab.inside.start == 4
    size = np.array([36, 41])  # x, y
    cut = np.array(slab.series.images.shape[:0:-1])
    start = np.zeros(2)
    start[2 - slab.axis] = slab.first - slab.inside.start
    # the same voxel, about the middle of either box
    voxel = np.array([[9.0, 20.0, 3.0]])
    whole, part = voxel.copy(), voxel.copy()
    whole[:, :2] -= (size - 1) / 2
    part[:, :2] -= start + (cut - 1) / 2
    on_whole = geometry.project_points(whole, ANGLES, series.start_poses)
    on_part = geometry.project_points(part, ANGLES, slab.series.start_poses)
    pixel_whole = on_whole + (size - 1) / 2
    pixel_part = on_part + (cut - 1) / 2 + start
    assert pixel_part == pytest.approx(pixel_whole)
    assert slab.depth_px == geometry.default_depth(
        (41, 36), series.start_poses.axis_deg
    )


@pytest.mark.parametrize("axis_deg", [5.0, 90.0])
def test_the_slices_are_those_of_the_whole_volume(axis_deg: float) -> None:
    made = simulate_series(
        "chiral", (32, 30), ANGLES, axis_deg=axis_deg, shift_sigma_px=1.0, seed=2
    )
    series = made.series.evolve(None, poses=made.truth_poses)
    slab = cut_slab(series, 14, 6)
    assert slab.series.images.size < 0.8 * series.images.size

    def volume(one: TiltSeries) -> np.ndarray:
        projector = Projector(
            ANGLES, one.start_poses, one.images.shape[1:], slab.depth_px
        )
        import torch

        return sirt(projector, torch.from_numpy(np.array(one.images)), 40).numpy()

    wanted = np.take(volume(series), range(slab.first, slab.last), slab.axis)
    got = np.take(
        volume(slab.series), range(slab.inside.start, slab.inside.stop), slab.axis
    )
    assert np.corrcoef(wanted.ravel(), got.ravel())[0, 1] > 0.97


def test_a_slab_keeps_the_depth_of_the_whole_and_its_poses_stay() -> None:
    slab = cut_slab(series_of((41, 36), 5.0), 9, 4)
    asked = ReconstructionConfig.from_preset("fast", method="inr")
    assert asked.inr.poses.refine
    settings = slab.settings(asked)
    assert settings.depth_px == slab.depth_px
    assert not settings.inr.poses.refine
    assert slab.settings(asked.merged({"depth_px": 17})).depth_px == 17


def test_slabs_at_the_edge_and_outside() -> None:
    series = series_of((20, 24), 0.0)
    edge = cut_slab(series, 23, 8)
    assert (edge.first, edge.last) == (16, 24)
    middle = cut_slab(series)
    assert (middle.first, middle.last) == (8, 16)
    with pytest.raises(UserError, match="from 0 to 23"):
        cut_slab(series, 24)
