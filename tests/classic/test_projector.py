"""The projector against exact projections, ASTRA, and its own adjoint."""

import numpy as np
import pytest
import torch
from gaussian_balls import Cluster, relative_error

from napari_inr_tomo.classic import Projector, projector_bytes
from napari_inr_tomo.classic import projector as projector_module
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import Poses

SHAPE_YX, DEPTH = (41, 50), 33
ANGLES = np.array([-70.0, -45.0, 30.0, -7.0, 0.0, 13.0, 45.0, 60.0, 88.0])


def poses_of(name):
    count, rng = len(ANGLES), np.random.default_rng(3)
    return {
        "axis along x": Poses.zeros(count),
        "shifts only": Poses(
            np.zeros(count),
            np.zeros(count),
            rng.uniform(-3, 3, count),
            rng.uniform(-3, 3, count),
        ),
        "axis at 10": Poses.from_axis(count, 10.0, 1.3, -2.2),
        "axis at 90": Poses.from_axis(count, 90.0, 0.4, -1.0),
        "every tilt its own": Poses(
            rng.uniform(-20, 20, count),
            rng.uniform(-20, 20, count),
            rng.uniform(-3, 3, count),
            rng.uniform(-3, 3, count),
        ),
    }[name]


POSES = [
    "axis along x",
    "shifts only",
    "axis at 10",
    "axis at 90",
    "every tilt its own",
]


@pytest.mark.parametrize("name", POSES)
def test_projections_agree_with_the_exact_ones(name):
    poses = poses_of(name)
    cluster = Cluster.random((9, 8, 6), sigma_px=2.5)
    projector = Projector(ANGLES, poses, SHAPE_YX, DEPTH, dtype=torch.float64)
    volume = torch.from_numpy(cluster.volume(projector.shape_zyx))
    exact = cluster.images(ANGLES, poses, SHAPE_YX)
    for found, wanted in zip(projector.forward(volume).numpy(), exact, strict=True):
        assert relative_error(found, wanted) < 0.02


def test_the_error_falls_with_the_square_of_the_voxel():
    poses = poses_of("every tilt its own")
    errors = []
    for sigma in (1.5, 3.0):
        cluster = Cluster.random((7, 6, 3), sigma_px=sigma)
        projector = Projector(ANGLES, poses, SHAPE_YX, DEPTH, dtype=torch.float64)
        found = projector.forward(torch.from_numpy(cluster.volume(projector.shape_zyx)))
        exact = cluster.images(ANGLES, poses, SHAPE_YX)
        errors.append(relative_error(found.numpy(), exact))
    assert errors[1] < errors[0] / 3


@pytest.mark.scenario(22)
@pytest.mark.parametrize("name", POSES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)]
)
@pytest.mark.parametrize(("shape_yx", "depth"), [((19, 24), 13), ((32, 21), 40)])
def test_adjoint(name, dtype, tolerance, shape_yx, depth):
    generator = torch.Generator().manual_seed(1)
    projector = Projector(ANGLES, poses_of(name), shape_yx, depth, dtype=dtype)
    x = torch.rand(projector.shape_zyx, dtype=dtype, generator=generator)
    y = torch.rand(projector.shape_tyx, dtype=dtype, generator=generator)
    left = (projector.forward(x).double() * y.double()).sum()
    right = (x.double() * projector.adjoint(y).double()).sum()
    assert abs(left - right) <= tolerance * abs(left)


def test_zero_degrees_is_the_sum_over_z_exactly():
    projector = Projector([0.0], Poses.zeros(1), SHAPE_YX, DEPTH)
    volume = torch.randint(0, 100, projector.shape_zyx).float()
    assert torch.equal(projector.forward(volume)[0], volume.sum(0))


def test_a_point_above_the_axis_lands_up_the_screen():
    """z = +10 px tilted by +30 degrees lands at y = -5 px."""
    projector = Projector([30.0], Poses.zeros(1), (41, 31), 41)
    volume = torch.zeros(projector.shape_zyx)
    volume[20 + 10, 20, 15] = 1
    image = projector.forward(volume)[0]
    rows = torch.arange(41.0) - 20
    assert float((image.sum(1) * rows).sum() / image.sum()) == pytest.approx(
        -5, abs=1e-4
    )
    assert float(image[:, 15].sum()) == pytest.approx(float(image.sum()))


def test_right_angles_and_whole_pixels_are_exact():
    """A quarter turn of tilt sums over y; whole-pixel shifts only move pixels."""
    poses = Poses([0.0, 0.0], [0.0, 0.0], [3.0, -2.0], [0.0, 4.0])
    projector = Projector([90.0, 0.0], poses, (17, 23), 17)
    volume = torch.randint(0, 100, projector.shape_zyx).float()
    first, second = projector.forward(volume)
    # y' = -z at 90 degrees
    assert torch.allclose(first[:, 3:], volume.sum(1).flip(0)[:, :-3], rtol=1e-6)
    assert torch.allclose(second[4:, :-2], volume.sum(0)[:-4, 2:], rtol=1e-6)
    assert float(first[:, :3].abs().max()) < 1e-3


def test_the_order_of_the_tilts_does_not_matter():
    poses = poses_of("every tilt its own")
    projector = Projector(ANGLES, poses, (19, 24), 13)
    volume = torch.rand(projector.shape_zyx, generator=torch.Generator().manual_seed(0))
    order = np.random.default_rng(0).permutation(len(ANGLES))
    shuffled = projector.subset(order).forward(volume)
    assert torch.allclose(shuffled, projector.forward(volume)[order], atol=1e-4)


def test_beyond_the_cache_the_result_is_the_same(monkeypatch):
    poses = poses_of("every tilt its own")
    cached = Projector(ANGLES, poses, (19, 24), 13)
    volume = torch.rand(cached.shape_zyx, generator=torch.Generator().manual_seed(0))
    images = cached.forward(volume)
    monkeypatch.setattr(projector_module, "CACHE_BYTES", 0)
    bare = Projector(ANGLES, poses, (19, 24), 13)
    assert torch.equal(bare.forward(volume), images)
    assert torch.equal(bare.adjoint(images), cached.adjoint(images))
    assert bare.held_bytes < cached.held_bytes


def test_the_memory_estimate_covers_the_matrices():
    # a quarter turn needs hardly any entries, and is not worth a formula of its own
    for name in sorted(set(POSES) - {"axis at 90"}):
        projector = Projector(ANGLES, poses_of(name), (50, 61), 45)
        projector.forward(torch.zeros(projector.shape_zyx))
        estimate = projector_bytes(ANGLES, poses_of(name), (50, 61), 45)
        assert projector.held_bytes < estimate < 4 * projector.held_bytes


def test_the_memory_estimate_grows_with_the_tilts():
    """Of hundreds of tilts of a narrow field, the rays are nearly all."""
    angles = np.linspace(-70, 70, 300)
    projector = Projector(angles, Poses.zeros(300), (40, 4), 40)
    projector.forward(torch.zeros(projector.shape_zyx))
    estimate = projector_bytes(angles, Poses.zeros(300), (40, 4), 40)
    assert projector.held_bytes < estimate < 4 * projector.held_bytes


@pytest.mark.parametrize("angle", [0.0, 20.0, 44.9, 45.1, -60.0, 90.0, 135.0])
def test_slices_agree_with_astra(angle):
    astra = pytest.importorskip("astra")
    size, count = 37, 53
    geometry = astra.create_vol_geom(size, size)
    # ASTRA's row index runs against its y, so its angle has the opposite sense twice
    rays = astra.create_proj_geom("parallel", 1.0, count, np.deg2rad([angle]))
    made = astra.create_projector("linear", rays, geometry)
    slice_zy = np.random.default_rng(2).random((size, size)).astype(np.float32)
    sinogram_id, sinogram = astra.create_sino(slice_zy, made)
    astra.data2d.delete(sinogram_id)
    astra.projector.delete(made)
    projector = Projector([angle], Poses.zeros(1), (count, 3), size)
    volume = torch.zeros(projector.shape_zyx)
    margin = (count - size) // 2
    volume[:, margin : margin + size, 1] = torch.from_numpy(slice_zy)
    found = projector.forward(volume)[0, :, 1].numpy()
    assert relative_error(found, sinogram[0]) < 1e-5


@pytest.mark.parametrize(
    ("angles", "count", "shape_yx", "depth"),
    [
        ([0.0, 1.0], 3, (8, 8), 8),
        ([], 0, (8, 8), 8),
        ([np.nan], 1, (8, 8), 8),
        ([0.0], 1, (8, 8), 0),
        ([0.0] * 90, 90, (4096, 4096), 8),
    ],
)
def test_impossible_requests_are_refused(angles, count, shape_yx, depth):
    with pytest.raises(UserError):
        Projector(angles, Poses.zeros(count), shape_yx, depth)


def test_arrays_of_another_shape_are_refused():
    projector = Projector([0.0], Poses.zeros(1), (8, 9), 7)
    with pytest.raises(ValueError, match="shape"):
        projector.forward(torch.zeros(8, 9, 7))
