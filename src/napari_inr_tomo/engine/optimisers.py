"""The optimisers of a run: network (Adam, Muon for hidden matrices) and poses."""

from __future__ import annotations

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
        rate = schedule.learning_rate * scale
        self.field_optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(others, lr=rate)
        ]
        self.heights = [rate]
        if matrices and schedule.hidden_learning_rate:
            rate = schedule.hidden_learning_rate * scale
            self.field_optimisers.append(Muon(matrices, lr=rate))
            self.heights.append(rate)
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
            [{"params": angles}, {"params": [poses.shift_px]}], lr=pose.learning_rate_px
        )

    def wants(self, parameter: nn.Parameter) -> bool:
        """Return whether a pose parameter is learnt in this run."""
        return id(parameter) in self._wanted

    def set_rates(self, network: float, poses: float) -> None:
        """Set the factors on the heights of the learning rates."""
        for optimiser, height in zip(self.field_optimisers, self.heights, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = height * network
        groups = self.pose_optimiser.param_groups
        for group, height in zip(groups, self.pose_heights, strict=True):
            group["lr"] = height * poses

    @property
    def learning_rate(self) -> float:
        """The network's present Adam step."""
        return float(self.field_optimisers[0].param_groups[0]["lr"])

    def zero_grad(self) -> None:
        """Set all gradients to zero (not None: every rank sends the same buffers)."""
        for parameter in [*self.network, *self.pose_parameters]:
            parameter.grad = torch.zeros_like(parameter)

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
