"""Every pixel once an epoch, the same for every number of ranks, nothing stored."""

from __future__ import annotations

import pytest
import torch

from napari_inr_tomo.engine.sampling import PixelSampler, generator, mix, permuted


@pytest.mark.parametrize("count", [1, 2, 3, 64, 65, 1000, 12345])
def test_permutation_is_one_to_one(count) -> None:
    order = permuted(torch.arange(count), count, key=11)
    assert torch.equal(order.sort().values, torch.arange(count))


def test_epochs_are_shuffled_and_differ() -> None:
    a = permuted(torch.arange(5000), 5000, 1).double()
    b = permuted(torch.arange(5000), 5000, 2).double()
    still = torch.arange(5000).double()
    for x, y in ((a, still), (b, still), (a, b)):
        assert abs(float(torch.corrcoef(torch.stack([x, y]))[0, 1])) < 0.06


def test_an_epoch_holds_every_training_pixel_once() -> None:
    sampler = PixelSampler(1003, 100, seed=4, holdout=0.2)
    seen = torch.cat([sampler.step(2, s) for s in range(sampler.steps)])
    everything = torch.arange(1003)
    wanted = everything[~sampler.held_out(everything)]
    assert torch.equal(seen.sort().values, wanted)


def test_holdout_is_a_fixed_share_apart_from_training() -> None:
    sampler = PixelSampler(20_000, 512, seed=7, holdout=0.2)
    held = torch.cat(list(sampler.holdout_batches(100_000)))
    assert len(held) == pytest.approx(4000, rel=0.06)
    train = torch.cat([sampler.step(0, s) for s in range(sampler.steps)])
    assert not set(held.tolist()) & set(train.tolist())
    few = torch.cat(list(sampler.holdout_batches(100)))
    assert len(few) == 100
    assert set(few.tolist()) <= set(held.tolist())


def test_hash_is_even_and_depends_on_the_key() -> None:
    values = mix(torch.arange(100_000), 3).double() / 2**31
    assert abs(float(values.mean()) - 0.5) < 0.01
    assert abs(float(values.std()) - 12**-0.5) < 0.01
    assert not torch.equal(mix(torch.arange(9), 1), mix(torch.arange(9), 2))


def test_generator_is_a_function_of_its_key() -> None:
    cpu = torch.device("cpu")
    one, two, other = (
        torch.rand(4, generator=generator(cpu, *key))
        for key in ((1, 2, 3), (1, 2, 3), (1, 3, 2))
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
