"""A damaged checkpoint is found out and the one before it used."""

from __future__ import annotations

import os

import numpy as np
import torch

from in_use import InUse
from napari_inr_tomo import atomic
from napari_inr_tomo.engine import checkpoint


def save(folder, step: int, value: float) -> None:
    arrays = {"a/b": torch.full((3, 2), value, dtype=torch.float64)}
    checkpoint.save(folder, step, arrays, {"step": step})


def test_round_trip_and_two_kept(tmp_path) -> None:
    for step in (1, 2, 30):
        save(tmp_path, step, step)
    arrays, info, damaged = checkpoint.load(tmp_path)
    assert info == {"step": 30}
    assert torch.equal(arrays["a/b"], torch.full((3, 2), 30.0, dtype=torch.float64))
    assert damaged == []
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [
        "step-000000002.npz",
        "step-000000002.sha256",
        "step-000000030.npz",
        "step-000000030.sha256",
    ]


def test_one_that_is_copied_just_now_goes_with_a_later_save(
    tmp_path, monkeypatch
) -> None:
    save(tmp_path, 1, 1.0)
    save(tmp_path, 2, 2.0)
    monkeypatch.setattr(atomic, "BUSY_S", 0.02)
    with monkeypatch.context() as copied:
        copied.setattr(os, "unlink", InUse(os.unlink, "step-000000001.npz"))
        save(tmp_path, 3, 3.0)
        assert checkpoint.load(tmp_path)[1] == {"step": 3}
        checkpoint.clear(tmp_path)
    names = [path.name for path in tmp_path.iterdir()]
    assert names == ["step-000000001.npz"]
    save(tmp_path, 4, 4.0)
    save(tmp_path, 5, 5.0)
    assert not (tmp_path / "step-000000001.npz").exists()


def test_nothing_there(tmp_path) -> None:
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "absent") is None


def test_every_flipped_bit_is_found(tmp_path) -> None:
    save(tmp_path, 1, 1.0)
    save(tmp_path, 2, 2.0)
    path = tmp_path / "step-000000002.npz"
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 40):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        _, info, damaged = checkpoint.load(tmp_path)
        assert info == {"step": 1}
        assert damaged == [path.name]


def test_half_written_file_is_passed_over(tmp_path) -> None:
    save(tmp_path, 1, 1.0)
    save(tmp_path, 2, 2.0)
    path = tmp_path / "step-000000002.npz"
    path.write_bytes(path.read_bytes()[:100])
    assert checkpoint.load(tmp_path)[1] == {"step": 1}


def test_adam_goes_on_as_if_never_interrupted() -> None:
    def fresh():
        weight = torch.nn.Parameter(torch.ones(3))
        return weight, torch.optim.Adam([weight], lr=0.1)

    def step(weight, optimiser) -> None:
        optimiser.zero_grad()
        (weight**2).sum().backward()
        optimiser.step()

    straight, optimiser = fresh()
    for _ in range(6):
        step(straight, optimiser)
    first, optimiser = fresh()
    for _ in range(3):
        step(first, optimiser)
    arrays = checkpoint.optimiser_arrays("x", optimiser)
    second, optimiser = fresh()
    second.data.copy_(first.data)
    checkpoint.restore_optimiser("x", optimiser, arrays)
    for _ in range(3):
        step(second, optimiser)
    assert torch.equal(second, straight)
