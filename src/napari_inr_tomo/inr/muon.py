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
    """Return (..., n, m) matrices with the singular vectors of ``matrix``.

    Their singular values are about 1.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[-2] > matrix.shape[-1]
    wide = matrix.mT if tall else matrix
    x = wide / (torch.linalg.matrix_norm(wide, keepdim=True) + 1e-12)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    done: Tensor = x.mT if tall else x
    return done


class Muon(torch.optim.Optimizer):
    """Muon for weight matrices (two-dimensional parameters only)."""

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 1e-3, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step from the gradients the parameters hold.

        Matrices of one shape are worked on together.
        """
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for (rows, columns), matrices in alike.items():
                ahead = torch.stack([self._ahead(m, group) for m in matrices])
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                turns = rate * orthogonalised(ahead)
                for matrix, turn in zip(matrices, turns, strict=True):
                    matrix.sub_(turn)

    def _ahead(self, matrix: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """Return the momentum a step further on, after Nesterov."""
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        gradient, factor = matrix.grad, group["momentum"]
        state["momentum"].mul_(factor).add_(gradient)
        return gradient + factor * state["momentum"]  # type: ignore[no-any-return]
