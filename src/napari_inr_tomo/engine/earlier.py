"""The network of an earlier run, to go on with when more tilts have come.

The run folder holds a copy of that run's last checkpoint in ``start``: it can be moved
to another computer, and the earlier run deleted.  Only network, occupied voxels and
the scale of the intensities are taken from it; moments and progress begin anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_inr_tomo.config import FieldSettings
from napari_inr_tomo.engine import checkpoint
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.inr import Box, Field

_MOST_TILTS = 100_000


@dataclass(frozen=True)
class Earlier:
    """What an earlier run had learnt.

    weights: parameters of the network by name.  occupied: (z, y, x) bool or None.
    scale: what its intensities were divided by.  tilts: how many it had; tv_weight: of
    its loss.
    """

    weights: dict[str, Tensor]
    occupied: Tensor | None
    scale: float
    tilts: int
    tv_weight: float

    def into(self, field: Field) -> None:
        """Give the weights to a field; ValueError where they are not of its kind."""
        own = dict(field.named_parameters())
        checkpoint.same_shapes(dict(own), self.weights)
        for name, parameter in own.items():
            parameter.data.copy_(self.weights[name])

    def tv_weight_for(self, tilts: int) -> float:
        """Return the weight of the total variation for another number of tilts.

        The noise that back-projection collects grows as the root of their number, the
        sum of squares as the number (`engine.tv_weight.network_weight`).
        """
        return self.tv_weight * math.sqrt(self.tilts / tilts)


def load_earlier(folder: Path, settings: FieldSettings, box: Box) -> Earlier:
    """Read the checkpoint in ``folder``; raises `UserError` where it does not fit."""
    largest = checkpoint.largest(settings, box, _MOST_TILTS)
    loaded = checkpoint.load(folder, largest)
    if loaded is None:
        raise _unfit("the checkpoint in its folder start is damaged or missing")
    arrays, info, _ = loaded
    try:
        return _earlier(arrays, info, box)
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        words = " ".join(str(error).split())[:300] or type(error).__name__
        raise _unfit(f"its checkpoint does not fit: {words}") from error


def _earlier(arrays: dict[str, Tensor], info: dict[str, Any], box: Box) -> Earlier:
    occupied = arrays.get("start/occupied")
    if occupied is not None:
        wanted = torch.empty(box.shape_zyx, dtype=torch.bool)
        checkpoint.same_shapes({"occupied": wanted}, {"occupied": occupied})
    scale, weight = float(info["scale"]), float(arrays["start/tv_weight"])
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(weight)):
        raise ValueError(f"its scale is {scale} and its TV weight {weight}")
    kept = "best/field/" if any(n.startswith("best/") for n in arrays) else "field/"
    weights = {
        name.removeprefix(kept): values
        for name, values in arrays.items()
        if name.startswith(kept)
    }
    tilts = max(1, len(arrays["start/poses"]))
    return Earlier(weights, occupied, scale, tilts, weight)


def _unfit(why: str) -> UserError:
    return UserError(
        "The run cannot go on with the network of the earlier one",
        why,
        "Start the reconstruction from the beginning, or from another run",
    )
