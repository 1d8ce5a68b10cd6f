"""A slab is a smaller tilt series; the weight of TV is chosen on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gaussian_balls import Cluster, relative_error

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic import slab as slab_module
from napari_inr_tomo.classic import tv_weight as weight_module
from napari_inr_tomo.classic.slab import densest_slab, slab_slices
from napari_inr_tomo.classic.tv import noise_level, tv
from napari_inr_tomo.classic.tv_weight import WEIGHTS, choose_weight
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

ANGLES = np.arange(-60, 61, 15.0)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let slabs of 12 slices do, whatever the size of the volume."""
    monkeypatch.setattr(slab_module, "SLAB_VOXELS", 1)
    monkeypatch.setattr(slab_module, "CHUNK", 12)


def tilted(axis_deg: float) -> Poses:
    random = np.random.default_rng(2)
    poses = Poses.from_axis(len(ANGLES), axis_deg, 0.7, -1.3)
    shifts = random.uniform(-2, 2, (2, len(ANGLES)))
    return Poses(
        poses.z1_deg, poses.z3_deg, poses.dx_px + shifts[0], poses.dy_px + shifts[1]
    )


@pytest.mark.parametrize(
    ("axis", "axis_deg"), [("x", 0.0), ("x", 4.0), ("y", 90.0), ("y", 87.0)]
)
def test_what_lies_in_the_slab_is_projected_as_by_the_whole(
    axis: str, axis_deg: float
) -> None:
    poses = tilted(axis_deg)
    whole = Projector(ANGLES, poses, (44, 48), 40, dtype=torch.float64)
    part = slice(21, 41)
    volume = Cluster.random((5, 5, 5), sigma_px=2.0).volume(whole.shape_zyx)
    cut = (..., part) if axis == "x" else (..., part, slice(None))
    inside = np.zeros_like(volume)
    inside[cut] = np.roll(volume, 9, 2 if axis == "x" else 1)[cut]
    assert inside.sum() > 0.9 * volume.sum()
    images = whole.forward(torch.from_numpy(inside))[cut]
    found = whole.slab(axis, part).forward(torch.from_numpy(inside)[cut].contiguous())
    assert relative_error(found.numpy(), images.numpy()) < 0.01


def test_a_small_volume_is_taken_whole() -> None:
    assert slab_slices(64 * 64, 64) is None
    assert slab_slices(100 * 100, 100) is None
    assert slab_slices(256 * 256, 256) == 32


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("axis_deg", [0.0, -90.0, -88.0, 90.0])
def test_the_slab_lies_across_the_axis_where_most_matter_is(axis_deg: float) -> None:
    poses = Poses.from_axis(len(ANGLES), axis_deg, 0.0, 0.0)
    level = axis_deg == 0
    projector = Projector(ANGLES, poses, (24, 60) if level else (60, 24), 24)
    volume = torch.zeros(projector.shape_zyx)
    along = 2 if level else 1
    volume.transpose(along, 2)[8:16, 8:16, 41:49] = 1
    images = projector.forward(volume)
    slab = densest_slab(projector, images, torch.ones_like(images))
    assert slab is not None
    assert slab.axis == ("x" if level else "y")
    assert slab.part.start <= 41
    assert slab.part.stop >= 49
    assert slab.part.stop - slab.part.start == 12
    assert bool(slab.usable.all()) == (axis_deg != -88)  # a level axis: no ray leaves
    parts = (slice(None),) * along + (slab.part,)
    np.testing.assert_array_equal(slab.images, images[parts])


@pytest.mark.usefixtures("_small")
def test_pixels_whose_rays_leave_the_slab_do_not_count() -> None:
    """A ray of such a pixel sees matter beside the slab; the others hardly do."""
    poses = Poses.from_axis(len(ANGLES), 3.0, 0.0, 0.0)
    projector = Projector(ANGLES, poses, (40, 60), 40, dtype=torch.float64)
    ones = torch.ones(projector.shape_tyx, dtype=torch.float64)
    slab = densest_slab(projector, ones, ones)
    assert slab is not None
    kept = float(slab.usable.mean())
    assert 0.6 < kept < 0.98
    beside = torch.ones(projector.shape_zyx, dtype=torch.float64)
    beside[..., slab.part] = 0
    leak = (projector.forward(beside)[..., slab.part]).abs()
    length = projector.forward(torch.ones_like(beside))[..., slab.part]
    assert float(leak.max()) > 10
    assert bool((leak * slab.usable <= 0.03 * length).all())


@pytest.mark.usefixtures("_small")
def test_no_slab_holds_the_rays_of_an_oblique_axis() -> None:
    poses = Poses.from_axis(len(ANGLES), 40.0, 0.0, 0.0)
    projector = Projector(ANGLES, poses, (40, 60), 40)
    ones = torch.ones(projector.shape_tyx)
    assert densest_slab(projector, ones, ones) is None


def case(
    dose: float | None, axis_deg: float = 0.0
) -> tuple[Projector, torch.Tensor, torch.Tensor]:
    made = simulate_series(
        "porous", 56, np.arange(-60, 61, 6.0), dose=dose, axis_deg=axis_deg, seed=1
    )
    projector = Projector(made.series.angles_deg, made.truth_poses, (56, 56), 56)
    images = torch.from_numpy(made.series.images)
    return projector, images, torch.from_numpy(np.asarray(made.truth.data))


@pytest.mark.parametrize("axis_deg", [0.0, 90.0])
@pytest.mark.parametrize("dose", [None, 20.0])
def test_the_weight_that_a_slab_asks_for_is_near_the_best_of_the_whole(
    dose: float | None, axis_deg: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slab_module, "SLAB_VOXELS", 1)
    projector, images, truth = case(dose, axis_deg)
    shown: list[tuple[int, ...]] = []

    def callback(_: int, volume: torch.Tensor, __: float) -> None:
        shown.append(tuple(volume.shape))

    weight = choose_weight(projector, images, callback=callback)
    assert set(shown) == {(56, 56, 32) if axis_deg == 0 else (56, 32, 56)}
    errors = {w: float((tv(projector, images, 100, w) - truth).norm()) for w in WEIGHTS}
    assert errors[weight] < 1.15 * min(errors.values())
    assert max(errors.values()) > 1.4 * errors[weight]  # the choice matters


@pytest.mark.usefixtures("_small")
def test_the_weights_tried_on_a_slab_are_those_of_the_whole_images_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside the specimen there is less noise; the same weight is the same strength."""
    projector, images, _ = case(20.0)
    random = torch.Generator().manual_seed(0)
    images[..., 30:] = 0.01 * torch.randn(images[..., 30:].shape, generator=random)
    used: list[tuple[float, torch.Tensor]] = []
    whole_tv = weight_module.tv

    def tv(projector: Any, data: Any, iterations: int, weight: float, *rest: Any, **k):
        used.append((weight, data))
        return whole_tv(projector, data, 2, weight, *rest, **k)

    monkeypatch.setattr(weight_module, "tv", tv)
    choose_weight(projector, images)
    noise = noise_level(images, torch.ones_like(images))
    for weight, data in used:
        assert data.shape[2] == 12
        strength = weight * noise_level(data, torch.ones_like(data)) / noise
        assert min(abs(strength / w - 1) for w in WEIGHTS) < 1e-3
    assert abs(used[0][0] - 1) > 0.1  # without the correction the test would fail
