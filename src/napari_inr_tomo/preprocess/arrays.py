"""The few operations that numpy and torch do not spell alike, on batches of images.

A batch is a numpy array or a torch tensor, (tilt, y, x), in float64 or bool, and stays
on its device; numbers about its tilts are numpy, (tilt,).  Operators, slices and ``@``
mean the same in both libraries.  torch is imported only where there is a tensor, or
where a card is asked for.

Every image of a batch is worked on by itself and in the same order of operations, so
on the processor the result does not depend on how many are in it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.types import FloatArray

Batch = Any
EACH = (1, 2)
"""The axes of one image."""
IN_CACHE_PX = 1 << 16
"""So many float64 stay in the cache of a core."""
_SMALL_PRODUCT = 1 << 18
"""Multiplications below which OpenBLAS starts no threads of its own."""


def card_works() -> bool:
    """Return whether torch is there and can use a graphics card; imports it."""
    try:
        import torch
    except (ImportError, OSError):
        return False
    return bool(torch.cuda.is_available())


def release_card() -> None:
    """Give memory of the card back that torch would keep for later, if it can."""
    import torch

    with suppress(RuntimeError):  # a card that has failed answers nothing any more
        torch.cuda.empty_cache()


def on_device(values: NDArray[Any], device: str) -> Batch:
    """Return an array as it is for ``cpu``, else as a tensor on that torch device."""
    if device == "cpu":
        return values
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def beside(values: NDArray[Any], batch: Batch) -> Batch:
    """Return an array, of any shape, of the kind and on the device of a batch."""
    if isinstance(batch, np.ndarray):
        return values
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(batch.device)


def to_numpy(batch: Batch) -> NDArray[Any]:
    """Return a batch as a numpy array."""
    return batch if isinstance(batch, np.ndarray) else np.asarray(batch.cpu())


def per_tilt(numbers: NDArray[Any], batch: Batch) -> Batch:
    """Return one number (tilt,) for every image, to be compared with a batch."""
    return beside(np.asarray(numbers)[:, None, None], batch)


def doubles(batch: Batch) -> Batch:
    """Return a batch in float64."""
    if isinstance(batch, np.ndarray):
        return batch.astype(np.float64, copy=False)
    return batch.double()


def row_blocks(batch: Batch, cost: int) -> list[slice]:
    """Return blocks of rows that are worked on one after the other, one on a card.

    cost: multiplications a pixel in a matrix product.  A block of an image stays in the
    cache of a core, and its products are so small that BLAS leaves them to the thread
    that asks: every tilt has one already.
    """
    height, width = batch.shape[1:]
    most = max(1, min(IN_CACHE_PX, _SMALL_PRODUCT // cost) // width)
    step = most if isinstance(batch, np.ndarray) else height
    return [slice(n, min(n + step, height)) for n in range(0, height, step)]


def by_rows(work: Callable[..., Batch], *batches: Batch) -> Batch:
    """Return what ``work`` makes of batches of one shape, block of rows by block.

    work: returns float64 of the shape of its arguments, from pixel to pixel.
    """
    blocks = row_blocks(batches[0], 1)
    if len(blocks) == 1:
        return work(*batches)
    result = np.empty(batches[0].shape)
    for rows in blocks:
        result[:, rows] = work(*(batch[:, rows] for batch in batches))
    return result


def zeros(batch: Batch, shape_yx: tuple[int, int]) -> Batch:
    """Return zeros, or False, of the kind of a batch and another image shape."""
    shape = (len(batch), *shape_yx)
    if isinstance(batch, np.ndarray):
        return np.zeros(shape, batch.dtype)
    return batch.new_zeros(shape)


def copied(batch: Batch) -> Batch:
    """Return a copy."""
    return batch.copy() if isinstance(batch, np.ndarray) else batch.clone()


def taken(batch: Batch, tilts: NDArray[np.intp]) -> Batch:
    """Return the images of some tilts, given by their increasing numbers."""
    return batch if len(tilts) == len(batch) else batch[beside(tilts, batch)]


def put(batch: Batch, tilts: NDArray[np.intp], images: Batch) -> None:
    """Replace the images of some tilts."""
    batch[beside(tilts, batch)] = images


def where(condition: Batch, yes: Batch | float, no: Batch | float) -> Batch:
    """Return ``yes`` where the condition holds, else ``no``; one of them a batch."""
    if isinstance(condition, np.ndarray):
        return np.where(condition, yes, no)
    import torch

    return torch.where(condition, yes, no)


def exp(batch: Batch) -> Batch:
    """Return the exponential."""
    return np.exp(batch) if isinstance(batch, np.ndarray) else batch.exp()


def count(marked: Batch) -> NDArray[np.intp]:
    """Return (tilt,) how many pixels are True."""
    if isinstance(marked, np.ndarray):
        return np.array([np.count_nonzero(image) for image in marked], np.intp)
    return np.asarray(marked.sum(EACH).cpu(), np.intp)


def differ(one: Batch, other: Batch) -> NDArray[np.bool_]:
    """Return (tilt,) whether two batches of bool differ anywhere."""
    return np.asarray(count(one ^ other) > 0)


def extremes(batch: Batch, among: Batch | None = None) -> tuple[FloatArray, FloatArray]:
    """Return (tilt,) least and largest value, among the True pixels where given.

    Where there are none, infinity and its negative.
    """
    low = batch if among is None else where(among, batch, np.inf)
    high = batch if among is None else where(among, batch, -np.inf)
    if isinstance(batch, np.ndarray):
        return low.min(EACH), high.max(EACH)
    return to_numpy(low.amin(EACH)), to_numpy(high.amax(EACH))


def repeated(batch: Batch, factor: int) -> Batch:
    """Return images in which every pixel has become a block of ``factor`` a side."""
    if isinstance(batch, np.ndarray):
        return batch.repeat(factor, axis=1).repeat(factor, axis=2)
    return batch.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def histogram(
    batch: Batch, among: Batch, bins: int
) -> list[tuple[NDArray[np.intp], FloatArray]]:
    """Return for every image how many of its True pixels lie in which bin.

    The bins divide the range of these pixels; counts (bins,) and edges (bins + 1,).
    """
    if isinstance(batch, np.ndarray):
        pairs = zip(batch, among, strict=True)
        return [np.histogram(image[chosen], bins) for image, chosen in pairs]
    import torch

    found = []
    for image, chosen in zip(batch, among, strict=True):
        values = image[chosen]
        span = (float(values.min()), float(values.max()))
        edges = np.histogram_bin_edges(np.asarray(span), bins)
        inner = beside(edges[1:-1], batch)
        places = torch.bucketize(values, inner, right=True)
        counts = torch.bincount(places, minlength=bins)
        found.append((np.asarray(counts.cpu(), np.intp), edges))
    return found
