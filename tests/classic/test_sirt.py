"""SIRT: convergence, ignored pixels, handedness, and the same volume at any pose."""

import numpy as np
import pytest
import torch
from gaussian_balls import Cluster, relative_error

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.types import Poses

ANGLES = np.linspace(-75, 75, 31)
SHAPE_YX, DEPTH = (33, 40), 29


def problem(poses=None, cluster=None, angles=ANGLES):
    cluster = cluster or Cluster.random((9, 8, 6))
    poses = poses or Poses.zeros(len(angles))
    projector = Projector(angles, poses, SHAPE_YX, DEPTH)
    images = torch.from_numpy(cluster.images(angles, poses, SHAPE_YX)).float()
    return projector, images, cluster.volume(projector.shape_zyx)


def run(projector, images, iterations, **options):
    residuals = []

    def note(iteration, volume, residual):
        assert iteration == len(residuals) + 1
        assert tuple(volume.shape) == projector.shape_zyx
        residuals.append(residual)

    volume = sirt(projector, images, iterations, callback=note, **options)
    return volume, np.array(residuals)


@pytest.mark.parametrize("axis_deg", [0.0, 10.0])
def test_the_phantom_is_found_and_the_residual_falls(axis_deg):
    poses = Poses.from_axis(len(ANGLES), axis_deg, 1.3, -2.2)
    projector, images, truth = problem(poses)
    volume, residuals = run(projector, images, 60)
    assert len(residuals) == 60
    assert (np.diff(residuals) < 0).all()
    assert residuals[-1] < 0.02
    assert relative_error(volume.numpy(), truth) < 0.08


def test_the_reported_residual_is_that_of_the_volume():
    projector, images, _ = problem()
    volume, residuals = run(projector, images, 5)
    found = relative_error(projector.forward(volume).numpy(), images.numpy())
    assert residuals[-1] == pytest.approx(found, rel=1e-4)


def test_one_step_is_the_textbook_one():
    projector, images, _ = problem()
    a = torch.ones(projector.shape_zyx)
    b = torch.ones(projector.shape_tyx)
    start = torch.full(projector.shape_zyx, 0.1)
    weighted = (images - projector.forward(start)) / projector.forward(a)
    expected = start + 0.7 * projector.adjoint(weighted) / projector.adjoint(b)
    volume = sirt(projector, images, 1, False, 0.7, start=start)
    # rays that graze the box are left out; away from its corners nothing differs
    inner = (slice(8, -8), slice(8, -8))
    assert torch.allclose(volume[inner], expected[inner], rtol=1e-3, atol=1e-4)


def test_the_step_cannot_diverge():
    """The largest eigenvalue of C A^T R A is 1, so any relaxation below 2 is safe."""
    rng = np.random.default_rng(4)
    count = 11
    turns = rng.uniform(-20, 20, (2, count))
    poses = Poses(*turns, *rng.uniform(-3, 3, (2, count)))
    projector = Projector(np.linspace(-70, 70, count), poses, (21, 26), 17)
    volume = torch.from_numpy(rng.standard_normal(projector.shape_zyx)).float()
    zero = torch.zeros(projector.shape_tyx)
    for _ in range(30):
        volume = volume / torch.linalg.vector_norm(volume)
        volume = volume - sirt(projector, zero, 1, positivity=False, start=volume)
    assert 0.8 < float(torch.linalg.vector_norm(volume)) < 1.1


def test_momentum_needs_far_fewer_iterations():
    projector, images, truth = problem()
    plain, residuals = run(projector, images, 100)
    fast, fast_residuals = run(projector, images, 25, momentum=True)
    assert fast_residuals[-1] < residuals[-1]
    assert relative_error(fast.numpy(), truth) < relative_error(plain.numpy(), truth)


def test_positivity():
    projector, images, _ = problem()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    clipped = sirt(projector, images + noise, 10)
    free = sirt(projector, images + noise, 10, positivity=False)
    assert float(clipped.min()) == 0
    assert float(free.min()) < -0.01


def test_invalid_pixels_do_not_matter():
    projector, images, _ = problem()
    valid = torch.ones(images.shape, dtype=torch.bool)
    valid[:, 15:18, 20:22] = False
    valid[7] = False
    spoilt = torch.where(valid, images, 1e6)
    volume = sirt(projector, spoilt, 10, valid=valid)
    again = sirt(projector, torch.where(valid, images, -3.0), 10, valid=valid)
    dead = sirt(projector, torch.where(valid, images, torch.nan), 10)
    assert torch.isfinite(volume).all()
    assert torch.equal(volume, again)
    assert torch.equal(volume, dead)
    # an excluded view is the same as no view
    keep = np.arange(len(ANGLES)) != 7
    short = sirt(projector.subset(keep), spoilt[keep], 10, valid=valid[keep])
    assert torch.allclose(volume, short, atol=1e-4)


def test_all_pixels_invalid_gives_zeros():
    projector, images, _ = problem()
    volume = sirt(projector, images * torch.nan, 2)
    assert float(volume.abs().max()) == 0


def test_stopping_keeps_the_volume_so_far():
    projector, images, _ = problem()
    stopped = sirt(projector, images, 50, callback=lambda i, v, r: i == 3)
    assert torch.equal(stopped, sirt(projector, images, 3))


def test_going_on_from_a_volume_is_the_same_as_not_stopping():
    projector, images, _ = problem()
    half = sirt(projector, images, 4)
    assert torch.allclose(
        sirt(projector, images, 3, start=half), sirt(projector, images, 7), atol=1e-4
    )


def test_nothing_grows_outside_the_support():
    projector, images, truth = problem()
    support = torch.from_numpy(truth > 0.01)
    volume = sirt(projector, images, 20, support=support)
    assert float(volume[~support].abs().max()) == 0
    plain = sirt(projector, images, 20)
    assert relative_error(volume.numpy(), truth) < relative_error(plain.numpy(), truth)


@pytest.mark.parametrize("axis_deg", [0.0, 10.0, 90.0])
def test_the_hand_is_kept(axis_deg):
    """A screw of balls comes back as itself, not as any of its mirror images."""
    turn = np.linspace(0, 1.5 * np.pi, 5)
    points = np.stack([5 * turn - 12, 8 * np.cos(turn), 8 * np.sin(turn)], -1)
    screw = Cluster(points, np.linspace(0.6, 1.4, 5), 2.0)
    poses = Poses.from_axis(len(ANGLES), axis_deg)
    projector, images, truth = problem(poses, screw)
    volume = sirt(projector, images, 30).numpy()
    error = relative_error(volume, truth)
    assert error < 0.15
    for axis in range(3):
        assert relative_error(np.flip(volume, axis), truth) > 1


def test_the_volume_does_not_depend_on_the_pose_of_the_axis():
    """The same object, recorded with another axis and shifts, is the same volume."""
    projector, images, _ = problem()
    plain = sirt(projector, images, 40).numpy()
    rng = np.random.default_rng(5)
    shifts = rng.uniform(-2, 2, (2, len(ANGLES)))
    axis = Poses.from_axis(len(ANGLES), 10.0)
    turned = Poses(axis.z1_deg, axis.z3_deg, *shifts)
    other = sirt(*problem(turned)[:2], 40).numpy()
    assert relative_error(other, plain) < 0.06
    # moving only the images moves nothing in the volume
    moved = Poses(0 * shifts[0], 0 * shifts[0], *shifts)
    assert relative_error(sirt(*problem(moved)[:2], 40).numpy(), plain) < 0.03


def test_the_momentum_is_nesterovs_step_by_step():
    """Against the formula with every projection computed anew."""
    angles = np.arange(-60, 61, 15.0)
    projector = Projector(angles, Poses.zeros(9), (14, 6), 14, dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    truth = torch.rand(projector.shape_zyx, generator=random, dtype=torch.float64)
    images = projector.forward(truth)
    rows = 1 / projector.forward(torch.ones_like(truth))
    columns = 1 / projector.adjoint(torch.ones_like(images))
    last = now = torch.zeros_like(truth)
    shown: list[torch.Tensor] = []
    sirt(
        projector,
        images,
        12,
        momentum=True,
        callback=lambda _, volume, __: shown.append(volume.clone()),
    )
    age = 0
    for volume in shown:
        point = now + age / (age + 3) * (now - last)
        left = rows * (images - projector.forward(point))
        last, now = now, (point + columns * projector.adjoint(left)).clamp(min=0)
        torch.testing.assert_close(volume, now, rtol=1e-9, atol=1e-9)
        uphill = ((point - now) / columns * (now - last)).sum() > 0
        age = 0 if uphill else age + 1
