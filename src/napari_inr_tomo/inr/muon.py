"""Muon: momentum whose every step is an orthogonal matrix.

Source: Jordan et al. 2024 (Newton-Schulz iteration with the quintic coefficients
3.4445, -4.7750, 2.0315).  Worked in the type of the parameters, so ranks that hold the
same reduced gradient take the same step to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalised(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return a matrix with the singular vectors of ``matrix``, singular values ~1."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-12)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    done: Tensor = x.T if matrix.shape[0] > matrix.shape[1] else x
    return done


class Muon(torch.optim.Optimizer):
    """Muon for weight matrices (two-dimensional parameters only)."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step from the gradients the parameters hold."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                buffer = state["momentum"]
                buffer.mul_(group["momentum"]).add_(parameter.grad)
                ahead = parameter.grad + group["momentum"] * buffer
                rows, columns = parameter.shape
                scale = max(1.0, rows / columns) ** 0.5
                parameter.sub_(orthogonalised(ahead), alpha=group["lr"] * scale)
