"""Steps recorded on a GPU and played again.

A step is some hundreds of small pieces of work.  To start them one by one takes longer
than to do them, so a step whose sizes recur is recorded once, and its record is played
with other numbers in the same places (CUDA graphs).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from napari_inr_tomo.engine.gradient import Drawn

log = logging.getLogger(__name__)

USUAL = 8
"""Steps of the same sizes in a row before one is recorded; what is made only once,
like the moments of the optimisers, has to be there by then."""
MARGIN = 1.15
"""Room for samples in occupied voxels beside what a step needed."""

Result = TypeVar("Result")
Key = tuple[object, ...]


def record(work: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
    """Record work on a GPU without doing it.

    Returns what plays it, and where its results will be.  The work must not wait for
    the GPU, and everything it reads must stay where it is.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = work()
    return graph.replay, result


@dataclass(frozen=True)
class Work:
    """The two halves of a step, with what the ranks exchange in between.

    gradient: adds the gradient of a draw; returns the loss and the rays left out.
    total: adds up over the ranks.  update: given loss, request and rays left out,
    moves the parameters and returns the numbers to report.
    """

    gradient: Callable[[Drawn], tuple[Tensor, Tensor]]
    total: Callable[[list[Tensor]], None]
    update: Callable[[Tensor, Tensor, Tensor], Tensor]


class _Record:
    """A recorded step."""

    def __init__(self, work: Work, drawn: Drawn) -> None:
        self.drawn = drawn.copied()
        self.total = work.total
        self.play_gradient, found = record(lambda: work.gradient(self.drawn))
        self.loss, self.left_out = found
        self.asked = torch.zeros_like(self.loss)
        self.play_update, self.numbers = record(
            lambda: work.update(self.loss, self.asked, self.left_out)
        )

    def __call__(self, drawn: Drawn, request: int) -> Tensor:
        for here, there in zip(self.drawn.tensors, drawn.tensors, strict=True):
            here.copy_(there)
        self.asked.fill_(float(request))
        self.play_gradient()
        self.total([self.loss, self.asked])
        self.play_update()
        return self.numbers


class Recorder:
    """Decides which steps are recorded, and plays them."""

    def __init__(self, device: torch.device) -> None:
        self.works = device.type == "cuda"
        self._last: Key = ()
        self._usual = 0
        self._known: tuple[Key, _Record] | None = None

    def forget(self) -> None:
        """Drop the record: something it reads or writes has been replaced."""
        self._known, self._usual = None, 0

    def step(
        self, key: Key, drawn: Drawn, request: int, work: Callable[[], Work]
    ) -> Tensor | None:
        """Take a step by playing its record; None where it has to be done as usual.

        key: all that steps have in common which can share a record, beside their sizes.
        """
        if not self.works or not len(drawn.pixels):
            return None
        key = (*key, *drawn.sizes)
        if self._known is None or self._known[0] != key:
            self._usual = self._usual + 1 if key == self._last else 1
            self._last = key
            if self._usual <= USUAL:
                return None
            self._known = None  # its memory serves the new one
            try:
                self._known = key, _Record(work(), drawn)
            except RuntimeError as error:
                self.works = False
                log.warning("steps are not recorded on this GPU: %s", error)
                return None
        return self._known[1](drawn, request)
