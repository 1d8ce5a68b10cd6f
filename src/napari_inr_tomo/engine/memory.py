"""Running out of memory: told from other errors, and answered with smaller pieces."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

log = logging.getLogger(__name__)

LEAST_POINTS = 256
"""Pieces of a step do not get smaller than this many points."""

_WORDS = ("can't allocate memory", "out of memory", "cublas_status_alloc_failed")
_Result = TypeVar("_Result")


def is_full(error: BaseException) -> bool:
    """Tell whether an error means that no memory was left, main or of a GPU.

    numpy raises MemoryError, torch OutOfMemoryError on a GPU and RuntimeError on a CPU.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in _WORDS)


def in_pieces(work: Callable[[int], _Result], size: int) -> tuple[_Result, int]:
    """Return ``work(size)``, with half the size as often as memory runs out.

    Also returns the size that fitted.  ``work`` starts from the beginning every time.
    """
    while True:
        try:
            return work(size), size
        except (MemoryError, RuntimeError) as error:
            if not is_full(error) or size <= LEAST_POINTS:
                raise
            log.warning("memory is full; trying %d points at once", size // 2)
        size //= 2  # outside of the handler: the error holds on to tensors
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
