"""Reading numbers from a GPU some steps later, so that a step waits for nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

GPU_LAG = 8
"""Steps between writing a number on a GPU and reading it."""


@dataclass(frozen=True)
class _Reading:
    position: float
    values: Tensor
    copied: torch.cuda.Event | None

    def read(self) -> tuple[float, list[float]]:
        """Return position and numbers once they are here."""
        if self.copied is not None:
            self.copied.synchronize()
        return self.position, self.values.tolist()


class Readback:
    """A queue of the numbers of every step.

    A number is read ``lag`` steps after it was put in; the count of steps decides and
    not the clock, so all ranks read the same numbers at the same step.  On a CPU the
    lag is 0.
    """

    def __init__(self, device: torch.device) -> None:
        self.lag = GPU_LAG if device.type == "cuda" else 0
        self._queue: deque[_Reading] = deque()

    def put(self, position: float, values: Tensor) -> None:
        """Begin to copy the numbers of a step.

        position: epochs after the step; values: (number,).
        """
        copied = None
        if values.device.type == "cuda":
            here = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            here.copy_(values, non_blocking=True)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
            values = here
        self._queue.append(_Reading(position, values, copied))

    def due(self) -> Iterator[tuple[float, list[float]]]:
        """Yield position and numbers of the steps that are ``lag`` steps old."""
        while len(self._queue) > self.lag:
            yield self._queue.popleft().read()

    def rest(self) -> Iterator[tuple[float, list[float]]]:
        """Yield all that is left, waiting for the GPU."""
        while self._queue:
            yield self._queue.popleft().read()

    def ahead(self) -> Iterator[tuple[float, list[float]]]:
        """Yield what is not due yet, waiting for the GPU; it stays in the queue."""
        for reading in self._queue:
            yield reading.read()
