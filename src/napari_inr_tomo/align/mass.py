"""Shifts from the centres of mass: for specimens that stand alone in the field."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.align.checks import specimen_masses
from napari_inr_tomo.align.frame import (
    axis_directions,
    current_axis,
    shifted,
    shifts_xy,
)
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import FloatArray, Step, TiltSeries

_MOST_CUT = 0.1


def align_center_of_mass(series: TiltSeries) -> TiltSeries:
    """Return the series with shifts that make its centres of mass those of one object.

    For the axis the poses describe, the centre of mass of a rigid object keeps its
    coordinate along the axis, and across it follows ``y cos(theta) - z sin(theta)``.
    Both are fitted to the measured centres of all used tilts, and the shift of a tilt
    becomes its deviation from the fit.  The axis then passes through the centre of the
    image.

    Where the specimen reaches the borders in more than a tenth of the tilts, its centre
    of mass tells nothing: the poses stay as they are and a notice says so.  Single
    tilts that are cut off, and excluded ones, keep their shifts but for the movement of the
    whole object and of the axis.
    Raises `UserError` if fewer than three views are used.
    """
    if series.mask.sum() < 3:
        raise UserError(
            "There are too few views for an alignment by centre of mass",
            f"{int(series.mask.sum())} are used",
            "Include at least three views",
        )
    centres, cut = specimen_masses(series)
    share = float(cut[series.mask].mean())
    if share > _MOST_CUT:
        notice = (
            "Centre of mass: nothing was changed, since the specimen reaches the "
            f"borders in {share:.0%} of the views and its centre of mass is not known"
        )
        step = Step("align_center_of_mass", {"changed": False, "cut_off": share})
        return series.evolve(step, notices=(*series.notices, notice))
    keep = series.mask & ~cut
    axis_deg, _ = current_axis(series)
    along, across = axis_directions(axis_deg)
    theta = np.deg2rad(series.angles_deg)
    columns = np.stack([np.cos(theta), -np.sin(theta)], axis=1)
    place, *_ = np.linalg.lstsq(columns[keep], centres[keep] @ across, rcond=None)
    level = float(np.mean(centres[keep] @ along))
    model = level * along + (columns @ place)[:, None] * across
    before = shifts_xy(series.start_poses)
    shifts = before + _moved_object(columns, centres - model - before, keep)
    shifts[keep] = (centres - model)[keep]
    parameters = {
        "changed": True,
        "axis_deg": axis_deg,
        "along_px": level,
        "y_px": float(place[0]),
        "z_px": float(place[1]),
        "cut_off": np.flatnonzero(cut).tolist(),
        "dx_px": shifts[:, 0].tolist(),
        "dy_px": shifts[:, 1].tolist(),
    }
    return shifted(series, shifts, Step("align_center_of_mass", parameters))


def _moved_object(
    columns: FloatArray, change: FloatArray, keep: NDArray[np.bool_]
) -> FloatArray:
    """Return the part of a (tilt, 2) change of shifts that is one object moved."""
    basis = np.concatenate([np.ones((len(columns), 1)), columns], axis=1)
    fit, *_ = np.linalg.lstsq(basis[keep], change[keep], rcond=None)
    return np.asarray(basis @ fit)
