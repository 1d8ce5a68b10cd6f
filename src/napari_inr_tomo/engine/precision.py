"""Types of numbers: coordinates, parameters and the hidden layers."""

from __future__ import annotations

import time

import torch

from napari_inr_tomo.config import ComputeSettings, FieldSettings
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.inr import build_field

TRIAL_POINTS = 4096
TRIALS = 10
GAIN = 1.1
"""bfloat16 must be this much faster to be taken on a CPU: it is coarser."""


def types(
    settings: ComputeSettings,
    ranks: Ranks,
    field: FieldSettings,
    decided: str | None = None,
) -> tuple[torch.dtype, torch.dtype | None]:
    """Return the type of coordinates and parameters, and of the hidden layers.

    On a GPU the hidden layers work in bfloat16.  On a CPU rank 0 tries both for some
    tenths of a second: processors that list bfloat16 may well be slower in it.
    decided: what an interrupted run used ("float32" or "bfloat16"); kept on resume.
    """
    chosen = settings.precision if decided is None else decided
    if chosen == "float64":
        return torch.float64, None
    if chosen == "auto":
        if ranks.device.type == "cuda":
            chosen = "bfloat16"
        else:
            faster = int(ranks.first and _bfloat16_is_faster(field))
            chosen = "bfloat16" if ranks.agree(faster) else "float32"
    return torch.float32, torch.bfloat16 if chosen == "bfloat16" else None


def name(dtype: torch.dtype, hidden: torch.dtype | None) -> str:
    """Return the setting that asks for these types."""
    return str(hidden or dtype).removeprefix("torch.")


def _bfloat16_is_faster(settings: FieldSettings) -> bool:
    """Time steps of the field in both types, in turns, and compare the fastest."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(TRIAL_POINTS, 3, generator=random) * 2 - 1
    fields = {h: build_field(settings, 8, 0, h) for h in (None, torch.bfloat16)}
    least = dict.fromkeys(fields, float("inf"))
    for trial in range(TRIALS + 1):
        for hidden, field in fields.items():
            began = time.perf_counter()
            field(points).sum().backward()
            if trial:  # the first one warms up
                least[hidden] = min(least[hidden], time.perf_counter() - began)
    return least[torch.bfloat16] * GAIN < least[None]
