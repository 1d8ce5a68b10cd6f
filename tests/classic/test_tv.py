"""Total variation and the visual hull on phantoms with known truth."""

import numpy as np
import pytest
import torch
from gaussian_balls import Cluster, relative_error

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic import tv as tv_module
from napari_inr_tomo.classic.hull import hull
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.classic.tv import (
    START_ITERATIONS,
    add_transposed_gradient,
    gradient,
    noise_level,
    tv,
)
from napari_inr_tomo.types import Poses

ANGLES = np.linspace(-60, 60, 21)
SHAPE_YX, DEPTH = (31, 36), 27


def blocks():
    """Boxes of constant density, which TV is made for."""
    volume = torch.zeros((DEPTH, *SHAPE_YX))
    volume[8:18, 9:20, 8:22] = 1.0
    volume[11:15, 12:16, 12:18] = 2.0
    return volume


def test_voxels_below_zero_are_kept_where_they_are_asked_for():
    projector, _ = problem()
    truth = blocks()
    truth[4:7, 9:20, 8:22] = -1
    images = projector.forward(truth)
    errors = {
        positivity: relative_error(
            tv(projector, images, 40, positivity=positivity).numpy(), truth.numpy()
        )
        for positivity in (True, False)
    }
    assert errors[False] < 0.7 * errors[True]


def problem(noise=0.0, axis_deg=0.0):
    poses = Poses.from_axis(len(ANGLES), axis_deg)
    projector = Projector(ANGLES, poses, SHAPE_YX, DEPTH)
    images = projector.forward(blocks())
    generator = torch.Generator().manual_seed(0)
    spread = noise * float(images.max())
    return projector, images + spread * torch.randn(images.shape, generator=generator)


def error(volume):
    return relative_error(volume.numpy(), blocks().numpy())


def test_the_transposed_gradient_is_the_adjoint():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((4, 5, 7), dtype=torch.float64, generator=generator)
    q = torch.rand((3, 4, 5, 7), dtype=torch.float64, generator=generator)
    q[0, -1] = q[1, :, -1] = q[2, :, :, -1] = 0  # where a gradient is 0
    left = (gradient(x, torch.empty_like(q)) * q).sum()
    right = (add_transposed_gradient(q, torch.zeros_like(x)) * x).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-12)


@pytest.mark.parametrize("planes", [1, 4, 26])
def test_slabs_do_not_change_the_result(planes, monkeypatch):
    projector, images = problem(0.05)
    whole = tv(projector, images, 10)
    monkeypatch.setattr(tv_module, "SLAB_VOXELS", planes * SHAPE_YX[0] * SHAPE_YX[1])
    torch.testing.assert_close(tv(projector, images, 10), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("noise", "axis_deg"), [(0.0, 0.0), (0.05, 0.0), (0.05, 10.0)])
def test_tv_beats_sirt_without_choosing_a_weight(noise, axis_deg):
    projector, images = problem(noise, axis_deg)
    found = tv(projector, images, 100)
    best = min(
        error(sirt(projector, images, count, momentum=True)) for count in (5, 10, 30)
    )
    assert error(found) < 0.8 * best
    assert float(found.min()) >= 0


def test_the_result_scales_with_the_intensities():
    projector, images = problem(0.05)
    plain, scaled = tv(projector, images, 30), tv(projector, 1000 * images, 30)
    assert relative_error(scaled.numpy() / 1000, plain.numpy()) < 1e-3


def test_more_weight_means_less_variation():
    projector, images = problem(0.05)

    def variation(weight):
        volume = tv(projector, images, 60, weight)
        steps = gradient(volume, volume.new_empty((3, *volume.shape)))
        return float((steps**2).sum(0).sqrt().sum())

    rough, usual, flat = (variation(weight) for weight in (0.1, 1.0, 10.0))
    assert rough > 1.1 * usual > 1.2 * flat


def test_it_converges_to_the_least_of_its_objective():
    """No small change of the volume lowers |b - A x|^2 / 2 + limit TV."""
    projector, images = problem(0.05)
    long = tv(projector, images, 600)
    short = tv(projector, images, 150)
    assert relative_error(short.numpy(), long.numpy()) < 0.03


def test_without_weight_it_is_non_negative_least_squares():
    projector, images = problem()
    residuals = []
    tv(projector, images, 60, 0.0, callback=lambda i, v, r: residuals.append(r))
    assert residuals[-1] < 0.01


def test_invalid_pixels_do_not_matter():
    projector, images = problem(0.05)
    valid = torch.ones(images.shape, dtype=torch.bool)
    valid[:, 5:7, 9] = False
    volume = tv(projector, torch.where(valid, images, 1e5), 10, valid=valid)
    dead = tv(projector, torch.where(valid, images, torch.nan), 10)
    assert torch.isfinite(volume).all()
    assert torch.equal(volume, dead)


def test_it_stops_when_asked_and_reports_in_the_units_of_the_images():
    projector, images = problem()
    seen = []

    def stop(iteration, volume, residual):
        seen.append((iteration, volume, residual))
        return iteration == 4

    volume = tv(projector, images, 50, callback=stop)
    assert [i for i, _, _ in seen] == [0] * START_ITERATIONS + [1, 2, 3, 4]
    assert torch.equal(volume, seen[-1][1])
    for _, shown, said in seen[::6]:
        found = relative_error(projector.forward(shown).numpy(), images.numpy())
        assert said == pytest.approx(found, rel=1e-3)


def test_blank_images_give_a_blank_volume():
    projector, images = problem()
    assert float(tv(projector, 0 * images, 3).abs().max()) == 0
    assert float(tv(projector, images * torch.nan, 3).abs().max()) == 0


def test_the_noise_is_measured():
    generator = torch.Generator().manual_seed(0)
    y, x = torch.arange(40.0)[:, None], torch.arange(50.0)
    smooth = torch.exp(-((y - 20) ** 2 + (x - 25) ** 2) / 200).expand(5, 40, 50)
    images = smooth + 0.05 * torch.randn(smooth.shape, generator=generator)
    usable = torch.ones_like(images)
    assert noise_level(images, usable) == pytest.approx(0.05, rel=0.05)
    images[2, 7, 8], usable[2, 7, 8] = 1e3, 0.0
    assert noise_level(images, usable) == pytest.approx(0.05, rel=0.05)
    assert noise_level(images[:, :4], usable[:, :4]) == 0


def hull_problem(noise=0.0, offset=0.0):
    cluster = Cluster.random((8, 7, 5), sigma_px=1.5)
    projector = Projector(ANGLES, Poses.zeros(len(ANGLES)), SHAPE_YX, DEPTH)
    images = cluster.images(ANGLES, projector.poses, SHAPE_YX)
    rng = np.random.default_rng(0)
    images = images + noise * images.max() * rng.standard_normal(images.shape) + offset
    return projector, torch.from_numpy(images), cluster.volume(projector.shape_zyx)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1])
def test_the_hull_keeps_the_matter_and_drops_much_of_the_rest(noise):
    projector, images, truth = hull_problem(noise)
    kept = hull(projector, images)
    assert kept is not None
    assert kept.dtype == torch.bool
    assert tuple(kept.shape) == projector.shape_zyx
    assert float(kept.double().mean()) < 0.6
    assert truth[~kept.numpy()].sum() < 0.01 * truth.sum()


def test_the_hull_survives_photon_counting():
    projector, images, truth = hull_problem()
    counts = np.random.default_rng(1).poisson(images / images.max() * 10)
    kept = hull(projector, torch.from_numpy(counts))
    assert kept is not None
    assert truth[~kept.numpy()].sum() < 0.02 * truth.sum()


def test_there_is_no_hull_where_the_field_is_full_or_blank():
    projector, images, _ = hull_problem(offset=5.0)
    assert hull(projector, images) is None
    assert hull(projector, 0 * images) is None
    assert hull(projector, images * torch.nan) is None


def test_unseen_pixels_carve_nothing():
    projector, images, truth = hull_problem()
    valid = torch.zeros(images.shape, dtype=torch.bool)
    valid[:8] = True
    dark = torch.where(valid, images, 0)
    kept = hull(projector, dark, valid)
    assert kept is not None
    assert truth[~kept.numpy()].sum() < 0.01 * truth.sum()


def test_the_support_is_kept_by_tv():
    projector, images, _ = hull_problem(0.05)
    kept = hull(projector, images)
    volume = tv(projector, images, 20, support=kept)
    assert float(volume[~kept].abs().max()) == 0
    assert float(volume.max()) > 0.3
