"""The terms of the loss, each with its gradient."""

from __future__ import annotations

import pytest
import torch

from napari_inr_tomo.config import FieldSettings
from napari_inr_tomo.inr import Field, Muon, build_field, pixel_loss, total_variation
from napari_inr_tomo.inr.muon import orthogonalised


class Slope(Field):
    """A density that rises linearly: its gradient is the vector itself."""

    def __init__(self, vector: torch.Tensor) -> None:
        super().__init__("softplus")
        self.vector = torch.nn.Parameter(vector)

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        return coordinates @ self.vector


def test_smooth_l1_turns_at_beta() -> None:
    residual = torch.linspace(-0.3, 0.3, 601, dtype=torch.float64)
    ours = pixel_loss(residual, "smooth_l1", 0.07)
    oracle = torch.nn.SmoothL1Loss(reduction="none", beta=0.07)
    torch.testing.assert_close(ours, oracle(residual, torch.zeros_like(residual)))
    jump = ours.diff().abs().max()
    assert jump < 0.0011  # the slope is at most 1; no step anywhere


def test_l2_is_the_square() -> None:
    residual = torch.tensor([-2.0, 0.5])
    assert pixel_loss(residual, "l2", 0.07).tolist() == [4.0, 0.25]


def test_total_variation_of_a_slope_is_its_length() -> None:
    field = Slope(torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64))
    lengths = total_variation(field, torch.rand(7, 3, dtype=torch.float64))
    torch.testing.assert_close(lengths, torch.full((7,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["hsiren", "siren", "triplane"])
def test_total_variation_moves_the_network(kind) -> None:
    settings = FieldSettings(kind=kind, width=16, hidden_layers=2)
    field = build_field(settings, 8).double()
    points = torch.rand(40, 3, dtype=torch.float64) - 0.5
    before = total_variation(field, points).mean()
    before.backward()
    assert sum(float(p.grad.abs().sum()) for p in field.parameters()) > 0
    with torch.no_grad():
        for p in field.parameters():
            p -= 1e-5 * p.grad / p.grad.norm().clamp(min=1e-12)
    assert total_variation(field, points).mean() < before


def test_total_variation_gradient_is_right() -> None:
    field = Slope(torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64))
    points = torch.rand(5, 3, dtype=torch.float64)

    def mean(vector: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            _Mean(field), {"field.vector": vector}, (points,)
        )

    assert torch.autograd.gradcheck(mean, (field.vector,))


class _Mean(torch.nn.Module):
    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return total_variation(self.field, points).mean()


class _Even(Field):
    """The same density everywhere, so no gradient at all."""

    def __init__(self) -> None:
        super().__init__("softplus")
        self.level = torch.nn.Parameter(torch.tensor(0.5))

    def raw(self, coordinates: torch.Tensor) -> torch.Tensor:
        return self.level + 0 * coordinates.sum(-1)


def test_the_variation_of_an_even_density_has_a_gradient() -> None:
    """A root has none at 0; the weights must stay numbers all the same."""
    field = _Even()
    lengths = total_variation(field, torch.rand(6, 3))
    assert lengths.max() < 1e-5
    lengths.sum().backward()
    assert torch.isfinite(field.level.grad)


@pytest.mark.parametrize("shape", [(12, 12), (6, 17), (17, 6)])
def test_muon_steps_are_nearly_orthogonal(shape) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_muon_stays_where_there_is_no_gradient() -> None:
    """Where nothing is measured the weights stay numbers."""
    weight = torch.nn.Parameter(torch.eye(3))
    weight.grad = torch.zeros(3, 3)
    Muon([weight], lr=0.05).step()
    assert torch.equal(weight, torch.eye(3))


def test_muon_keeps_going_on_its_momentum() -> None:
    weight = torch.nn.Parameter(torch.zeros(3, 3))
    optimiser = Muon([weight], lr=0.1, momentum=0.9)
    weight.grad = torch.eye(3)
    optimiser.step()
    first = weight.detach().clone()
    weight.grad = torch.zeros(3, 3)
    optimiser.step()
    assert first.trace() < -0.1
    assert weight.trace() - first.trace() < -0.1
    assert (
        optimiser.state[weight]["momentum"].diagonal().tolist()
        == [pytest.approx(0.9)] * 3
    )


def test_muon_goes_downhill() -> None:
    weight = torch.nn.Parameter(torch.eye(4))
    optimiser = Muon([weight], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        ((weight - 2 * torch.ones(4, 4)) ** 2).sum().backward()
        optimiser.step()
    assert (weight - 2 * torch.ones(4, 4)).abs().max() < 0.6
