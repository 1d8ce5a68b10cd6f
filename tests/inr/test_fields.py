"""The networks follow equations 1 to 5."""

from __future__ import annotations

import math

import numpy as np
import psutil
import pytest
import torch

from napari_inr_tomo.config import FieldSettings, ReconstructionConfig
from napari_inr_tomo.inr import build_field
from napari_inr_tomo.inr.fields import positive, usual_count


def settings(**changes) -> FieldSettings:
    values = {"kind": "hsiren", "width": 16, "hidden_layers": 2, "output": "softplus"}
    return FieldSettings(**(values | changes))


def test_hsiren_is_equations_1_to_3() -> None:
    field = build_field(settings(omega=30.0), 8, seed=3).double()
    points = torch.rand(50, 3, dtype=torch.float64) * 2 - 1
    w = [p.detach().numpy() for p in field.weights]
    b = [p.detach().numpy() for p in field.biases]
    hidden = np.sin(30 * np.sinh(2 * (points.numpy() @ w[0].T + b[0])))
    for i in (1, 2):
        hidden = np.sin(30 * (hidden @ w[i].T + b[i]))
    raw = (hidden @ w[3].T + b[3])[:, 0]
    np.testing.assert_allclose(
        field(points).detach().numpy(), np.log1p(np.exp(raw)), rtol=1e-9
    )


def test_initial_weights_fill_the_ranges_of_equations_4_and_5() -> None:
    field = build_field(settings(width=64), 8)
    first, hidden = field.weights[0].detach(), field.weights[1].detach()
    assert 0.9 / 3 < first.abs().max() <= 1 / 3
    bound = math.sqrt(6 / 64) / 30
    assert 0.9 * bound < hidden.abs().max() <= bound


def test_the_papers_network_has_its_size() -> None:
    paper = ReconstructionConfig.from_preset("paper").inr.field
    field = build_field(paper, 8)
    assert sum(p.numel() for p in field.parameters()) == 1_053_185


@pytest.mark.parametrize("kind", ["hsiren", "siren", "triplane"])
@pytest.mark.parametrize("output", ["softplus", "sharp-softplus"])
def test_density_is_never_negative_and_learns_everywhere(kind, output) -> None:
    field = build_field(settings(kind=kind, output=output), 8)
    density = field(torch.rand(200, 3) * 2 - 1)
    assert density.shape == (200,)
    assert (density >= 0).all()
    density.sum().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for p in field.parameters()
    )


def test_same_seed_same_network() -> None:
    one, two, other = (build_field(settings(), 8, seed=s) for s in (1, 1, 2))
    points = torch.rand(10, 3)
    assert torch.equal(one(points), two(points))
    assert not torch.equal(one(points), other(points))


def test_bfloat16_layers_stay_close() -> None:
    exact = build_field(settings(width=64, kind="siren"), 8)
    fast = build_field(settings(width=64, kind="siren"), 8, compute=torch.bfloat16)
    points = torch.rand(500, 3) * 2 - 1
    a, b = exact.raw(points), fast.raw(points)
    assert (a - b).norm() / a.norm() < 0.03


def test_sharp_softplus_starts_near_zero() -> None:
    assert positive(torch.zeros(1), "softplus").item() == pytest.approx(math.log(2))
    assert positive(torch.zeros(1), "sharp-softplus").item() < 0.04


def test_numbers_of_points_are_rounded_up_to_few_sizes() -> None:
    counts = range(4097, 8193)
    sizes = [usual_count(n) for n in counts]
    assert all(n <= size <= 1.13 * n for n, size in zip(counts, sizes, strict=True))
    assert len(set(sizes)) == 8
    assert [usual_count(n) for n in (0, 1, 7, 8192)] == [0, 1, 7, 8192]


def test_rounding_up_changes_neither_densities_nor_gradients() -> None:
    field = build_field(settings(kind="siren"), 8, compute=torch.bfloat16)
    points = torch.rand(
        usual_count(1000), 3, generator=torch.Generator().manual_seed(1)
    )
    some = field(points[:901])
    assert usual_count(901) != 901
    torch.testing.assert_close(some, field(points)[:901], rtol=1e-5, atol=1e-6)
    some.sum().backward()
    found = [p.grad.clone() for p in field.parameters()]
    field.zero_grad()
    field(points)[:901].sum().backward()
    for one, other in zip(found, field.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, rtol=2e-2, atol=1e-3)


def test_steps_of_ever_new_sizes_do_not_fill_the_memory() -> None:
    field = build_field(settings(width=64, kind="siren"), 8, compute=torch.bfloat16)

    def step(count: int) -> None:
        field(torch.rand(count, 3)).sum().backward()

    for count in range(4096, 4608, 64):
        step(count)
    before = psutil.Process().memory_info().rss
    for count in range(4096, 4608, 4):
        step(count)
    assert psutil.Process().memory_info().rss - before < 60e6
