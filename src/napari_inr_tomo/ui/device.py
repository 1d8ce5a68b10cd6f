"""What there is to compute on, found without importing torch."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from importlib import metadata

TIMEOUT_S = 15


@dataclass(frozen=True)
class Devices:
    """What was found: GPU names, usable or not, and words for the user."""

    gpus: tuple[str, ...]
    usable: bool
    words: str


def find_devices() -> Devices:
    """Ask nvidia-smi and the installed PyTorch's version (worker thread)."""
    gpus = _gpus()
    cores = os.cpu_count() or 1
    processor = f"the processor ({cores} core{'s' if cores > 1 else ''})"
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Devices(gpus, False, "PyTorch is not installed: nothing can run")
    if not gpus:
        return Devices((), False, f"No NVIDIA GPU found: runs use {processor}")
    names = ", ".join(gpus)
    if "+cpu" in version:
        text = (
            f"{names} found, but the installed PyTorch ({version}) is built for "
            f"processors only: runs use {processor}. Install PyTorch for CUDA"
        )
        return Devices(gpus, False, text)
    count = f"{len(gpus)} GPUs" if len(gpus) > 1 else "1 GPU"
    return Devices(gpus, True, f"{count}: {names}")


def _gpus() -> tuple[str, ...]:
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    found = []
    for line in answer.stdout.splitlines():
        name, _, memory = line.partition(",")
        if name.strip():
            found.append(
                f"{name.strip()} ({memory.strip()})" if memory else name.strip()
            )
    return tuple(found)
