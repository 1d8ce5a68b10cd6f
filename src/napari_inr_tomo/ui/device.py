"""What there is to compute on, found without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from napari_inr_tomo.hardware import cores, nvidia_smi, torch_knows_cards


@dataclass(frozen=True)
class Devices:
    """What was found: GPU names, usable or not, and words for the user."""

    gpus: tuple[str, ...]
    usable: bool
    words: str


def find_devices() -> Devices:
    """Ask nvidia-smi and the installed PyTorch (worker thread)."""
    gpus = _gpus()
    count = cores()
    processor = f"the processor ({count} core{'s' if count > 1 else ''})"
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return Devices(gpus, False, "PyTorch is not installed: nothing can run")
    if not gpus:
        return Devices((), False, f"No NVIDIA GPU found: runs use {processor}")
    names = ", ".join(gpus)
    if not torch_knows_cards():
        text = (
            f"{names} found, but the installed PyTorch ({version}) is built for "
            f"processors only: runs use {processor}. Install PyTorch for CUDA"
        )
        return Devices(gpus, False, text)
    cards = f"{len(gpus)} GPUs" if len(gpus) > 1 else "1 GPU"
    return Devices(gpus, True, f"{cards}: {names}")


def _gpus() -> tuple[str, ...]:
    lines = nvidia_smi("--query-gpu=name,memory.total", "--format=csv,noheader")
    rows = [line.partition(",") for line in lines]
    return tuple(  # what has no comma is what went wrong, in words
        f"{name.strip()} ({memory.strip()})" for name, _, memory in rows if memory
    )
