"""What a run needs, in words."""

from __future__ import annotations

from typing import Any

from napari_inr_tomo.types import TiltSeries


def estimate(series: TiltSeries, config: Any, processes: int) -> str:
    """Return in words what memory and disk space a run will take."""
    import psutil

    from napari_inr_tomo import runs
    from napari_inr_tomo.runs.estimates import in_words

    shape = (int(series.mask.sum()), *series.images.shape[1:])
    poses = series.start_poses.take(series.mask)
    need = runs.estimate(config, shape, poses, processes)
    depth, height, width = need.shape_zyx
    total = need.memory_bytes * processes
    each = f" in each of {processes} processes" if processes > 1 else ""
    words = (
        f"Volume {depth} x {height} x {width} voxels (z, y, x). Memory about "
        f"{in_words(need.memory_bytes)}{each} (calculated), disk about "
        f"{in_words(need.disk_bytes)}."
    )
    free = psutil.virtual_memory().available
    if config.compute.device != "cuda" and total > free:
        words += (
            f" Only {in_words(free)} of memory are free: use a smaller size, a smaller "
            "depth or fewer processes."
        )
    return words
