"""Masks as text, so that a history can be replayed, and masks that follow the tilt."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import BoolArray, FloatArray


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


def check_count(mask: ArrayLike, count: int) -> None:
    """Raise `UserError` where a (tilt, y, x) mask has not one image for each tilt."""
    if len(np.asarray(mask)) != count:
        raise UserError(
            "The mask does not belong to these images",
            f"it holds {len(np.asarray(mask))} images and the series {count}",
            "Give one image for all tilts, or one for each of them",
        )


def follow_tilts(mask: ArrayLike, angles_deg: ArrayLike) -> BoolArray:
    """Return a mask for every tilt, from those of the tilts that were painted.

    mask: (tilt, y, x), nonzero is True; a tilt with nothing in it is filled in: between
    two painted ones, in the order of the angles, by the signed distance from the rim
    (Raya and Udupa 1990), beyond the last one by that one.
    angles_deg: (tilt,) degrees, in the order of the mask.
    Raises `UserError` where there is not one image for each angle.
    """
    check_count(mask, len(np.atleast_1d(angles_deg)))
    marked: BoolArray = np.array(np.asarray(mask) != 0)
    angles = np.asarray(angles_deg, np.float64)
    painted = np.flatnonzero(marked.any(axis=(1, 2)))
    painted = painted[np.argsort(angles[painted], kind="stable")]
    if len(painted) in (0, len(marked)):
        return marked
    depths = {tilt: _depth(marked[tilt]) for tilt in painted}
    known = angles[painted]
    for tilt in np.setdiff1d(np.arange(len(marked)), painted):
        after = int(np.searchsorted(known, angles[tilt]))
        low = painted[max(after - 1, 0)]
        high = painted[min(after, len(painted) - 1)]
        span = angles[high] - angles[low]
        share = (angles[tilt] - angles[low]) / span if span > 0 else 0.0
        marked[tilt] = (1 - share) * depths[low] + share * depths[high] > 0
    return marked


def _depth(marked: BoolArray) -> FloatArray:
    """Return (y, x) distance from the rim in px, positive inside."""
    inside = ndimage.distance_transform_edt(np.pad(marked, 1, mode="edge"))
    outside = ndimage.distance_transform_edt(np.pad(~marked, 1, mode="edge"))
    whole: FloatArray = inside - outside
    return whole[1:-1, 1:-1]
