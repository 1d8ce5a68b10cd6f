"""Shifts from the centres of mass: for specimens that stand alone in the field."""

from __future__ import annotations

import numpy as np

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


class MassModel:
    """The centres of mass of a series, and the shifts they ask for at any axis angle.

    cut_off: share of the used tilts whose specimen reaches the border; above a tenth,
    ``usable`` is False and the centres mean nothing.
    cut: (tilt,) bool, the tilts that are cut off.
    """

    def __init__(self, series: TiltSeries) -> None:
        self._series = series
        self._centres, self.cut = specimen_masses(series)
        self._keep = series.mask & ~self.cut
        self.cut_off = float(self.cut[series.mask].mean())
        self.usable = self.cut_off <= _MOST_CUT and int(self._keep.sum()) >= 3
        theta = np.deg2rad(series.angles_deg)
        self._columns = np.stack([np.cos(theta), -np.sin(theta)], axis=1)

    def place(self, axis_deg: float) -> tuple[float, float, float]:
        """Return the fitted place of the mass in px: along the axis, y across it, z."""
        along, across = axis_directions(axis_deg)
        centres, columns = self._centres[self._keep], self._columns[self._keep]
        y_z, *_ = np.linalg.lstsq(columns, centres @ across, rcond=None)
        return float(np.mean(centres @ along)), float(y_z[0]), float(y_z[1])

    def shifts(self, axis_deg: float) -> FloatArray:
        """Return (tilt, 2) dx, dy: the deviations from the fitted rigid object.

        Tilts that are cut off or excluded keep their shifts but for the movement of the
        whole object and of the axis.
        """
        along, across = axis_directions(axis_deg)
        level, y, z = self.place(axis_deg)
        model = level * along + (self._columns @ [y, z])[:, None] * across
        before = shifts_xy(self._series.start_poses)
        change = self._centres - model - before
        basis = np.concatenate([np.ones((len(model), 1)), self._columns], axis=1)
        fit, *_ = np.linalg.lstsq(basis[self._keep], change[self._keep], rcond=None)
        change = np.where(self._keep[:, None], change, basis @ fit)
        return np.asarray(before + change)


def align_center_of_mass(series: TiltSeries) -> TiltSeries:
    """Return the series with shifts that make its centres of mass those of one object.

    For the axis the poses describe, the centre of mass of a rigid object keeps its
    coordinate along the axis, and across it follows ``y cos(theta) - z sin(theta)``.
    Both are fitted to the measured centres of all used tilts, and the shift of a tilt
    becomes its deviation from the fit.  The axis then passes through the centre of the
    image.

    Where the specimen reaches the borders in more than a tenth of the tilts, its centre
    of mass tells nothing: the poses stay as they are and a notice says so.  Single
    tilts that are cut off, and excluded ones, only follow the movement of the whole.
    Raises `UserError` if fewer than three views are used.
    """
    if series.mask.sum() < 3:
        raise UserError(
            "There are too few views for an alignment by centre of mass",
            f"{int(series.mask.sum())} are used",
            "Include at least three views",
        )
    masses = MassModel(series)
    if not masses.usable:
        notice = (
            "Centre of mass: nothing was changed, since the specimen reaches the "
            f"borders in {masses.cut_off:.0%} of the views and its centre of mass is "
            "not known"
        )
        step = Step(
            "align_center_of_mass", {"changed": False, "cut_off": masses.cut_off}
        )
        return series.evolve(step, notices=(*series.notices, notice))
    axis_deg, _ = current_axis(series)
    along_px, y_px, z_px = masses.place(axis_deg)
    shifts = masses.shifts(axis_deg)
    parameters = {
        "changed": True,
        "axis_deg": axis_deg,
        "along_px": along_px,
        "y_px": y_px,
        "z_px": z_px,
        "cut_tilts": np.flatnonzero(masses.cut).tolist(),
        "dx_px": shifts[:, 0].tolist(),
        "dy_px": shifts[:, 1].tolist(),
    }
    return shifted(series, shifts, Step("align_center_of_mass", parameters))
