"""What every benchmark writes beside its figures: machine, versions, date."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "astra-toolbox", "quantem")


def versions() -> dict[str, str | None]:
    """Return the versions of what the figures depend on; None where absent."""
    found: dict[str, str | None] = {}
    for name in (*PACKAGES, "napari-inr-tomo"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


@functools.cache
def gemm_gflops(dtype: torch.dtype = torch.float32) -> float:
    """Return what a 1024 x 1024 matrix product reaches, in GFLOP/s; measured once."""
    square = torch.rand(1024, 1024).to(dtype)
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(square, square)
        seconds.append(time.perf_counter() - start)
    return round(2 * 1024**3 / min(seconds) / 1e9, 1)


def processor() -> str:
    """Return the name of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def machine() -> dict[str, Any]:
    """Return what the times depend on; the load tells whether others worked too."""
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": [round(value, 1) for value in os.getloadavg()],
        "gemm_gflops": {
            "float32": gemm_gflops(),
            "bfloat16": gemm_gflops(torch.bfloat16),
        },
        "python": platform.python_version(),
        "versions": versions(),
    }
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found["gpus"] = {
            "count": torch.cuda.device_count(),
            "name": card.name,
            "memory_gb": round(card.total_memory / 1e9, 1),
            "cuda": torch.version.cuda,
        }
    return found


def write(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write ``figures`` with machine and date to ``folder/NAME-DATE.json``."""
    now = datetime.datetime.now(datetime.UTC)
    whole = {"date": now.isoformat(timespec="seconds"), "machine": machine()} | figures
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{now:%Y-%m-%d}.json"
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return path
