"""Stacks that stay on the disk: integers that look like float32 images."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray


class MappedImages(NDArrayOperatorsMixin):
    """Mapped numbers of any kind, (tilt, y, x), that are float32 where they are read.

    ``images[3]``, ``images[2:5]`` and ``images[3, 10:20]`` are float32 arrays of what
    is asked for; a list of tilts (or a mask over them) is again mapped.  Everything
    else numpy can do to an array is done to a float32 copy of the whole.

    stored: (tilt, y, x), usually a `numpy.memmap`.  fill: (tilt,) what takes the place
    of NaN and infinity, or None where all numbers are finite.
    """

    def __init__(
        self, stored: NDArray[Any], fill: NDArray[np.float32] | None = None
    ) -> None:
        self.stored, self._fill = stored, fill
        self._tilts = np.arange(len(stored))
        self.dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        """(tilt, y, x)."""
        return (len(self._tilts), *self.stored.shape[1:])

    @property
    def ndim(self) -> int:
        """Three."""
        return self.stored.ndim

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of memory it holds on to: none worth speaking of."""
        return 0

    def __len__(self) -> int:
        return len(self._tilts)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return (self[tilt] for tilt in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis or first is None:
            return np.asarray(self)[key]
        tilts = self._tilts[first]
        if not rest and isinstance(first, list | np.ndarray):
            chosen = MappedImages(self.stored, self._fill)
            chosen._tilts = tilts
            return chosen
        if tilts.ndim == 0:
            return self._image(int(tilts), tuple(rest))
        shape = self.stored[0][tuple(rest)].shape
        images = np.empty((*tilts.shape, *shape), np.float32)
        for row, tilt in enumerate(tilts):
            images[row] = self._image(int(tilt), tuple(rest))
        return images

    def _image(self, tilt: int, part: tuple[Any, ...]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):
            image = np.asarray(self.stored[tilt][part], np.float32)
        if self._fill is None:
            return image
        return np.where(np.isfinite(image), image, self._fill[tilt])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole: NDArray[Any] = self[:]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any
    ) -> Any:
        arrays = [np.asarray(i) if isinstance(i, MappedImages) else i for i in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


def map_volume(path: Path) -> NDArray[Any]:
    """Map a .npy file of a volume (z, y, x); nothing is read or allocated yet.

    Raises ``OSError``, or ``ValueError`` where the file holds anything else.
    """
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a header may provoke all
        raise ValueError(str(error) or type(error).__name__) from None
    if not isinstance(mapped, np.memmap) or mapped.ndim != 3:
        raise ValueError("it is no volume")
    if mapped.dtype.kind not in "uif" or 0 in mapped.shape:
        raise ValueError(f"its voxels are {mapped.dtype} of shape {mapped.shape}")
    return mapped


def release(images: Any) -> None:
    """Give back the memory of a file's pages that were read through a mapping.

    They are read again when they are looked at again.  Does nothing for other arrays.
    """
    base: Any = images.stored if isinstance(images, MappedImages) else images
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    mapped = getattr(base, "_mmap", None)
    if mapped is not None and base.mode == "r" and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
