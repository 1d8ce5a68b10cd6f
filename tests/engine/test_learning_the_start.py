"""The network learns a volume in its place and in its unit."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.slices import read_volume
from napari_inr_tomo.engine.warm_start import learn_volume
from napari_inr_tomo.geometry import centred
from napari_inr_tomo.inr import Box, build_field

SHAPE = (8, 12, 16)


@pytest.mark.parametrize("hull", [False, True])
def test_the_field_becomes_the_volume(hull) -> None:
    z, y, x = np.meshgrid(*(centred(n) for n in SHAPE), indexing="ij")
    spot = np.exp(-((x - 4) ** 2 + (y + 3) ** 2 + (z - 1.5) ** 2) / 12)
    volume = torch.from_numpy(0.3 * spot).float()
    occupied = volume > 0.03 if hull else None
    config = ReconstructionConfig.from_preset("fast").merged(
        {
            "inr": {
                "field": {"width": 32, "hidden_layers": 2},
                "warm_start_steps": 150,
            }
        }
    )
    said: list[tuple[float, ...]] = []
    reporter = SimpleNamespace(
        phase=lambda name: None,
        poll=lambda: 0,
        progress=lambda *numbers: said.append(numbers),
    )
    box = Box(SHAPE)
    job = SimpleNamespace(config=config, ranks=Ranks(), box=box, reporter=reporter)
    field = build_field(config.inr.field, max(SHAPE), 0)
    assert not learn_volume(job, field, volume, occupied, torch.float32)
    found = read_volume(field, box, 1, volume, occupied)
    wanted = volume if occupied is None else torch.where(occupied, volume, 0)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.97
    assert float(found.sum()) == pytest.approx(float(wanted.sum()), rel=0.15)
    assert [numbers[0] for numbers in said] == list(range(1, 151))
    assert said[-1][2] < 0.05 * said[0][2]
