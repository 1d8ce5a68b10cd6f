"""Phantoms: projections against volumes, physics that any tilt keeps, handedness."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import centred, object_to_detector, project_points
from napari_inr_tomo.simulate import PHANTOMS, Phantom, phantom
from napari_inr_tomo.simulate.bodies import ball, ellipsoid
from napari_inr_tomo.types import Poses

WHOLE = [name for name in PHANTOMS if name != "needle"]


def some_poses(count: int, seed: int = 1) -> tuple[np.ndarray, Poses]:
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-75, 75, count)
    turns = rng.uniform(-180, 180, (count, 2))
    return angles, Poses.from_array(
        np.column_stack([turns, rng.uniform(-1.5, 1.5, (count, 2))])
    )


def moments(image: np.ndarray) -> tuple[float, float, float]:
    """Return the mass and its centre (x, y) about the middle of an image."""
    mass = float(image.sum(dtype=np.float64))
    x = float((image.sum(axis=0) * centred(image.shape[1])).sum() / mass)
    y = float((image.sum(axis=1) * centred(image.shape[0])).sum() / mass)
    return mass, x, y


@pytest.mark.parametrize("name", PHANTOMS)
def test_image_at_zero_is_the_sum_along_z(name: str) -> None:
    thing = phantom(name, (31, 27, 36))
    volume = thing.voxelise()
    assert volume.dtype == np.float32
    assert volume.shape == (31, 27, 36)
    image = thing.project(0.0, Poses.zeros(1))
    assert image.shape == (1, 27, 36)
    assert image[0] == pytest.approx(volume.sum(axis=0), abs=2e-4)
    assert image.max() > 1


@pytest.mark.parametrize("name", WHOLE)
def test_mass_and_its_centre_follow_the_poses(name: str) -> None:
    thing = phantom(name, (40, 44, 47))
    volume = thing.voxelise()
    mass, _, z = moments(volume.sum(axis=2))
    _, x, y = moments(volume.sum(axis=0))
    z = float((volume.sum(axis=(1, 2)) * centred(40)).sum() / mass)
    angles, poses = some_poses(6)
    landed = project_points([(x, y, z)], angles, poses)[:, 0]
    for image, expected in zip(thing.project(angles, poses), landed, strict=True):
        total, *centre = moments(image)
        assert total == pytest.approx(mass, rel=4e-3)
        assert centre == pytest.approx(expected, abs=0.04)


def test_projection_of_an_ellipsoid_is_the_closed_form() -> None:
    """Against the ellipse formula, written out here on its own."""
    axes = np.array([0.6, 0.35, 0.5])
    centre = np.array([0.1, -0.2, 0.15])
    thing = Phantom("one", (ellipsoid(centre, axes, 1.3),), (41, 41, 41))
    angles, poses = some_poses(3, seed=8)
    images = thing.project(angles, poses, supersample=1)
    x, y = np.meshgrid(centred(41), centred(41))
    landed = project_points(centre[None] * 20.5, angles, poses)[:, 0]
    turns = object_to_detector(poses.z1_deg, angles, poses.z3_deg)
    for image, turn, place in zip(images, turns, landed, strict=True):
        spread = turn @ np.diag((20.5 * axes) ** 2) @ turn.T
        seen = np.linalg.inv(spread[:2, :2])
        away = np.stack([x - place[0], y - place[1]], -1)
        inside = 1 - np.einsum("...i,ij,...j", away, seen, away)
        depth = np.sqrt(np.linalg.det(spread) * np.linalg.det(seen))
        expected = 1.3 * 2 * depth * np.sqrt(np.maximum(inside, 0))
        assert image == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["ellipsoids", "chiral"])
def test_projection_agrees_with_a_rotated_volume(name: str) -> None:
    """An independent projector: turn a fine volume by interpolation, then sum."""
    fine, coarse = 120, 24
    volume = phantom(name, fine).voxelise(supersample=2)
    angles = np.array([35.0, -52.0])
    poses = Poses([20.0, -75.0], [-12.0, 40.0], [1.5, -1.0], [0.5, 2.0])
    images = phantom(name, coarse).project(angles, poses, supersample=6)
    turns = object_to_detector(poses.z1_deg, angles, poses.z3_deg)
    for image, turn, dx, dy in zip(
        images, turns, poses.dx_px, poses.dy_px, strict=True
    ):
        back = turn.T[::-1, ::-1]  # detector (z, y, x) to object (z, y, x)
        middle = np.full(3, (fine - 1) / 2)
        moved = middle + np.array([0.0, dy, dx]) * fine / coarse
        turned = affine_transform(volume, back, middle - back @ moved, order=1)
        scale = fine // coarse
        summed = turned.sum(axis=0) / scale
        blocks = summed.reshape(coarse, scale, coarse, scale).mean(axis=(1, 3))
        assert np.abs(image - blocks).max() < 0.05 * image.max()
        assert np.linalg.norm(image - blocks) < 0.02 * np.linalg.norm(image)


def test_point_at_depth_lands_on_the_agreed_side() -> None:
    """The sign of the project: z = +10 px, tilted by +30 degrees, is at y = -5 px."""
    thing = Phantom("dot", (ball((0, 0, 10 / 20), 0.05),), (40, 40, 40))
    _, x, y = moments(thing.project(30.0, Poses.zeros(1))[0])
    assert (x, y) == pytest.approx((0.0, -5.0), abs=1e-6)


@pytest.mark.parametrize("name", PHANTOMS)
def test_density_is_never_negative(name: str) -> None:
    assert phantom(name, 36).voxelise().min() > -1e-6


@pytest.mark.parametrize("name", WHOLE)
def test_phantom_stays_in_the_inscribed_ball(name: str) -> None:
    volume = phantom(name, 40).voxelise()
    z, y, x = np.meshgrid(*[centred(40)] * 3, indexing="ij")
    assert np.sqrt(x**2 + y**2 + z**2)[volume > 1e-6].max() < 0.85 * 20 + 1


def test_needle_crosses_the_field_at_every_tilt() -> None:
    images = phantom("needle", (33, 33, 51)).project([-70.0, 0.0, 45.0], Poses.zeros(3))
    assert (images[:, 16, [0, -1]] > 1).all()
    assert (images[:, [0, -1], :] == 0).all()


def test_sea_mine_is_inside_its_membrane() -> None:
    bodies = phantom("sea-mine", 48).bodies
    inside = Phantom("inside", (bodies[1],), (48, 48, 48)).voxelise()
    rest = Phantom("rest", bodies[2:], (48, 48, 48)).voxelise()
    assert not (rest[inside == 0] > 1e-6).any()


def test_chiral_phantom_fits_none_of_its_mirror_images() -> None:
    volume = phantom("chiral", 32).voxelise().astype(float)
    power = np.linalg.norm(np.fft.fftn(volume))
    best = {1: 0.0, -1: 0.0}
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        matrix = np.eye(3)[list(order)] * np.array(signs)[:, None]
        hand = round(np.linalg.det(matrix))
        turned = volume.transpose(order)[tuple(slice(None, None, s) for s in signs)]
        cross = np.fft.ifftn(np.fft.fftn(volume) * np.fft.fftn(turned).conj()).real
        fit = cross.max() / (power**2 / volume.size)
        best[hand] = max(best[hand], fit)
    assert best[1] == pytest.approx(1.0)
    assert best[-1] < 0.6


def test_size_scales_the_phantom() -> None:
    small = phantom("ellipsoids", 20).voxelise(supersample=6)
    large = phantom("ellipsoids", 40).voxelise(supersample=3)
    blocks = large.reshape(20, 2, 20, 2, 20, 2).mean(axis=(1, 3, 5))
    assert small == pytest.approx(blocks, abs=1e-6)  # the very same lines


def test_larger_box_keeps_the_phantom_in_its_middle() -> None:
    thing = phantom("sea-mine", 24)
    wide = thing.voxelise((30, 26, 28))
    assert wide[3:-3, 1:-1, 2:-2] == pytest.approx(thing.voxelise(), abs=1e-6)
    assert wide.sum() == pytest.approx(thing.voxelise().sum(), rel=1e-6)


def test_part_outside_the_field_is_cut_off() -> None:
    thing = Phantom("dot", (ball((0, 0, 0), 0.4),), (20, 20, 20))
    far = Poses([0.0], [0.0], [40.0], [0.0])
    half = Poses([0.0], [0.0], [10.0], [0.0])
    mass = thing.voxelise().sum()
    assert thing.project(0.0, far).sum() == 0
    assert thing.project(0.0, half).sum() == pytest.approx(mass / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("shepp", 32, "sea-mine"),
        ("chiral", 7, "8 voxels"),
        ("chiral", (32, 32), "8 voxels"),
    ],
)
def test_bad_phantoms_are_refused(name: str, size: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        phantom(name, size)
