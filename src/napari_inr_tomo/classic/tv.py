"""Total variation: the sharpest volume that explains the data, from few tilts."""

from __future__ import annotations

import torch

from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import Callback, inverse_sums, prepare, sirt

START_ITERATIONS = 20
"""Momentum SIRT iterations that give the start and the scale of the data."""

STRENGTH = 0.4
"""Weight 1 in units of the noise a voxel collects; measured on phantoms."""

BALANCE = 0.5
"""Primal against dual step length; sets the speed only."""


def gradient(volume: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Return forward differences (3, z, y, x) in ``out``, 0 at the far faces."""
    out.zero_()
    torch.sub(volume[1:], volume[:-1], out=out[0, :-1])
    torch.sub(volume[:, 1:], volume[:, :-1], out=out[1, :, :-1])
    torch.sub(volume[:, :, 1:], volume[:, :, :-1], out=out[2, :, :, :-1])
    return out


def add_transposed_gradient(dual: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
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


def noise_level(images: torch.Tensor, usable: torch.Tensor) -> float:
    """Return the standard deviation of white noise in (tilt, y, x) images.

    From fourth differences in both directions, which smooth content hardly passes;
    sharp edges are counted as noise.
    Source: J. Immerkaer, Comput. Vis. Image Underst. 64 (1996) 300, with a longer mask.
    """
    if min(images.shape[1:]) < 5:
        return 0.0
    mask = images.new_tensor([1.0, -4.0, 6.0, -4.0, 1.0]) / 70**0.5
    kernel = (mask[:, None] * mask)[None, None]
    rough = torch.nn.functional.conv2d(images[:, None], kernel)
    whole = torch.nn.functional.conv2d(usable[:, None], torch.ones_like(kernel)) > 24.5
    count = int(whole.sum())
    power = float((rough**2 * whole).sum(dtype=torch.float64))
    return (power / count) ** 0.5 if count else 0.0


def tv(
    projector: Projector,
    images: torch.Tensor,
    iterations: int = 100,
    weight: float = 1.0,
    valid: torch.Tensor | None = None,
    callback: Callback | None = None,
    support: torch.Tensor | None = None,
    start_iterations: int = START_ITERATIONS,
) -> torch.Tensor:
    """Return the x >= 0 with the least ``|b - A x|^2 / 2 + limit * TV(x)``.

    With densities in units of the specimen's own (`density_scale`), ``limit`` is
    ``weight * 0.4 * noise * sqrt(tilts)``: the noise that back-projection collects in
    a voxel, measured on the images (`noise_level`).  So the same weight does for any
    intensity unit, number of tilts and noise; 1 was good on phantoms with 10 counts to
    no noise at all, a third of it keeps more detail, three times is smoother.
    TV is isotropic; the edges of the box cost nothing.

    images: (tilt, y, x).  valid: (tilt, y, x) bool; other pixels are ignored, and so
    are those that are not finite.  support: (z, y, x) bool; voxels outside stay 0.
    callback: see `napari_inr_tomo.classic.sirt.Callback`; its iteration is 0 during the
    start.  start_iterations: of momentum SIRT, for the start and the scale of the data.
    Source: Chambolle and Pock, J. Math. Imaging Vis. 40 (2011) 120; step lengths:
    Pock and Chambolle, ICCV 2011, 1762.
    """
    data, usable = prepare(projector, images, valid)
    volume = sirt(
        projector,
        images,
        start_iterations,
        valid=valid,
        callback=callback and (lambda _, *rest: callback(0, *rest)),
        momentum=True,
        support=support,
    )
    scale = density_scale(volume)
    volume /= scale
    data /= scale
    ones = torch.ones_like(volume)
    noise = noise_level(data, usable)
    limit = max(weight * STRENGTH * noise * len(projector) ** 0.5, 1e-6)
    ray_step = inverse_sums(projector.forward(ones)) * usable / BALANCE
    step = BALANCE / (projector.adjoint(usable).clamp(min=0) + 6)
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
        dual.add_(gradient(extrapolated, buffer), alpha=0.5 / BALANCE)
        size = dual[0] * dual[0]
        size.addcmul_(dual[1], dual[1]).addcmul_(dual[2], dual[2]).sqrt_()
        dual *= limit / size.clamp_(min=limit)
        descent = add_transposed_gradient(dual, projector.adjoint(ray_dual))
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
