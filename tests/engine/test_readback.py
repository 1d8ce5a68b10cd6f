"""Numbers of a step are read later, in order, none lost; a step waits for nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine.chunk import GPU_POINTS, fitting
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.readback import Readback
from napari_inr_tomo.engine.training import Diverged, Trainer
from napari_inr_tomo.inr import Box, LearnedPoses, build_field
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

CPU = torch.device("cpu")


class Waits(TorchDispatchMode):
    """Counts the operations for whose answer a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = name == "index" and any(
            t is not None and t.dtype == torch.bool for t in args[1]
        )
        if masks or name in ("_local_scalar_dense", "nonzero", "masked_select"):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def trainer(occupied: bool = True) -> Trainer:
    made = simulate_series("chiral", (15, 13), np.arange(-60, 61, 30.0), seed=3)
    config = ReconstructionConfig.from_preset("fast", compute={"precision": "float32"})
    config = config.merged(
        {
            "inr": {
                "field": {"width": 16, "hidden_layers": 1},
                "loss": {"tv_weight": 1e-3, "tv_points": 200},
                "schedule": {"epochs": 1, "batch_rays": 200, "learning_rate": 1e-3},
                "poses": {"start_epoch": 0},
            }
        }
    )
    box = Box((15, 15, 13))
    mask = torch.zeros(box.shape_zyx, dtype=torch.bool)
    mask[3:12] = True
    poses = LearnedPoses(made.series.angles_deg, Poses.zeros(5), 2)
    stack = Stack.load(made.series.images, None, CPU)
    field = build_field(config.inr.field, 15, 1)
    whole = mask if occupied else None
    return Trainer(stack, field, poses, box, whole, config, Ranks())


def gpu_like(made: Trainer) -> Trainer:
    """Let a trainer on the CPU do as on a GPU."""
    made.gradient.compact = False
    made._readback.lag = 8
    return made


def test_somebody_may_look_at_the_field_within_a_step() -> None:
    made, seen = trainer(), []
    made.points_per_chunk = 300  # several pieces a step
    made.between = lambda: seen.append(made.field.weights[0].detach().clone())
    made.run(lambda: 0, lambda report: True, lambda holdout: None)  # one step
    assert len(seen) > 2
    assert all(torch.equal(weights, seen[0]) for weights in seen)


def test_numbers_come_in_order_after_the_lag() -> None:
    queue = Readback(CPU)
    queue.lag = 3
    seen = []
    for step in range(7):
        queue.put(float(step), torch.tensor([10.0 * step]))
        seen += list(queue.due())
    assert seen == [(float(s), [10.0 * s]) for s in range(4)]
    assert [p for p, _ in queue.ahead()] == [4.0, 5.0, 6.0]
    assert [p for p, _ in queue.rest()] == [4.0, 5.0, 6.0]
    assert not list(queue.rest())


@pytest.mark.parametrize(("occupied", "finds"), [(False, 0), (True, 1)])
def test_a_step_on_a_gpu_waits_at_most_for_its_occupied_points(occupied, finds) -> None:
    made = gpu_like(trainer(occupied))
    made._step(0)  # constants are made in the first step
    pixels = made.sampler.step(0, 1)  # found on the CPU beside the GPU
    object.__setattr__(made.sampler, "step", lambda epoch, step: pixels)
    made.optimisers.step = lambda moving: None  # torch's own; counts steps on the CPU
    with Waits() as waits:
        made._step(0)
    assert waits.names == ["nonzero"] * finds


def test_late_reading_changes_no_result() -> None:
    results = []
    for made in (trainer(), gpu_like(trainer())):
        losses: list[float] = []

        def note(report, losses=losses) -> bool:
            losses.append(report.loss)
            return False

        made.run(lambda: 0, note, lambda loss: None)
        weights = torch.cat([p.detach().reshape(-1) for p in made.field.parameters()])
        results.append((losses, weights))
    (early, one), (late, other) = results
    assert len(early) == len(late) == 5
    np.testing.assert_allclose(late, early, rtol=1e-4)
    torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("lag", [0, 2, 8])
def test_divergence_is_never_missed(lag) -> None:
    made = trainer()
    made._readback.lag = lag
    made.stack.images[:] = float("nan")
    with pytest.raises(Diverged):
        made.run(lambda: 0, lambda report: False, lambda loss: None)
    settled = trainer()
    settled._readback.lag = 8
    settled.stack.images[:] = float("nan")
    settled._step(0)
    with pytest.raises(Diverged):
        settled.settle()


def test_a_chunk_fits_the_card() -> None:
    assert fitting(1e9) == GPU_POINTS
    assert fitting(100_000) == 65536
    assert fitting(10) == 1024
    field = ReconstructionConfig.from_preset("paper").inr.field
    assert fitting(0.5 * 16e9 / field.bytes_per_point(2)) == GPU_POINTS
