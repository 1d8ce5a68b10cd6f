"""An alignment made elsewhere, used on this tilt series: another signal, another pixel.

The images of all signals share their field of view, so a shift in nm, or as a share of
the image, is the same for all; shifts in pixels scale with the size of the pixels about
the centre of the image (`napari_inr_tomo.geometry`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import (
    Alignment,
    FloatArray,
    Poses,
    Step,
    TiltSeries,
)

SAME_ANGLE_DEG = 0.25
"""Tilts nearer than this are the same tilt."""
_SAME_FIELD = 0.02
_MOST_NAMED = 8

Index = NDArray[np.int64]


def use_alignment(
    series: TiltSeries, alignment: Alignment, same_pixels: bool = False
) -> TiltSeries:
    """Return the series with the poses of an alignment, scaled to its pixels.

    same_pixels: it is the alignment of this very stack.
    Tilts are matched by their angle; where the alignment knows none, by their order.
    So they are in the same stack as long as the angles agree, maybe with all signs
    turned round: a pose holds for both hands, see docs/conventions.md.
    Views the alignment left out are left out here, too.  Shifts scale by the ratio of
    the pixel sizes, else of the image sizes; where neither is known they are taken as
    they are if ``same_pixels``.
    Raises `UserError` if a used tilt has no counterpart (they are named), the fields of
    view differ, the scale is unknown, or only one of the two has had its angles' signs
    turned round.
    """
    rows, notices = _counterparts(series, alignment, same_pixels)
    scale, said = _scale(series, alignment, same_pixels)
    notices += said
    used = np.array(series.mask)
    if alignment.used is not None:
        used &= alignment.used[rows]
    if not used.any():
        raise UserError(
            "No view is left",
            f"{alignment.name} has left out every tilt that is used here",
            "Take some views back in",
        )
    poses = alignment.poses.scaled(scale).take(rows)
    if alignment.cyclic:
        poses = _unwrapped(poses, series.images.shape[1:])
    if not alignment.turns:
        own = series.start_poses
        poses = replace(poses, z1_deg=own.z1_deg, z3_deg=own.z3_deg)
    dropped = int((series.mask & ~used).sum())
    if dropped:
        views = "1 view" if dropped == 1 else f"{dropped} views"
        notices.append(f"Left out here as in {alignment.name}: {views}.")
    left_out = np.flatnonzero(series.mask & ~used).tolist()
    done = set_poses(series, poses.as_array(), left_out, alignment.name, scale)
    return done.evolve(notices=(*series.notices, *alignment.notices, *notices))


def set_poses(
    series: TiltSeries,
    poses: ArrayLike,
    excluded: Sequence[int] = (),
    source: str = "given",
    scale: float = 1.0,
) -> TiltSeries:
    """Return the series with these start poses; the line in the history holds them.

    poses: (tilt, 4) z1_deg, z3_deg, dx_px, dy_px; excluded: further views to leave out,
    counted from 0; source, scale: where they came from, for the history only.
    """
    used = np.array(series.mask)
    used[[int(tilt) for tilt in excluded]] = False
    table = Poses.from_array(poses)
    parameters = {
        "poses": table.as_array().tolist(),
        "excluded": [int(tilt) for tilt in excluded],
        "source": source,
        "scale": float(scale),
    }
    return series.evolve(Step("set_poses", parameters), poses=table, used=used)


def _unwrapped(poses: Poses, shape_yx: tuple[int, ...]) -> Poses:
    """Return the poses with every shift within half an image."""
    height, width = shape_yx
    return replace(
        poses,
        dx_px=(poses.dx_px + width / 2) % width - width / 2,
        dy_px=(poses.dy_px + height / 2) % height - height / 2,
    )


def _scale(
    series: TiltSeries, alignment: Alignment, same_pixels: bool
) -> tuple[float, list[str]]:
    """Return pixels of the series per pixel of the alignment, and what to say of it."""
    own, other = series.pixel_size_nm, alignment.pixel_size_nm
    if own is not None and other is not None:
        scale = other / own
        said = [] if np.isclose(scale, 1, rtol=1e-4) else [_in_words(scale, own, other)]
        return scale, said + _field_doubt(series, alignment, scale)
    if alignment.shape_yx is not None:
        height, width = series.images.shape[1:]
        ratio_y, ratio_x = height / alignment.shape_yx[0], width / alignment.shape_yx[1]
        if abs(ratio_y / ratio_x - 1) > _SAME_FIELD:
            raise UserError(
                "The scale of the alignment is unknown",
                f"{alignment.name} was made on {_size(alignment.shape_yx)} pixels, "
                f"these images have {_size((height, width))}, and not both pixel sizes "
                "are known",
                "Set the pixel sizes of both series",
            )
        scale = (ratio_x + ratio_y) / 2
        if scale == 1:
            return 1.0, []
        return scale, [
            f"The shifts were multiplied by {scale:.4g}, the ratio of the image sizes: "
            "both series must show the same field of view."
        ]
    if same_pixels:
        return 1.0, []
    raise UserError(
        "The scale of the alignment is unknown",
        f"{alignment.name} says nothing about the size of its pixels or images",
        "Give the aligned stack or the run folder itself; or, where the pixels are the "
        "same, use it as an alignment file (--poses)",
    )


def _in_words(scale: float, own_nm: float, other_nm: float) -> str:
    return (
        f"The shifts were multiplied by {scale:.4g}: the pixels there are "
        f"{other_nm:.4g} nm, here {own_nm:.4g} nm."
    )


def _field_doubt(series: TiltSeries, alignment: Alignment, scale: float) -> list[str]:
    if alignment.shape_yx is None:
        return []
    here = np.asarray(series.images.shape[1:], float)
    there = np.asarray(alignment.shape_yx, float) * scale
    if np.abs(there / here - 1).max() < _SAME_FIELD:
        return []
    return [
        f"{alignment.name} shows a field of {_size(there)} pixels of these images, "
        f"which have {_size(here)}; their centres are taken to be the same point."
    ]


def _size(shape_yx: object) -> str:
    height, width = np.rint(np.asarray(shape_yx)).astype(int)
    return f"{width} x {height} (x, y)"


def _counterparts(
    series: TiltSeries, alignment: Alignment, same_stack: bool
) -> tuple[Index, list[str]]:
    """Return for every tilt the row of the alignment, and what to say of it.

    An excluded tilt may have any row.
    """
    in_place = np.arange(len(series))
    if alignment.angles_deg is None:
        if len(alignment) != len(series):
            raise UserError(
                "The alignment does not fit the tilt series",
                f"{alignment.name} holds {len(alignment)} tilts without angles, and "
                f"the series has {len(series)}",
                "Use the alignment of this very stack",
            )
        return in_place, []
    _check_moves(series, alignment)
    alike = _agree(series.angles_deg, alignment.angles_deg)
    turned = not alike and _agree(series.angles_deg, -alignment.angles_deg)
    if same_stack and (alike or turned):
        return in_place, [_other_hand(alignment)] if turned else []
    _check_hand(series, alignment)
    rows, missing = _matched(series, alignment.angles_deg, alignment.used)
    if missing.size:
        raise _incomplete(series, alignment, missing)
    return rows, [_other_order(alignment)] if turned else []


def _agree(angles_deg: FloatArray, others_deg: FloatArray) -> bool:
    """Return whether two lists of angles are the same, one by one."""
    if len(angles_deg) != len(others_deg):
        return False
    return bool(np.abs(angles_deg - others_deg).max() <= SAME_ANGLE_DEG)


def _other_hand(alignment: Alignment) -> str:
    return (
        f"{alignment.name} holds these tilt angles with their signs turned round: its "
        "poses were given to the tilts in the order of the stack, and the volume will "
        "be the mirror image along the beam."
    )


def _other_order(alignment: Alignment) -> str:
    return (
        f"{alignment.name} holds these tilt angles in reverse, or with their signs "
        "turned round: its poses were given to the tilts of the same angle. Check "
        "that the handedness of both is the same."
    )


def _check_hand(series: TiltSeries, alignment: Alignment) -> None:
    """Raise `UserError` where only one of the two had its handedness flipped."""
    if alignment.history is None:
        return
    flips = [_flips(history) for history in (alignment.history, series.history)]
    if flips[0] != flips[1]:
        raise UserError(
            "The alignment belongs to angles of the other sign",
            f"the handedness of {alignment.name if flips[0] else 'this series'} was "
            "flipped, that of the other one not",
            "Flip the handedness of both or of none (--flip-handedness)",
        )


def _check_moves(series: TiltSeries, alignment: Alignment) -> None:
    """Raise `UserError` where only one of the two was aligned and written before."""
    if alignment.history is None:
        return
    moved = [
        sum(
            step.name == "apply_poses" and bool(step.parameters.get("resampled"))
            for step in history
        )
        for history in (alignment.history, series.history)
    ]
    if moved[0] != moved[1]:
        raise UserError(
            "The alignment belongs to images that were moved already",
            f"{alignment.name} was found on images that had been aligned and written "
            f"{moved[0]} times before, this series {moved[1]} times",
            "Use the alignment of the stack that was aligned first, then this one",
        )


def _flips(history: tuple[Step, ...]) -> int:
    """Return 1 where the signs of the angles were turned round since they were set."""
    flips = 0
    for step in history:
        if step.name in ("flip_handedness", "set_angles"):
            flips = 0 if step.name == "set_angles" else 1 - flips
    return flips


def _matched(
    series: TiltSeries, angles_deg: FloatArray, used: NDArray[np.bool_] | None
) -> tuple[Index, Index]:
    """Return the row of every tilt and the used tilts that have none.

    Every row serves once, so that of two tilts at one angle the first goes with the
    first; rows the alignment left out come last.
    """
    apart = np.abs(series.angles_deg[:, None] - angles_deg[None, :])
    rows = np.argmin(apart, axis=1)
    cost = apart if used is None else apart + np.where(used, 0.0, 1e-3)
    taken = np.zeros(len(angles_deg), bool)
    missing = []
    for tilt in np.flatnonzero(series.mask):
        free = np.where(taken | (apart[tilt] > SAME_ANGLE_DEG), np.inf, cost[tilt])
        row = int(np.argmin(free))
        if np.isinf(free[row]):
            missing.append(tilt)
        else:
            rows[tilt], taken[row] = row, True
    return rows, np.asarray(missing, np.int64)


def _incomplete(series: TiltSeries, alignment: Alignment, missing: Index) -> UserError:
    angles = ", ".join(f"{series.angles_deg[t]:g}" for t in missing[:_MOST_NAMED])
    more = (
        "" if len(missing) <= _MOST_NAMED else f" and {len(missing) - _MOST_NAMED} more"
    )
    views = ",".join(str(tilt) for tilt in missing)
    turned = series.evolve(angles_deg=-series.angles_deg)
    assert alignment.angles_deg is not None  # noqa: S101 - the caller looks
    if (
        len(missing) > len(series) / 2
        and not _matched(turned, alignment.angles_deg, alignment.used)[1].size
    ):
        hint = "The angles agree with their signs turned round: flip the handedness"
    elif len(missing) > len(series) / 2:
        hint = "Check that it is the alignment of this specimen, and the angles of both"
    else:
        hint = f"Leave these views out (--exclude {views}), or align this series itself"
    return UserError(
        "The alignment does not cover every tilt",
        f"{alignment.name} has no tilt within {SAME_ANGLE_DEG:g} degrees of "
        f"{angles}{more} degrees",
        hint,
    )
