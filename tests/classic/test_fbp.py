"""Filtered back-projection: intensities, uneven tilts, any axis, handedness."""

import numpy as np
import pytest
import torch
from gaussian_balls import Cluster, relative_error

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic.fbp import fbp
from napari_inr_tomo.geometry import centred, project_points
from napari_inr_tomo.parallel2d import FILTERS
from napari_inr_tomo.types import Poses

SHAPE_YX, DEPTH = (49, 56), 45
CENTRE_XYZ, RADIUS = np.array([5.0, -4.0, 3.0]), 12.0


def ball_images(angles, poses):
    """Exact projections of a uniform ball of density 1, averaged over the pixel."""
    y, x = (centred(n) for n in SHAPE_YX)
    parts = (np.arange(5) - 2) / 5
    images = np.zeros((len(angles), *SHAPE_YX))
    landed = project_points([CENTRE_XYZ], angles, poses)[:, 0]
    for image, (px, py) in zip(images, landed, strict=True):
        for i in parts:
            for j in parts:
                square = (y[:, None] + i - py) ** 2 + (x + j - px) ** 2
                image += 2 * np.sqrt(np.clip(RADIUS**2 - square, 0, None)) / 25
    return images


def ball_values(volume):
    """Return the voxels well inside the ball and those of a shell outside it."""
    z, y, x = (centred(n) for n in volume.shape)
    square = (z[:, None, None] - CENTRE_XYZ[2]) ** 2
    square = square + (y[:, None] - CENTRE_XYZ[1]) ** 2 + (x - CENTRE_XYZ[0]) ** 2
    radius = np.sqrt(square)
    return volume[radius < RADIUS - 3], volume[(radius > 15) & (radius < 17)]


REGULAR = np.arange(-90.0, 90.0, 3.0)
RANGES = {
    "regular": REGULAR,
    "both ends": np.append(REGULAR, 90.0),
    "any order": np.random.default_rng(0).permutation(REGULAR),
    "two densities": np.r_[np.arange(-90.0, 0, 1.5), np.arange(0, 90.0, 4.5)],
    "random": np.random.default_rng(1).uniform(-90, 90, 90),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("axis_deg", [0.0, 10.0])
def test_a_uniform_ball_has_its_own_intensity(name, axis_deg):
    angles = RANGES[name]
    poses = Poses.from_axis(len(angles), axis_deg, 1.3, -2.2)
    projector = Projector(angles, poses, SHAPE_YX, DEPTH)
    volume = fbp(projector, torch.from_numpy(ball_images(angles, poses))).numpy()
    inside, outside = ball_values(volume)
    assert inside.mean() == pytest.approx(1, abs=0.02)
    assert inside.std() < 0.05
    assert abs(outside.mean()) < 0.03


def test_axis_at_90_and_poses_of_their_own():
    rng = np.random.default_rng(2)
    count = len(REGULAR)
    for poses in (
        Poses.from_axis(count, 90.0, 1.0, 2.0),
        Poses(np.full(count, 9.0), *np.zeros((3, count))),  # the object alone is turned
        Poses(np.zeros(count), np.full(count, 9.0), *np.zeros((2, count))),  # the image
        Poses(*rng.uniform(-6, 6, (2, count)), *rng.uniform(-3, 3, (2, count))),
    ):
        projector = Projector(REGULAR, poses, SHAPE_YX, DEPTH)
        volume = fbp(projector, torch.from_numpy(ball_images(REGULAR, poses)))
        inside, _ = ball_values(volume.numpy())
        assert inside.mean() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_keeps_the_mean(name):
    poses = Poses.zeros(len(REGULAR))
    projector = Projector(REGULAR, poses, SHAPE_YX, DEPTH)
    images = torch.from_numpy(ball_images(REGULAR, poses))
    inside, _ = ball_values(fbp(projector, images, name).numpy())
    assert inside.mean() == pytest.approx(1, abs=0.03)


def test_smoother_filters_pass_less_noise():
    projector = Projector(REGULAR, Poses.zeros(len(REGULAR)), (33, 8), 33)
    noise = torch.randn(projector.shape_tyx, generator=torch.Generator().manual_seed(0))
    power = [float(fbp(projector, noise, name).std()) for name in FILTERS]
    assert power == sorted(power, reverse=True)


def test_three_passes_over_the_same_tilts_are_one():
    angles = np.arange(-60.0, 61.0, 10.0)
    once = ball_images(angles, Poses.zeros(len(angles)))
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 2, (3, *once.shape))
    noise -= noise.mean(0)
    thrice = (once + noise).reshape(-1, *once.shape[1:])
    volumes = [
        fbp(Projector(at, Poses.zeros(len(at)), SHAPE_YX, DEPTH), torch.from_numpy(b))
        for at, b in ((angles, once), (np.tile(angles, 3), thrice))
    ]
    assert torch.allclose(*volumes, atol=1e-4)


def test_masked_pixels_are_filled_from_around_them():
    poses = Poses.zeros(len(REGULAR))
    projector = Projector(REGULAR, poses, SHAPE_YX, DEPTH)
    images = torch.from_numpy(ball_images(REGULAR, poses))
    whole = fbp(projector, images)
    valid = torch.from_numpy(np.random.default_rng(0).random(images.shape) > 0.01)
    valid[:, 18:25, 36] = False  # a line of the detector, through the ball
    valid[7:10, :5] = False
    spoilt = torch.where(valid, images, 5000)
    masked = fbp(projector, spoilt, valid=valid)
    error = torch.linalg.vector_norm(masked - whole) / torch.linalg.vector_norm(whole)
    assert error < 0.05
    spoilt[~valid] = torch.nan
    assert torch.equal(fbp(projector, spoilt), masked)
    assert (fbp(projector, images, valid=torch.zeros_like(valid)) == 0).all()


def test_a_tilt_without_pixels_counts_as_not_taken():
    poses = Poses.zeros(len(REGULAR))
    images = torch.from_numpy(ball_images(REGULAR, poses))
    valid = torch.ones_like(images, dtype=torch.bool)
    valid[[4, 9]] = False
    taken = valid.flatten(1).all(1)
    fewer = Poses.zeros(int(taken.sum()))
    projector = Projector(REGULAR[taken.numpy()], fewer, SHAPE_YX, DEPTH)
    without = fbp(projector, images[taken])
    masked = fbp(Projector(REGULAR, poses, SHAPE_YX, DEPTH), images, valid=valid)
    assert torch.allclose(masked, without, atol=1e-5)


def test_the_hand_is_kept():
    turn = np.linspace(0, 1.5 * np.pi, 5)
    points = np.stack([5 * turn - 12, 8 * np.cos(turn), 8 * np.sin(turn)], -1)
    screw = Cluster(points, np.linspace(0.6, 1.4, 5), 2.5)
    poses = Poses.from_axis(len(REGULAR), 10.0)
    projector = Projector(REGULAR, poses, SHAPE_YX, DEPTH)
    images = torch.from_numpy(screw.images(REGULAR, poses, SHAPE_YX))
    truth = screw.volume(projector.shape_zyx)
    assert relative_error(fbp(projector, images).numpy(), truth) < 0.1


def test_a_missing_wedge_a_dead_pixel_and_a_single_tilt():
    angles = np.arange(-60.0, 61.0, 3.0)
    poses = Poses.zeros(len(angles))
    projector = Projector(angles, poses, SHAPE_YX, DEPTH)
    images = torch.from_numpy(ball_images(angles, poses))
    inside, _ = ball_values(fbp(projector, images).numpy())
    assert 0.5 < inside.mean() < 1
    images[3, 5, 6] = torch.nan
    assert torch.isfinite(fbp(projector, images)).all()
    single = fbp(projector.subset([20]), images[[20]])
    assert torch.isfinite(single).all()
