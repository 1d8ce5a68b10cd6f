"""Rays against analytic line integrals, at any pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_inr_tomo import geometry
from napari_inr_tomo.config import FieldSettings
from napari_inr_tomo.inr import Box, Field, LearnedPoses, Rays, build_field, render
from napari_inr_tomo.inr.rendering import occupied_at, ray_offsets, sample_points
from napari_inr_tomo.types import Poses

ANGLES = np.array([-50.0, 0.0, 20.0, 65.0])


class Blobs(Field):
    """Gaussian balls: their projections are Gaussians, known exactly."""

    def __init__(self, centres_px, sigma_px: float, box: Box) -> None:
        super().__init__("softplus")
        self.centres = torch.as_tensor(centres_px, dtype=torch.float64)
        self.sigma, self.unit = sigma_px, box.unit

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        gap = coordinates[:, None] / self.unit - self.centres
        return torch.exp(-(gap**2).sum(-1) / (2 * self.sigma**2)).sum(-1)


class Constant(Field):
    """Density one everywhere."""

    def __init__(self) -> None:
        super().__init__("softplus")

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(coordinates), dtype=coordinates.dtype)


def poses(seed: int = 0) -> Poses:
    rng = np.random.default_rng(seed)
    return Poses(*rng.normal(0, [[8.0], [8.0], [1.5], [1.5]], (4, len(ANGLES))))


def all_rays(shape_yx, tilt: int) -> Rays:
    v, u = np.meshgrid(*(geometry.centred(n) for n in shape_yx), indexing="ij")
    uv = torch.as_tensor(np.stack([u.ravel(), v.ravel()], -1))
    return Rays(torch.full((len(uv),), tilt), uv)


def middle(rays: Rays, samples: int) -> torch.Tensor:
    return torch.full((len(rays), samples), 0.5, dtype=torch.float64)


def test_blobs_land_where_geometry_says() -> None:
    box = Box((25, 23, 31))
    centres, sigma = np.array([[4.0, -3.0, 5.0], [-6.0, 2.0, -4.0]]), 1.7
    start = poses()
    learned = LearnedPoses(ANGLES, start, reference=1)
    field = Blobs(centres, sigma, box)
    landed = geometry.project_points(centres, ANGLES, start)
    for tilt in range(len(ANGLES)):
        rays = all_rays((23, 31), tilt)
        image = render(field, learned, rays, box, middle(rays, 200)) / box.unit
        gap = rays.uv_px.numpy()[:, None] - landed[tilt]
        height = sigma * np.sqrt(2 * np.pi)
        wanted = height * np.exp(-(gap**2).sum(-1) / (2 * sigma**2)).sum(-1)
        np.testing.assert_allclose(image.detach(), wanted, atol=0.01 * height)


def test_tilted_point_has_the_documented_sign() -> None:
    box = Box((31, 31, 31))
    learned = LearnedPoses([0.0, 30.0], Poses.zeros(2), reference=0)
    field = Blobs([[0.0, 0.0, 10.0]], 1.0, box)
    rays = all_rays((31, 31), 1)
    image = render(field, learned, rays, box, middle(rays, 100)).detach().numpy()
    u, v = rays.uv_px[int(image.argmax())]
    assert (float(u), float(v)) == (0.0, -5.0)


@pytest.mark.parametrize("samples", [2, 5, 40])
def test_constant_density_gives_the_chord_for_any_number_of_samples(samples) -> None:
    box = Box((10, 20, 16))
    learned = LearnedPoses([0.0, 40.0], Poses.zeros(2), reference=0)
    for tilt, chord in ((0, 10.0), (1, 10 / np.cos(np.deg2rad(40)))):
        rays = Rays(torch.tensor([tilt]), torch.zeros(1, 2, dtype=torch.float64))
        fractions = torch.rand(1, samples, dtype=torch.float64)
        length = render(Constant(), learned, rays, box, fractions) / box.unit
        assert float(length) == pytest.approx(chord, rel=1e-9)


def test_the_offset_of_a_ray_hardly_changes_its_integral() -> None:
    """A sheet 3 px thick, one sample per px: independent places scatter by 7 %."""
    random = torch.Generator().manual_seed(0)
    places = ray_offsets(500, 64, random, torch.zeros(1, dtype=torch.float64))
    assert places.unique().numel() == 500
    assert abs(float(places.mean()) - 0.5) < 0.05
    depth = torch.arange(64) - 31.7

    def scatter(fractions: torch.Tensor) -> float:
        sheet = torch.exp(-0.5 * ((depth + fractions) / 1.3) ** 2).sum(1)
        return float(sheet.std() / sheet.mean())

    independent = torch.rand(500, 64, generator=random, dtype=torch.float64)
    assert scatter(places) < 0.001
    assert scatter(independent) > 0.05


def test_rays_outside_the_box_see_nothing() -> None:
    box = Box((10, 20, 16))
    learned = LearnedPoses([0.0, 90.0], Poses.zeros(2), reference=0)
    uv = torch.tensor([[8.5, 0.0], [0.0, 10.5]], dtype=torch.float64)
    rays = Rays(torch.tensor([0, 0]), uv)
    assert render(Constant(), learned, rays, box, middle(rays, 4)).abs().max() == 0
    # at 90 degrees y on the detector is depth in the box: its z extent counts
    rays = Rays(torch.tensor([1, 1]), torch.tensor([[0.0, 4.9], [0.0, 5.1]]).double())
    seen = render(Constant(), learned, rays, box, middle(rays, 4)) / box.unit
    assert seen[0] == pytest.approx(20.0)
    assert seen[1] == 0


def test_gradient_of_poses_and_density_in_float64() -> None:
    box = Box((32, 30, 34))
    field = Blobs([[2.0, -1.0, 3.0]], 1.5, box)
    learned = LearnedPoses(ANGLES, poses(1), reference=1)
    rays = Rays(
        torch.tensor([0, 2, 3]),
        torch.tensor([[1.0, 0.5], [2.0, -2.0], [0.3, 1.2]]).double(),
    )
    fractions = middle(rays, 120)

    def image(axis, angle, shift):
        learned_ = torch.func.functional_call(
            _Image(learned, field, rays, box, fractions),
            {"p.axis_deg": axis, "p.angle_deg": angle, "p.shift_px": shift},
            (),
        )
        return learned_

    inputs = tuple(p.detach().clone().requires_grad_() for p in learned.parameters())
    assert torch.autograd.gradcheck(image, inputs, eps=1e-5, atol=1e-5)


def test_a_frozen_tilt_gets_no_gradient_and_never_moves() -> None:
    box = Box((32, 30, 34))
    field = Blobs([[2.0, -1.0, 3.0]], 1.5, box)
    start = poses(1)
    learned = LearnedPoses(ANGLES, start, reference=1, frozen=[2])
    rays = Rays(
        torch.tensor([0, 2, 3]),
        torch.tensor([[1.0, 0.5], [2.0, -2.0], [0.3, 1.2]]).double(),
    )
    render(field, learned, rays, box, middle(rays, 120)).sum().backward()
    for gradient in (learned.angle_deg.grad, learned.shift_px.grad):
        assert (gradient[2] == 0).all()
        assert (gradient[[0, 3]] != 0).any()
    with torch.no_grad():
        for parameter in learned.parameters():
            parameter.add_(0.7)  # the shared axis as well
    learned.pin()
    moved = learned.poses().as_array() - start.as_array()
    assert (moved[2] == 0).all()
    assert abs(moved[[0, 3], 1:]).min() > 0.1
    # a frozen tilt holds the object in place along z: nothing more is to be pinned
    assert moved[[0, 3], 3] == pytest.approx(0.7)


class _Image(torch.nn.Module):
    def __init__(self, p, field, rays, box, fractions) -> None:
        super().__init__()
        self.p = p
        self.rest = (field, rays, box, fractions)

    def forward(self) -> torch.Tensor:
        field, rays, box, fractions = self.rest
        return render(field, self.p, rays, box, fractions)


def test_empty_voxels_cost_nothing_and_change_nothing() -> None:
    box = Box((15, 15, 15))
    field = Blobs([[0.0, 0.0, 0.0]], 0.8, box)
    learned = LearnedPoses(ANGLES, poses(2), reference=1)
    occupied = torch.zeros(15, 15, 15, dtype=torch.bool)
    occupied[2:13, 2:13, 2:13] = True
    rays = all_rays((15, 15), 2)
    fractions = middle(rays, 80)
    whole = render(field, learned, rays, box, fractions)
    part = render(field, learned, rays, box, fractions, occupied)
    torch.testing.assert_close(part, whole, atol=1e-6, rtol=0)


def test_occupied_at_finds_the_voxel() -> None:
    box = Box((4, 6, 8))
    occupied = torch.zeros(4, 6, 8, dtype=torch.bool)
    occupied[3, 1, 6] = True
    centre = torch.tensor(
        [geometry.centred(8)[6], geometry.centred(6)[1], geometry.centred(4)[3]]
    )
    points = torch.stack([centre, centre + 0.49, centre - 0.51]) * box.unit
    assert occupied_at(occupied, points, box).tolist() == [True, True, False]


def test_reference_and_depth_stay_pinned() -> None:
    learned = LearnedPoses(ANGLES, Poses.zeros(4), reference=1)
    with torch.no_grad():
        learned.shift_px[:, 1] = torch.sin(torch.deg2rad(learned.angles_deg)) * 3
        learned.shift_px[:, 0] = torch.tensor([0.5, 9.0, -0.2, 0.1])
        learned.angle_deg += 1.0
    learned.pin()
    now = learned.poses()
    assert now.z1_deg[1] == now.z3_deg[1] == now.dx_px[1] == now.dy_px[1] == 0
    np.testing.assert_allclose(now.dy_px, 0, atol=1e-12)
    np.testing.assert_allclose(now.dx_px, [0.5, 0, -0.2, 0.1])


def test_rays_at_the_edge_train_the_network_but_do_not_move_the_poses() -> None:
    box = Box((12, 12, 12))
    field = Blobs([[0.0, 0.0, 0.0]], 3.0, box)
    field.height = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    learned = LearnedPoses(ANGLES, poses(1), reference=1)
    uv = torch.tensor([[1.0, 0.5], [2.0, -2.0]], dtype=torch.float64)
    moved = []
    for inner in ([True, True], [True, False], [False, False]):
        learned.zero_grad()
        rays = Rays(torch.tensor([0, 2]), uv, torch.tensor(inner))
        image = field.height * render(field, learned, rays, box, middle(rays, 40))
        image.sum().backward()
        moved.append(learned.shift_px.grad.abs().sum(1).tolist())
    assert field.height.grad != 0
    assert moved[0][0] == moved[1][0] > 0
    assert moved[0][2] > 0
    assert moved[1][2] == 0
    assert moved[2] == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", ["hsiren", "siren"])
def test_rays_that_miss_the_box_are_zero_and_move_nothing(kind) -> None:
    """Nearly parallel to a side that they pass outside: entering it is far away."""
    box = Box((32, 32, 32))
    start = Poses.zeros(len(ANGLES))
    start = replace(start, z1_deg=start.z1_deg + 1e-6)  # a slope of 1e-8
    learned = LearnedPoses(ANGLES, start, reference=1)
    outside = torch.tensor([[16.5, 0.0], [-16.5, 3.0], [1.0, 2.0]], dtype=torch.float32)
    rays = Rays(torch.tensor([0, 2, 0]), outside)
    field = build_field(FieldSettings(kind=kind, width=16, hidden_layers=1), 32)
    lines = render(field, learned, rays, box, torch.full((3, 20), 0.5))
    assert lines[:2].tolist() == [0.0, 0.0]
    assert lines[2] > 0
    lines.sum().backward()
    for parameter in [*field.parameters(), *learned.parameters()]:
        assert parameter.grad.isfinite().all()
    points, _ = sample_points(learned, rays, box, torch.full((3, 20), 0.5))
    assert points.abs().max() < 2
