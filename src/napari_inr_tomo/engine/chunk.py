"""How many points of the network are in work at once: what bounds the memory."""

from __future__ import annotations

import torch

from napari_inr_tomo.config import FieldSettings

CPU_POINTS = 1 << 14
GPU_POINTS = 1 << 18
"""Most points in work: enough to fill the processor, more would only take memory."""
GPU_SHARE = 0.5
"""Share of the card's free memory that a chunk may take."""


def points_per_chunk(device: torch.device, field: FieldSettings) -> int:
    """Return the points whose activations are held at once on ``device``.

    On a GPU at most `GPU_SHARE` of what is free now, by
    `FieldSettings.bytes_per_point`; a power of two.
    """
    if device.type != "cuda":
        return CPU_POINTS
    free, _ = torch.cuda.mem_get_info(device)
    return fitting(GPU_SHARE * free / field.bytes_per_point(2))


def fitting(points: float) -> int:
    """Return the largest power of two up to ``points``, within what makes sense."""
    return min(GPU_POINTS, max(1 << 10, 1 << max(0, int(points).bit_length() - 1)))
