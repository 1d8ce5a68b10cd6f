"""The ranks of a run and the one message they exchange per step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

TIMEOUT_S = 120.0
"""A rank that does not answer for so long is given up."""
TIMEOUT_VARIABLE = "INR_TOMO_TIMEOUT"
"""Environment variable with another number of seconds."""


@dataclass(frozen=True)
class Ranks:
    """This process among ``size`` equal ones (torchrun's environment contract)."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this rank writes files."""
        return self.rank == 0

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Add up ``tensors`` over all ranks, in place, in one all-reduce.

        One flat buffer in a fixed order keeps a resumed run bitwise equal.
        """
        if self.size == 1:
            return
        flat = torch.cat([t.detach().reshape(-1) for t in tensors])
        dist.all_reduce(flat)
        start = 0
        for tensor in tensors:
            part = flat[start : start + tensor.numel()]
            tensor.detach().copy_(part.reshape(tensor.shape))
            start += tensor.numel()

    def agree(self, value: int) -> int:
        """Return the sum of a small number over all ranks (a request of rank 0)."""
        told = torch.tensor([float(value)], device=self.device)
        self.sum([told])
        return round(float(told))

    def share(self, tensor: Tensor) -> Tensor:
        """Return rank 0's ``tensor`` on every rank (same shape and type everywhere)."""
        if self.size > 1:
            dist.broadcast(tensor, 0)
        return tensor


def connect(device: str) -> Ranks:
    """Join the other ranks, if there are any, and choose this rank's device.

    device: "auto", "cpu" or "cuda".  Several ranks on one machine take one GPU each;
    NCCL serves NVIDIA GPUs, gloo everything else.
    """
    rank = int(os.environ.get("RANK", "0"))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    use_cuda = device != "cpu" and torch.cuda.is_available()
    if use_cuda:
        chosen = torch.device("cuda", local % torch.cuda.device_count())
        torch.cuda.set_device(chosen)
    else:
        chosen = torch.device("cpu")
    if size > 1:
        nccl = use_cuda and dist.is_nccl_available() and os.name != "nt"
        dist.init_process_group(
            "nccl" if nccl else "gloo", timeout=timedelta(seconds=_patience_s())
        )
    return Ranks(rank, size, chosen)


def _patience_s() -> float:
    try:
        return max(1.0, float(os.environ.get(TIMEOUT_VARIABLE, "")))
    except ValueError:
        return TIMEOUT_S


def is_lost(error: BaseException) -> bool:
    """Tell whether an error means that another rank has gone or hangs."""
    text = str(error)
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError)
        and any(word in text for word in ("gloo", "NCCL", "ProcessGroup"))
    )


def is_broken(error: BaseException) -> bool:
    """Tell whether an error means that the graphics card itself failed or has gone."""
    full = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
    return isinstance(error, RuntimeError) and "CUDA error" in str(error) and not full


def disconnect(ranks: Ranks) -> None:
    """Leave the group; the rank must not communicate afterwards."""
    if ranks.size > 1 and dist.is_initialized():
        dist.destroy_process_group()
