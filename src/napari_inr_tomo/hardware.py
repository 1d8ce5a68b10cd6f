"""What there is to compute on, asked without importing torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from napari_inr_tomo.provenance import versions


def cores() -> int:
    """Return the number of cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def visible_gpus() -> int:
    """Return the number of NVIDIA cards the workers may use; imports no torch."""
    tool = shutil.which("nvidia-smi")
    if tool is None or "+cpu" in versions()["torch"]:
        return 0
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",")]
        return next((i for i, n in enumerate(names) if n in ("", "-1")), len(names))
    try:
        answer = subprocess.run(
            [tool, "-L"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
