"""Where the backgrounds of a series are computed, and in which batches of tilts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TypeVar

from napari_inr_tomo.hardware import cores, visible_gpus
from napari_inr_tomo.preprocess.arrays import IN_CACHE_PX, card_works, release_card
from napari_inr_tomo.preprocess.background_settings import (
    DEVICES,
    BackgroundSettings,
    check_word,
)

ON_CARD_PX = 1 << 24
"""Pixels of a batch on a card, or one image; some 150 bytes of its memory for each.
Not what happens to be free there: the same batches give the same bits again."""
PROCESSOR_S_PER_PX = {False: 1e-7, True: 3e-7}
"""Seconds of one core for large images, without and with reweighting."""
WORTH_A_CARD_S = 10.0
"""Less is not worth a card: to load torch and to wake the card takes half of it."""
_NO_CARD = "there is no graphics card that PyTorch can use"
Result = TypeVar("Result")


def device_for(
    wanted: str, pixels: int, settings: BackgroundSettings
) -> tuple[str, str]:
    """Return the device to begin with, ``cpu`` or ``cuda``, and a notice or nothing.

    wanted: as `subtract_background` takes it.  pixels: of all images together.
    ``auto`` imports torch only where the processor would need longer than that costs
    and a card has been seen.  The mean of a box is always left to the processor.
    """
    check_word("device for the background", wanted, DEVICES)
    if wanted == "cpu" or settings.kind == "box-mean":
        return "cpu", ""
    if wanted == "auto":
        seconds = pixels * PROCESSOR_S_PER_PX[settings.reweight] / cores()
        worth_it = seconds > WORTH_A_CARD_S and visible_gpus() > 0 and card_works()
        return ("cuda" if worth_it else "cpu"), ""
    if not card_works():
        return "cpu", on_processor_instead(_NO_CARD)
    return "cuda", ""


def on_processor_instead(why: str) -> str:
    """Return the notice for a background that was not computed on the card."""
    return (
        f"Background: computed on the processor, since {why}; what a card computes "
        "differs by rounding only"
    )


def in_batches(
    work: Callable[[slice], Result],
    degrees: Sequence[tuple[int, int]],
    image_px: int,
    device: str,
) -> Iterator[Result]:
    """Yield what ``work`` returns for batches of tilts with one degree, in order.

    degrees: (y, x) of every tilt.  image_px: pixels of an image.
    On the processor all cores share them; every batch is worked on by one thread alone
    and every image by itself, so the result does not depend on how many there are.
    """
    if device == "cpu":
        tilts = _batches(degrees, max(1, IN_CACHE_PX // image_px))
        with ThreadPoolExecutor(min(len(tilts), cores())) as pool:
            yield from pool.map(work, tilts)
        return
    try:
        yield from map(work, _batches(degrees, max(1, ON_CARD_PX // image_px)))
    finally:
        release_card()


def _batches(degrees: Sequence[tuple[int, int]], most: int) -> list[slice]:
    found, start = [], 0
    for _, group in groupby(degrees):
        stop = start + sum(1 for _ in group)
        found += [slice(n, min(n + most, stop)) for n in range(start, stop, most)]
        start = stop
    return found
