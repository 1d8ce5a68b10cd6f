"""Types of numbers: coordinates, parameters and the hidden layers."""

from __future__ import annotations

import json
import platform
import time

import torch

from napari_inr_tomo import remembered
from napari_inr_tomo.config import ComputeSettings, FieldSettings
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.inr import build_field
from napari_inr_tomo.provenance import versions

TRIAL_POINTS = 4096
TRIALS, LEAST_TRIALS, ENOUGH_S = 10, 3, 1.0
"""Most and fewest steps timed in either type; the seconds after which it is enough."""
GAIN = 1.3
"""bfloat16 must be this much faster to be taken on a CPU: it is coarser."""


def types(
    settings: ComputeSettings,
    ranks: Ranks,
    field: FieldSettings,
    decided: str | None = None,
) -> tuple[torch.dtype, torch.dtype | None]:
    """Return the type of coordinates and parameters, and of the hidden layers.

    On a GPU the hidden layers work in bfloat16.  On a CPU rank 0 tries both for some
    tenths of a second: processors that list bfloat16 may well be slower in it.  What
    came out holds for all later runs of such a network on this computer, so that one
    seed has one result, whatever else the computer is doing.
    decided: what an interrupted run used ("float32" or "bfloat16"); kept on resume.
    """
    chosen = settings.precision if decided is None else decided
    if chosen == "float64":
        return torch.float64, None
    if chosen == "auto":
        if ranks.device.type == "cuda":
            chosen = "bfloat16"
        else:
            faster = int(ranks.first and _takes_bfloat16(field))
            chosen = "bfloat16" if ranks.agree(faster) else "float32"
    return torch.float32, torch.bfloat16 if chosen == "bfloat16" else None


def name(dtype: torch.dtype, hidden: torch.dtype | None) -> str:
    """Return the setting that asks for these types."""
    return str(hidden or dtype).removeprefix("torch.")


def _takes_bfloat16(field: FieldSettings) -> bool:
    """Return what was found for such a network on this computer; else find out."""
    file = remembered.file("precision.json")
    computer = [platform.node(), platform.machine(), platform.processor()]
    about = [*computer, versions()["torch"], field.model_dump()]
    known = remembered.recall(file).get(json.dumps(about))
    if not isinstance(known, bool):
        known = _bfloat16_is_faster(field)
        remembered.keep(file, json.dumps(about), known)
    return known


def _bfloat16_is_faster(settings: FieldSettings) -> bool:
    """Time steps of the field in both types, in turns, and compare the fastest."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(TRIAL_POINTS, 3, generator=random) * 2 - 1
    fields = {h: build_field(settings, 8, 0, h) for h in (None, torch.bfloat16)}
    least = dict.fromkeys(fields, float("inf"))
    start = time.perf_counter()
    for trial in range(TRIALS + 1):
        for hidden, field in fields.items():
            began = time.perf_counter()
            field(points).sum().backward()
            if trial:  # the first one warms up
                least[hidden] = min(least[hidden], time.perf_counter() - began)
        if trial >= LEAST_TRIALS and time.perf_counter() - start > ENOUGH_S:
            break
    return least[torch.bfloat16] * GAIN < least[None]
