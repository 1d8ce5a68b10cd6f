"""Steps that make images smaller, some views at a time.

A stack of gigabytes stays on the disk: its views are mapped, made smaller and let go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_inr_tomo.types import TiltSeries

AT_ONCE = 1 << 27
"""Bytes of images read at once."""


def view_by_view(
    series: TiltSeries, step: Callable[[TiltSeries], TiltSeries]
) -> TiltSeries:
    """Return ``step(series)`` for a step that treats every image on its own.

    Its history and notices are those of the first part; they are the same for all.
    """
    import numpy as np

    from napari_inr_tomo.io import release

    views = max(1, AT_ONCE // max(series.images[0].nbytes, 1))
    if views >= len(series):
        return step(series)
    parts = []
    for start in range(0, len(series), views):
        chosen = slice(start, start + views)
        parts.append(step(series.take(chosen)))
        release(series.images)
    first = parts[0]
    shape = (len(series), *first.images.shape[1:])
    images, valid = np.empty(shape, np.float32), None
    if first.valid is not None:
        valid = np.empty(shape, bool)
    poses = np.empty((len(series), 4))
    for number, part in enumerate(parts):
        chosen = slice(number * views, number * views + len(part))
        images[chosen] = part.images
        poses[chosen] = part.start_poses.as_array()
        if valid is not None and part.valid is not None:
            valid[chosen] = part.valid
        parts[number] = first  # let go of what is copied
    return replace(
        first,
        images=images,
        valid=valid,
        angles_deg=series.angles_deg,
        used=series.used,
        group=series.group,
        poses=type(series.start_poses).from_array(poses),
    )
