"""The weight of the total variation follows the noise, judged on held-out pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inr_tomo.classic import Projector, tv_weight
from napari_inr_tomo.classic.tv import gradient, tv
from napari_inr_tomo.classic.tv_weight import (
    ITERATIONS,
    MOST_ITERATIONS,
    USUAL,
    WEIGHTS,
    choose_weight,
    natural_strength,
)
from napari_inr_tomo.simulate import simulate_series

ANGLES = np.arange(-60, 61, 6.0)


def case(dose: float | None) -> tuple[Projector, torch.Tensor, torch.Tensor]:
    made = simulate_series("porous", 32, ANGLES, dose=dose, seed=1)
    projector = Projector(ANGLES, made.truth_poses, (32, 32), 32)
    images = torch.from_numpy(made.series.images)
    return projector, images, torch.from_numpy(np.asarray(made.truth.data))


@pytest.mark.parametrize("dose", [None, 30.0])
def test_the_chosen_weight_is_near_the_best_against_the_truth(
    dose: float | None,
) -> None:
    projector, images, truth = case(dose)
    weight = choose_weight(projector, images)
    errors = {w: float((tv(projector, images, 100, w) - truth).norm()) for w in WEIGHTS}
    assert errors[weight] < 1.15 * min(errors.values())
    assert max(errors.values()) > 1.5 * errors[weight]  # the choice matters


@pytest.mark.parametrize("best", range(len(WEIGHTS)))
def test_the_search_finds_every_best_weight(best: int, monkeypatch) -> None:
    """With the errors of a curve that has one lowest point, wherever it lies."""
    projector, images, _ = case(None)
    tried: list[float] = []

    def volume_of(projector, data, iterations, weight, *_, **__):
        tried.append(weight)
        distance = abs(WEIGHTS.index(weight) - best)
        return torch.full((32, 32, 32), 1e6 * (1 + distance))

    monkeypatch.setattr(tv_weight, "tv", volume_of)
    assert choose_weight(projector, images) == WEIGHTS[best]
    assert len(tried) == len(set(tried))
    assert len(tried) * ITERATIONS <= MOST_ITERATIONS


def test_the_order_of_the_tilts_does_not_matter(monkeypatch) -> None:
    projector, images, _ = case(30.0)
    order = np.random.default_rng(0).permutation(len(ANGLES))
    mixed = Projector(ANGLES[order], projector.poses.take(order), (32, 32), 32)
    seen: list[np.ndarray] = []

    def stop_at_the_first(projector, data, iterations, weight, valid, *_, **__):
        seen.append(valid.numpy())
        raise InterruptedError

    monkeypatch.setattr(tv_weight, "tv", stop_at_the_first)
    for one, pixels in ((projector, images), (mixed, images[order])):
        with pytest.raises(InterruptedError):
            choose_weight(one, pixels)
    np.testing.assert_array_equal(seen[0][order], seen[1])


def test_noise_asks_for_a_smoother_volume() -> None:
    quiet, noisy = case(None), case(30.0)
    assert choose_weight(*quiet[:2]) < choose_weight(*noisy[:2])


def test_the_search_can_be_stopped_at_every_iteration() -> None:
    projector, images, _ = case(None)
    said: list[int] = []

    def stop(iteration: int, volume: torch.Tensor, residual: float) -> bool:
        said.append(iteration)
        return iteration >= ITERATIONS + 2

    chosen = choose_weight(projector, images, callback=stop)
    assert chosen == WEIGHTS[USUAL]  # the second was not finished
    assert said == sorted(said)
    assert set(said) == set(range(ITERATIONS + 3))


def test_a_stop_is_heard_before_the_first_weight_is_tried() -> None:
    projector, images, _ = case(None)
    said: list[int] = []

    def stop(iteration: int, volume: torch.Tensor, residual: float) -> bool:
        said.append(iteration)
        return True

    assert choose_weight(projector, images, callback=stop) == WEIGHTS[USUAL]
    assert said == [0]


def test_the_strength_is_that_of_the_minimised_sum() -> None:
    """At the minimum, x moves no further along the gradient of |r|^2 / 2 + w m TV."""
    projector, images, _ = case(30.0)
    volume = tv(projector, images, 1500, 3.0)
    strength = 3.0 * natural_strength(images)

    def total(scale: float) -> float:
        x = scale * volume
        slopes = gradient(x, torch.empty((3, *x.shape)))
        length = float((slopes**2).sum(0).sqrt().sum())
        misfit = float(((projector.forward(x) - images) ** 2).sum())
        return misfit / 2 + strength * length

    assert total(1.0) < total(0.995)
    assert total(1.0) < total(1.005)
