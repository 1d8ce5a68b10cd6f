"""Total variation: the sharpest volume that explains the data, from few tilts."""

from __future__ import annotations

import torch

from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import Callback, inverse_sums, prepare, sirt

START_ITERATIONS = 20
"""Momentum SIRT iterations that give the start and the scale of the data."""


def gradient(volume: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Return forward differences (3, z, y, x) in ``out``, 0 at the far faces."""
    out.zero_()
    torch.sub(volume[1:], volume[:-1], out=out[0, :-1])
    torch.sub(volume[:, 1:], volume[:, :-1], out=out[1, :, :-1])
    torch.sub(volume[:, :, 1:], volume[:, :, :-1], out=out[2, :, :, :-1])
    return out


def subtract_divergence(dual: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Add the adjoint of `gradient` applied to (3, z, y, x) to ``out``."""
    out[1:] += dual[0, :-1]
    out[:-1] -= dual[0, :-1]
    out[:, 1:] += dual[1, :, :-1]
    out[:, :-1] -= dual[1, :, :-1]
    out[:, :, 1:] += dual[2, :, :, :-1]
    out[:, :, :-1] -= dual[2, :, :, :-1]
    return out


def density_scale(volume: torch.Tensor) -> float:
    """Return the typical density of matter: the mean of a volume weighted by itself."""
    mass = float(volume.clamp(min=0).sum(dtype=torch.float64))
    power = float((volume.clamp(min=0) ** 2).sum(dtype=torch.float64))
    return power / mass if mass > 0 else 1.0


def tv(
    projector: Projector,
    images: torch.Tensor,
    iterations: int = 100,
    weight: float = 0.002,
    valid: torch.Tensor | None = None,
    callback: Callback | None = None,
    support: torch.Tensor | None = None,
    gamma: float = 1.0,
) -> torch.Tensor:
    """Return the volume x >= 0 with the least ``misfit + weight * TV``."""
    data, usable = prepare(projector, images, valid)
    volume = sirt(
        projector, images, START_ITERATIONS, valid=valid, momentum=True, support=support
    )
    scale = density_scale(volume)
    volume /= scale
    data /= scale
    ones = torch.ones_like(volume)
    row_sums = projector.forward(ones)
    length = float((row_sums * usable).sum() / usable.sum().clamp(min=1))
    limit = weight * len(projector) * max(length, 1e-6)
    ray_step = inverse_sums(row_sums) * usable / gamma
    step = gamma / (projector.adjoint(usable).clamp(min=0) + 6)
    if support is not None:
        step *= support.to(step)
    ray_dual = torch.zeros_like(data)
    dual = volume.new_zeros((3, *volume.shape))
    buffer = torch.empty_like(dual)
    norm = float(torch.linalg.vector_norm(data)) or 1.0
    projected = projector.forward(volume)
    extrapolated, ahead = volume, projected
    for iteration in range(1, iterations + 1):
        ray_dual += ray_step * (ahead - data)
        ray_dual /= 1 + ray_step
        ray_dual *= usable
        dual.add_(gradient(extrapolated, buffer), alpha=0.5 / gamma)
        size = dual[0] * dual[0]
        size.addcmul_(dual[1], dual[1]).addcmul_(dual[2], dual[2]).sqrt_()
        dual *= limit / size.clamp_(min=limit)
        descent = subtract_divergence(dual, projector.adjoint(ray_dual))
        new = (volume - step * descent).clamp_(min=0)
        new_projected = projector.forward(new)
        extrapolated = 2 * new - volume
        ahead = 2 * new_projected - projected
        volume, projected = new, new_projected
        residual = torch.linalg.vector_norm((data - projected) * usable)
        if callback is not None and callback(
            iteration, volume * scale, float(residual) / norm
        ):
            break
    return volume * scale
