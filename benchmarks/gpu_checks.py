"""What a card computes beside what the processor computes, from the same numbers.

Every check returns an error and the tolerance it must stay within.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from gpu_background import background_check
from torch import Tensor

from napari_inr_tomo.classic import Projector
from napari_inr_tomo.config import FieldSettings, ReconstructionConfig
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.slices import read_volume
from napari_inr_tomo.engine.training import Trainer
from napari_inr_tomo.inr import Box, LearnedPoses, Rays, build_field, render
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

CPU = torch.device("cpu")
EXACT = 1e-3
"""float32 in another order of summation; bfloat16 has 8 bits of fraction."""
COARSE = 1e-2
TRAINED = 0.02
"""A card draws other random places on the rays, which makes a thousandth; rays that are
a tenth wrong make 0.08."""

Check = Callable[[torch.device], tuple[float, float]]


def difference(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Return the largest relative distance |a - b| / |b| of pairs of tensors."""
    distances = []
    for a, b in zip(found, wanted, strict=True):
        a, b = a.detach().cpu().double(), b.detach().cpu().double()
        distances.append(float((a - b).norm() / b.norm().clamp(min=1e-30)))
    return max(distances) if all(np.isfinite(distances)) else float("inf")


def _projector(device: torch.device) -> Projector:
    count = 9
    rng = np.random.default_rng(0)
    poses = Poses.from_array(
        np.column_stack([np.full(count, -7.0), np.full(count, 7.0), *rng.normal(
            size=(2, count))])
    )  # fmt: skip
    return Projector(np.linspace(-60, 60, count), poses, (33, 45), 29, device)


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def projector_forward(device: torch.device) -> tuple[float, float]:
    """Project a volume with the axis turned and every tilt shifted."""
    here, there = _projector(CPU), _projector(device)
    volume = _noise(here.shape_zyx, 0)
    wanted = here.forward(volume)
    return difference([there.forward(volume.to(device))], [wanted]), EXACT


def projector_adjoint(device: torch.device) -> tuple[float, float]:
    """Project images back with the axis turned and every tilt shifted."""
    here, there = _projector(CPU), _projector(device)
    images = _noise(here.shape_tyx, 1)
    wanted = here.adjoint(images)
    return difference([there.adjoint(images.to(device))], [wanted]), EXACT


def _field(
    device: torch.device, preset: str, hidden: torch.dtype | None
) -> list[Tensor]:
    """Return densities and the gradients of all weights and coordinates."""
    field = build_field(settings(preset), 32, 0, hidden).to(device)
    points = (2 * _noise((3001, 3), 2) - 1).to(device).requires_grad_(True)
    density = field(points)
    (density**2).sum().backward()
    return [density, points.grad, *(p.grad for p in field.parameters())]


def settings(preset: str) -> FieldSettings:
    """Return the field of a preset."""
    return ReconstructionConfig.from_preset(preset).inr.field


def field_check(preset: str, backward: bool, hidden: torch.dtype | None) -> Check:
    """Return the check of a field; hidden: the type of its hidden layers."""
    part = slice(1, None) if backward else slice(1)

    def check(device: torch.device) -> tuple[float, float]:
        wanted = _field(CPU, preset, None)[part]
        found = _field(device, preset, hidden)[part]
        return difference(found, wanted), EXACT if hidden is None else COARSE

    return check


def rays(device: torch.device) -> tuple[float, float]:
    """Compare rays through the box, with the gradients of the poses."""

    def computed(device: torch.device) -> list[Tensor]:
        angles = np.linspace(-50, 50, 5)
        poses = LearnedPoses(angles, Poses.zeros(5), 2).to(device)
        field = build_field(settings("fast"), 32).to(device)
        uv = (20 * (_noise((40, 2), 3) - 0.5)).to(device)
        which = (torch.arange(40) % 5).to(device)
        places = _noise((40, 24), 4).to(device)
        box = Box((24, 31, 27))
        lines = render(field, poses, Rays(which, uv), box, places)
        (lines**2).sum().backward()
        return [lines, poses.axis_deg.grad, poses.angle_deg.grad, poses.shift_px.grad]

    return difference(computed(device), computed(CPU)), EXACT


def training(device: torch.device) -> tuple[float, float]:
    """Compare the volumes of short trainings with the same seed, in float32.

    On a card most of their steps are recorded ones.
    """
    return difference([_trained(device)], [_trained(CPU)]), TRAINED


def _trained(device: torch.device) -> Tensor:
    series = simulate_series("ellipsoids", (24, 20), np.linspace(-60, 60, 9)).series
    config = ReconstructionConfig.from_preset("fast").merged(
        {
            "inr": {
                "field": {"width": 32, "hidden_layers": 2, "omega": 10.0},
                "schedule": {"epochs": 6, "batch_rays": 128},
                "loss": {"tv_points": 50},
                "poses": {"refine": False},
            }
        }
    )
    stack = Stack.load(np.asarray(series.images), None, device)
    box = Box((20, 24, 20))
    field = build_field(config.inr.field, 24, 0).to(device)
    poses = LearnedPoses(series.angles_deg, Poses.zeros(9), 4).to(device)
    occupied = torch.zeros(box.shape_zyx, dtype=torch.bool, device=device)
    occupied[2:-2, 2:-2, 1:-3] = True
    ranks = Ranks(device=device)
    trainer = Trainer(stack, field, poses, box, occupied, config, ranks)
    trainer.run(lambda: 0, lambda _: False, lambda _: None)
    if device.type == "cuda" and not trainer.recorder.works:
        raise RuntimeError("steps cannot be recorded on this card")
    return read_volume(field, box, 1, torch.zeros(1, device=device), occupied)


def checks() -> Iterator[tuple[str, Check]]:
    """Yield every check with its name."""
    yield "projector forward", projector_forward
    yield "projector adjoint", projector_adjoint
    for preset in ("paper", "fast"):
        yield f"{preset} field forward", field_check(preset, False, None)
        yield f"{preset} field backward", field_check(preset, True, None)
        yield (
            f"{preset} field forward, bfloat16",
            field_check(preset, False, torch.bfloat16),
        )
    yield "rays forward and backward", rays
    yield "short training", training
    yield "background", background_check


def flops_per_point(field: FieldSettings) -> int:
    """Return the operations of a step for one point: matrix products alone.

    Two per weight forward, four backward.
    """
    sizes = [3, *[field.width] * (field.hidden_layers + 1), 1]
    return 6 * sum(a * b for a, b in pairwise(sizes))
