"""Recorded steps on the CPU: what would be played on a GPU is done there at once."""

from __future__ import annotations

import pytest
import torch
from test_readback import gpu_like, trainer
from torch.utils._python_dispatch import TorchDispatchMode

from napari_inr_tomo.engine import recorded
from napari_inr_tomo.engine.training import Trainer

WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "lift_fresh", "equal")


class Names(TorchDispatchMode):
    """Notes what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record after two alike: the epochs here have four, and a shorter one."""
    monkeypatch.setattr(recorded, "USUAL", 2)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a record on the CPU be the work itself; counts how often one is played."""
    count = [0]

    def record(work):
        kept = [t.clone() for t in _tensors(work())]  # once to know the results

        def play() -> None:
            count[0] += 1
            for here, now in zip(kept, _tensors(work()), strict=True):
                here.copy_(now)

        return play, tuple(kept) if len(kept) > 1 else kept[0]

    monkeypatch.setattr(recorded, "record", record)
    return count


def _tensors(result) -> tuple[torch.Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def recording() -> Trainer:
    made = gpu_like(trainer())
    made.recorder.works = True
    return made


def gradients(made: Trainer) -> torch.Tensor:
    return torch.cat([g.reshape(-1) for g in made.optimisers.gradients()])


def prepared(share: float | None) -> tuple[Trainer, tuple[torch.Tensor, ...]]:
    made = trainer()
    for parameter in made.poses.parameters():
        parameter.requires_grad_(True)
    drawn = made.gradient.draw(made.sampler.step(0, 0), 0, 0)
    made.optimisers.zero_grad()
    return made, made.gradient.add(drawn, 15, 1 << 14, share)


def test_fixed_sizes_give_the_same_gradient() -> None:
    made, (loss, _) = prepared(None)
    wanted = gradients(made)
    drawn = made.gradient.draw(made.sampler.step(0, 0), 0, 0)
    share = made.gradient.occupied_share(drawn, 15)
    assert 0.2 < share < 0.9
    for room in (1.01 * share, 1.0):
        other, (found, left_out) = prepared(room)
        assert left_out == 0
        torch.testing.assert_close(found, loss)
        torch.testing.assert_close(gradients(other), wanted, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(other.tilt_error, made.tilt_error)


def test_rays_without_room_are_left_out_whole() -> None:
    made, (loss, _) = prepared(None)
    short, (found, left_out) = prepared(0.2)
    assert 0 < left_out < 200
    assert 0 < found < loss
    counted = made.tilt_error[1].sum() - short.tilt_error[1].sum()
    assert counted == left_out


def test_played_steps_train_as_others_do(played) -> None:
    weights = []
    for made in (trainer(), recording()):
        made.config = made.config.merged({"inr": {"schedule": {"epochs": 4}}})
        made.inr = made.config.inr
        made.run(lambda: 0, lambda report: False, lambda loss: None)
        parameters = [*made.field.parameters(), *made.poses.parameters()]
        weights.append(torch.cat([p.detach().reshape(-1).double() for p in parameters]))
    assert played[0] > 0
    # recording on the CPU does the work once more than needed
    distance = (weights[1] - weights[0]).norm() / weights[0].norm()
    assert distance < 0.05


def test_what_is_recorded_waits_for_nothing_and_sends_nothing() -> None:
    made = recording()
    made._step(0)
    drawn = made.gradient.draw(made.sampler.step(0, 1), 0, 1)
    work = made._work(drawn, 15, True)
    with Names() as names:
        loss, left_out = work.gradient(drawn)
        numbers = torch.stack([loss, left_out, *made.optimisers.clip()])
        made.optimisers.field_optimisers[1].step()
        made.poses.pin()
    assert len(names.names) > 300
    assert numbers.isfinite().all()
    assert not set(names.names) & set(WAITS)


def test_too_little_room_is_noticed_and_given(played, monkeypatch) -> None:
    monkeypatch.setattr("napari_inr_tomo.engine.training.MARGIN", 0.5)
    made = recording()
    made.config = made.config.merged({"inr": {"schedule": {"epochs": 12}}})
    made.inr = made.config.inr
    forgotten = []
    whole = made.recorder.forget
    monkeypatch.setattr(
        made.recorder, "forget", lambda: (forgotten.append(1), whole())[1]
    )
    made.run(lambda: 0, lambda report: False, lambda loss: None)
    assert forgotten


def test_without_records_it_goes_on_as_usual(monkeypatch, caplog) -> None:
    def record(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(recorded, "record", record)
    made = recording()
    made.config = made.config.merged({"inr": {"schedule": {"epochs": 4}}})
    made.inr = made.config.inr
    losses = []
    made.run(lambda: 0, lambda report: bool(losses.append(report.loss)), lambda _: None)
    assert len(losses) == 4 * made.sampler.steps
    assert not made.recorder.works
    assert "not recorded" in caplog.text
