"""The network's loss and the classical TV weigh smoothness alike."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from napari_inr_tomo.classic.tv import gradient
from napari_inr_tomo.classic.tv_weight import natural_strength
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine.tv_weight import TV_SHARE, network_weight
from napari_inr_tomo.inr import Box


@pytest.mark.parametrize("kind", ["smooth_l1", "l2"])
@pytest.mark.parametrize("shape", [(24, 24, 24), (12, 20, 24)])
def test_both_losses_weigh_a_blob_alike(kind: str, shape: tuple[int, int, int]) -> None:
    tilts, beta = 7, 0.07
    box = Box(shape)
    config = ReconstructionConfig.parse({"inr": {"loss": {"kind": kind, "beta": beta}}})
    random = torch.Generator().manual_seed(0)
    images = torch.rand(tilts, *shape[1:], generator=random)
    job = SimpleNamespace(config=config, box=box)
    weight = network_weight(job, images, None)  # type: ignore[arg-type]

    place = torch.cat([p for _, p in box.lattice(1, 1 << 20, torch.zeros(1).double())])
    density = torch.exp(-(place**2).sum(1) / (2 * 0.25**2))
    slope = density[:, None] * place / 0.25**2
    pixels = tilts * shape[1] * shape[2]
    factor = {"smooth_l1": beta, "l2": 0.5}[kind] * pixels  # before sum r^2 / 2
    ours = factor * weight * float(slope.norm(dim=1).mean())

    voxels = (density * box.unit).reshape(shape)
    steps = gradient(voxels, torch.empty((3, *shape), dtype=torch.float64))
    length = float((steps**2).sum(0).sqrt().sum())
    assert ours == pytest.approx(TV_SHARE * natural_strength(images) * length, rel=0.05)
