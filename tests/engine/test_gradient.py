"""What a step adds to the gradient is in proportion to the weights of the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.gradient import StepGradient
from napari_inr_tomo.inr import Box, LearnedPoses, build_field
from napari_inr_tomo.types import Poses

ANGLES = np.array([-40.0, 0.0, 40.0])
SHAPE = (6, 8)
CPU = torch.device("cpu")


def added(
    tv_weight: float, scale: float = 1.0, at_once: int = 10_000, valid=None
) -> tuple[list[torch.Tensor], StepGradient, float]:
    """Return the gradient of one step over all pixels, its maker and the loss."""
    config = ReconstructionConfig.from_preset("fast").merged(
        {
            "inr": {
                "field": {"width": 12, "hidden_layers": 1},
                "loss": {"kind": "l2", "tv_points": 64},
            }
        }
    )
    rng = np.random.default_rng(0)
    images = rng.random((3, *SHAPE), np.float32)
    stack = Stack.load(images, valid, CPU, torch.float64, scale)
    field = build_field(config.inr.field, 8, 0).double()
    poses = LearnedPoses(ANGLES, Poses.zeros(3), 1)
    step = StepGradient(
        stack, field, poses, Box((6, *SHAPE)), None, config.inr.loss, Ranks(), 5,
        tv_weight,
    )  # fmt: skip
    for parameter in [*field.parameters(), *poses.parameters()]:
        parameter.grad = torch.zeros_like(parameter)
    loss, _ = step.add(step.draw(torch.arange(stack.pixels), 0, 0), 6, at_once)
    every = [p.grad for p in [*field.parameters(), *poses.parameters()]]
    return every, step, float(loss)


def test_the_total_variation_counts_by_its_weight() -> None:
    none, one, three = (added(weight)[0] for weight in (0.0, 0.1, 0.3))
    moved = 0.0
    for a, b, c in zip(none, one, three, strict=True):
        torch.testing.assert_close(c - a, 3 * (b - a), rtol=1e-6, atol=1e-12)
        moved = max(moved, float((b - a).abs().max()))
    assert moved > 1e-4


@pytest.mark.parametrize("at_once", [1, 40, 200])
def test_the_size_of_the_chunks_changes_nothing(at_once: int) -> None:
    whole, _, loss = added(0.1)
    parts, _, same = added(0.1, at_once=at_once)
    assert same == pytest.approx(loss)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-12)


def test_the_residual_of_every_tilt_is_noted_and_masked_pixels_are_not() -> None:
    valid = np.ones((3, *SHAPE), bool)
    valid[0, :2] = valid[2, :, 5:] = False
    _, step, loss = added(0.0, valid=valid)
    squares, weights = step.tilt_error
    assert weights.tolist() == valid.sum((1, 2)).tolist()
    assert (squares > 0).all()
    assert float(squares.sum()) / valid.size == pytest.approx(loss)
