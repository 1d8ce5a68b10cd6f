"""The optimisers of a run: network (Adam, Muon for hidden matrices) and poses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_inr_tomo.config import InrSettings
from napari_inr_tomo.engine import checkpoint
from napari_inr_tomo.inr import Field, LearnedPoses, Muon

CLIP = 1.0
"""Largest norm of a gradient, network and poses each; the paper's code has it."""


class Optimisers:
    """All parameter groups of a run with their heights and present factors."""

    def __init__(
        self, field: Field, poses: LearnedPoses, settings: InrSettings, scale: float
    ) -> None:
        schedule, pose = settings.schedule, settings.poses
        matrices = field.matrices() if schedule.hidden_learning_rate else []
        ids = {id(p) for p in matrices}
        self.network = list(field.parameters())
        others = [p for p in self.network if id(p) not in ids]
        on_gpu = others[0].device.type == "cuda"
        how: dict[str, Any] = {"capturable": True, "fused": True} if on_gpu else {}
        self.field_optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(others, **how)
        ]
        self.heights = [schedule.learning_rate * scale]
        if matrices and schedule.hidden_learning_rate:
            self.field_optimisers.append(Muon(matrices))
            self.heights.append(schedule.hidden_learning_rate * scale)
        angles: list[nn.Parameter] = [poses.angle_deg]
        if pose.shared_axis:
            angles.append(poses.axis_deg)
        self.pose_parameters = [*angles, poses.shift_px] if pose.refine else []
        self._wanted = {id(p) for p in self.pose_parameters}
        self.pose_heights = [
            pose.learning_rate_deg * scale,
            pose.learning_rate_px * scale,
        ]
        self.pose_optimiser = torch.optim.Adam(
            [{"params": angles}, {"params": [poses.shift_px]}], **how
        )
        self.learning_rate = 0.0
        """The network's present Adam step."""
        if on_gpu:
            self._keep_rates_on(others[0].device)

    @property
    def _groups(self) -> list[dict[str, Any]]:
        field = [group for o in self.field_optimisers for group in o.param_groups]
        return [*field, *self.pose_optimiser.param_groups]

    def _keep_rates_on(self, device: torch.device) -> None:
        """Keep the rates where a recorded step (`engine.recorded`) reads them."""
        for group in self._groups:
            group["lr"] = torch.zeros((), device=device)

    def wants(self, parameter: nn.Parameter) -> bool:
        """Return whether a pose parameter is learnt in this run."""
        return id(parameter) in self._wanted

    def set_rates(self, network: float, poses: float) -> None:
        """Set the factors on the heights of the learning rates."""
        rates = [height * network for height in self.heights]
        rates += [height * poses for height in self.pose_heights]
        for group, rate in zip(self._groups, rates, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self.learning_rate = rates[0]

    def zero_grad(self) -> None:
        """Set all gradients to zero (not None: every rank sends the same buffers)."""
        for parameter in [*self.network, *self.pose_parameters]:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        torch._foreach_zero_(self.gradients())

    def gradients(self) -> list[Tensor]:
        """Return all gradients, network and poses, in a fixed order."""
        parameters = [*self.network, *self.pose_parameters]
        return [p.grad for p in parameters if p.grad is not None]

    def clip(self) -> list[Tensor]:
        """Limit the norms of the reduced gradients; return what they were."""
        groups = [group for group in (self.network, self.pose_parameters) if group]
        return [nn.utils.clip_grad_norm_(group, CLIP).double() for group in groups]

    def step(self, poses: bool) -> None:
        """Take one step."""
        for optimiser in self.field_optimisers:
            optimiser.step()
        if poses:
            self.pose_optimiser.step()

    def _named(self) -> dict[str, torch.optim.Optimizer]:
        named = {f"field{i}": o for i, o in enumerate(self.field_optimisers)}
        return named | {"pose": self.pose_optimiser}

    def arrays(self) -> dict[str, Tensor]:
        """Return the tensors of all optimisers' states under flat names."""
        return {
            key: value
            for name, optimiser in self._named().items()
            for key, value in checkpoint.optimiser_arrays(name, optimiser).items()
        }

    def restore(self, arrays: dict[str, Tensor]) -> None:
        """Put back what `arrays` returned."""
        for name, optimiser in self._named().items():
            checkpoint.restore_optimiser(name, optimiser, arrays)
