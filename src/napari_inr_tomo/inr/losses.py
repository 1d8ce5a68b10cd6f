"""The two terms of the loss (eq. 6): pixels and total variation."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_inr_tomo.inr.fields import Field


def pixel_loss(residual: Tensor, kind: str, beta: float) -> Tensor:
    """Return the loss of every residual, same shape.

    smooth_l1: 0.5 r^2 / beta below beta, |r| - 0.5 beta above.  Equation 8 prints the
    branch at 1, where the function would jump; it belongs at beta (docs/method.md).
    l2: r^2.
    """
    if kind == "l2":
        return residual**2
    size = residual.abs()
    return torch.where(size < beta, 0.5 * residual**2 / beta, size - 0.5 * beta)


def total_variation(field: Field, points: Tensor) -> Tensor:
    """Return (point,) lengths of the gradient of the density (eq. 9).

    points: (point, 3) normalised coordinates.  The gradient is taken by automatic
    differentiation and stays differentiable with respect to the network.
    """
    points = points.detach().requires_grad_(True)
    density = field(points)
    (gradient,) = torch.autograd.grad(density.sum(), points, create_graph=True)
    return torch.sqrt((gradient**2).sum(-1) + 1e-12)
