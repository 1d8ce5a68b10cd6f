"""The networks that stand for the volume, behind one small interface.

A field maps normalised coordinates (point, 3), x y z, to a non-negative density
(point,).  Source: equations 1 to 5 of Lim, Casert et al.; sine layers after Sitzmann
et al. 2020, the sinh in the first layer after Gao and Jaiman 2024 (arXiv 2410.04716).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_inr_tomo.config import FieldSettings


class Field(nn.Module):
    """A density in space.

    ``compute`` is the type of the hidden layers; coordinates, the first layer and the
    output stay in the type of the parameters, because rounding coordinates to bfloat16
    costs up to a voxel of sharpness (docs/method.md).
    """

    def __init__(self, output: str, compute: torch.dtype | None = None) -> None:
        super().__init__()
        self.output = output
        self.compute = compute

    def raw(self, coordinates: Tensor) -> Tensor:
        """Return (point,) values before the output activation."""
        raise NotImplementedError

    def forward(self, coordinates: Tensor) -> Tensor:
        """Return (point,) densities >= 0 for (point, 3) normalised coordinates."""
        count = len(coordinates)
        if self.compute is not None:
            extra = usual_count(count) - count
            coordinates = functional.pad(coordinates, (0, 0, 0, extra))
        return positive(self.raw(coordinates), self.output)[:count]

    def matrices(self) -> list[nn.Parameter]:
        """Return the hidden weight matrices (those Muon may handle)."""
        return []


def usual_count(points: int) -> int:
    """Return a number of points, rounded up to one of eight for every power of two.

    For each new number of rows the bfloat16 product on a CPU makes and keeps a program
    of some megabytes; steps that differ by a few points would add up to gigabytes.
    """
    step = max(1, 1 << max(0, (points - 1).bit_length() - 4))
    return -(-points // step) * step


def positive(raw: Tensor, output: str) -> Tensor:
    """Return softplus(raw) (eq. 3), or its sharper form softplus(10 raw - 1) / 10."""
    if output == "softplus":
        return functional.softplus(raw)
    return functional.softplus(10 * raw - 1) / 10


def _uniform(
    shape: tuple[int, ...], bound: float, generator: torch.Generator
) -> Tensor:
    return (torch.rand(shape, generator=generator) * 2 - 1) * bound


class SineField(Field):
    """Siren or H-Siren: input sine layer, ``hidden_layers`` sine layers, linear head.

    Weights: input U(-1/n, 1/n) (eq. 4), others U(+-sqrt(6/n)/omega) (eq. 5); biases
    U(+-1/sqrt(n)), which the paper leaves open.
    """

    def __init__(
        self,
        settings: FieldSettings,
        seed: int = 0,
        compute: torch.dtype | None = None,
    ) -> None:
        super().__init__(settings.output, compute)
        generator = torch.Generator().manual_seed(seed)
        self.omega = settings.omega
        self.hyperbolic = settings.kind == "hsiren"
        sizes = [3] + [settings.width] * (settings.hidden_layers + 1) + [1]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            bound = 1 / n_in if i == 0 else math.sqrt(6 / n_in) / self.omega
            self.weights.append(nn.Parameter(_uniform((n_out, n_in), bound, generator)))
            bias = _uniform((n_out,), 1 / math.sqrt(n_in), generator)
            self.biases.append(nn.Parameter(bias))

    def matrices(self) -> list[nn.Parameter]:
        """Return the hidden weight matrices."""
        return list(self.weights)[1:-1]

    def raw(self, coordinates: Tensor) -> Tensor:
        """Return the linear head's output."""
        hidden = functional.linear(coordinates, self.weights[0], self.biases[0])
        if self.hyperbolic:
            hidden = torch.sin(self.omega * torch.sinh(2 * hidden))
        else:
            hidden = torch.sin(self.omega * hidden)
        compute = self.compute or coordinates.dtype
        hidden = hidden.to(compute)
        for weight, bias in zip(self.weights[1:-1], self.biases[1:-1], strict=True):
            hidden = torch.sin(
                functional.linear(
                    hidden,
                    (self.omega * weight).to(compute),
                    (self.omega * bias).to(compute),
                )
            )
        head, bias = self.weights[-1], self.biases[-1]
        return functional.linear(hidden.to(coordinates.dtype), head, bias)[:, 0]


class TriplaneField(Field):
    """Three learnt feature planes (xy, xz, yz), multiplied, and a small network."""

    def __init__(
        self,
        settings: FieldSettings,
        resolution: int,
        seed: int = 0,
        compute: torch.dtype | None = None,
    ) -> None:
        super().__init__(settings.output, compute)
        generator = torch.Generator().manual_seed(seed)
        channels = max(8, settings.width // 8)
        shape = (3, channels, resolution, resolution)
        self.planes = nn.Parameter(0.8 + _uniform(shape, 0.2, generator))
        sizes = [channels] + [settings.width] * settings.hidden_layers + [1]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for n_in, n_out in pairwise(sizes):
            bound = math.sqrt(6 / n_in)
            self.weights.append(nn.Parameter(_uniform((n_out, n_in), bound, generator)))
            self.biases.append(nn.Parameter(torch.zeros(n_out)))

    def matrices(self) -> list[nn.Parameter]:
        """Return the hidden weight matrices."""
        return list(self.weights)[1:-1]

    def raw(self, coordinates: Tensor) -> Tensor:
        """Return the linear head's output."""
        x, y, z = coordinates.unbind(-1)
        pairs = torch.stack(
            [torch.stack(p, -1) for p in ((x, y), (x, z), (y, z))]
        ).unsqueeze(1)
        sampled = functional.grid_sample(
            self.planes, pairs, align_corners=False, padding_mode="border"
        )
        hidden = sampled[:, :, 0].prod(0).T
        compute = self.compute or coordinates.dtype
        hidden = hidden.to(compute)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = functional.silu(
                functional.linear(hidden, weight.to(compute), bias.to(compute))
            )
        head, bias = self.weights[-1], self.biases[-1]
        return functional.linear(hidden.to(coordinates.dtype), head, bias)[:, 0]


def build_field(
    settings: FieldSettings,
    longest_edge: int,
    seed: int = 0,
    compute: torch.dtype | None = None,
) -> Field:
    """Return the network ``settings`` ask for, initialised from ``seed`` alone.

    longest_edge: voxels along the longest edge of the box (the tri-plane's resolution).
    """
    if settings.kind == "triplane":
        return TriplaneField(settings, longest_edge, seed, compute)
    return SineField(settings, seed, compute)
