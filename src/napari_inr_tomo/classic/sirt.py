"""SIRT: simultaneous iterative reconstruction, plain or with momentum."""

from __future__ import annotations

from collections.abc import Callable

import torch

from napari_inr_tomo.classic.projector import Projector

Callback = Callable[[int, torch.Tensor, float], bool | None]
"""(iteration from 1, volume, relative residual) -> True to stop."""

_NEGLIGIBLE = 0.01


def inverse_sums(sums: torch.Tensor) -> torch.Tensor:
    """Return 1 / sums; 0 where a sum is below a hundredth of the largest."""
    floor = _NEGLIGIBLE * sums.max().clamp(min=torch.finfo(sums.dtype).tiny)
    return torch.where(sums > floor, 1 / sums.clamp(min=floor), 0)


def prepare(
    projector: Projector, images: torch.Tensor, valid: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images with 0 for ignored pixels, and a mask of the others (1.0)."""
    images = images.to(projector.device, projector.dtype)
    usable = torch.isfinite(images)
    if valid is not None:
        usable = usable & valid.to(projector.device, torch.bool)
    return torch.where(usable, images, 0), usable.to(projector.dtype)


def sirt(
    projector: Projector,
    images: torch.Tensor,
    iterations: int = 100,
    positivity: bool = True,
    relaxation: float = 1.0,
    valid: torch.Tensor | None = None,
    start: torch.Tensor | None = None,
    callback: Callback | None = None,
    momentum: bool = False,
    support: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the volume after ``x += relaxation C A^T R (b - A x)``, repeated.

    R and C are one over the row and column sums of A.  Pixels that are not finite or
    not ``valid`` have R = 0.

    images: (tilt, y, x).  valid: (tilt, y, x) bool.  start: (z, y, x), else zeros.
    support: (z, y, x) bool; voxels outside stay 0.  positivity: clip at 0 each time.
    momentum: Nesterov's acceleration, restarted where it points uphill; about five
    times fewer iterations.  callback: see `Callback`; the relative residual is
    ``|b - A x| / |b|`` over the pixels used.
    Source: Gregor and Benson, IEEE Trans. Med. Imaging 27 (2008) 918; restart:
    O'Donoghue and Candes, Found. Comput. Math. 15 (2015) 715.
    """
    data, usable = prepare(projector, images, valid)
    inside = torch.ones(projector.shape_zyx, dtype=data.dtype, device=data.device)
    if support is not None:
        inside = support.to(inside)
    rows = inverse_sums(projector.forward(inside)) * usable
    columns = relaxation * inverse_sums(projector.adjoint(usable)) * inside
    norm = float(torch.linalg.vector_norm(data)) or 1.0
    volume = torch.zeros_like(inside) if start is None else start.to(inside) * inside
    projected = projector.forward(volume) if start is not None else 0 * data
    last, last_projected, age = volume, projected, 0
    for iteration in range(1, iterations + 1):
        beta = age / (age + 3) if momentum else 0.0
        point = volume + beta * (volume - last) if beta else volume
        at_point = (
            projected + beta * (projected - last_projected) if beta else projected
        )
        last, last_projected = volume, projected
        volume = projector.adjoint((data - at_point).mul_(rows)).mul_(columns)
        volume.add_(point)
        if positivity:
            volume.clamp_(min=0)
        projected = projector.forward(volume)
        age += 1
        if momentum and _uphill(point, volume, last, columns):
            age = 0
        residual = torch.linalg.vector_norm((data - projected).mul_(usable))
        if callback is not None and callback(iteration, volume, float(residual) / norm):
            break
    return volume


def _uphill(
    point: torch.Tensor, volume: torch.Tensor, last: torch.Tensor, columns: torch.Tensor
) -> bool:
    """Whether the momentum points against the step, in the metric of the step."""
    step = torch.where(columns > 0, (point - volume) / columns.clamp(min=1e-30), 0)
    return bool((step * (volume - last)).sum() > 0)
