"""Masks as text, so that a history can be replayed."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.types import BoolArray


def encode_mask(mask: ArrayLike) -> dict[str, Any]:
    """Return a JSON-able dictionary of a mask of any shape; nonzero is True."""
    marked = np.asarray(mask) != 0
    packed = zlib.compress(np.packbits(marked).tobytes(), 9)
    return {
        "shape": list(marked.shape),
        "packed": base64.b64encode(packed).decode("ascii"),
    }


def decode_mask(value: Mapping[str, Any]) -> BoolArray:
    """Return the mask that `encode_mask` was given."""
    shape = tuple(int(n) for n in value["shape"])
    bits = np.frombuffer(zlib.decompress(base64.b64decode(value["packed"])), np.uint8)
    count = int(np.prod(shape))
    return np.asarray(np.unpackbits(bits, count=count).reshape(shape), bool)
