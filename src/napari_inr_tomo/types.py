"""What everything passes around: a tilt series, its poses, an alignment, a volume.

All are frozen; a step returns a new one and leaves a line in the history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.mapped import MappedImages

FloatArray = NDArray[np.float64]
ImageArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]


def _frozen(values: ArrayLike, dtype: Any) -> NDArray[Any]:
    array = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array


def _check_real(array: NDArray[Any]) -> None:
    if array.dtype.kind not in "biuf":
        raise UserError(
            "The pixels are not plain numbers",
            f"their type is {array.dtype}, and intensities are real numbers",
            "Export the images as integers or floating-point numbers, for complex "
            "ones e.g. their modulus",
        )


def tilts_in_words(tilts: Sequence[int]) -> str:
    """Return ``tilt 3`` or ``tilts 3, 17 to 20``."""
    runs: list[list[int]] = []
    for tilt in tilts:
        if runs and tilt == runs[-1][-1] + 1:
            runs[-1].append(tilt)
        else:
            runs.append([tilt])
    parts = [
        f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run))
        for run in runs
    ]
    return f"tilt{'s' if len(tilts) != 1 else ''} {', '.join(parts)}"


@dataclass(frozen=True)
class Step:
    """One line of a history: the name of a step and its JSON-able parameters."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return ``{"name": ..., "parameters": {...}}``."""
        return {"name": self.name, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Step:
        """Build a step from what `to_json` returned."""
        return cls(str(value["name"]), dict(value["parameters"]))


@dataclass(frozen=True, eq=False)
class Poses:
    """Poses of all tilts, object to detector (see `napari_inr_tomo.geometry`).

    ``r' = Rz(z3) Rx(angle) Rz(z1) r``, then the content moves by (dx, dy).

    z1_deg, z3_deg: (tilt,) float64, degrees; dx_px, dy_px: (tilt,) float64, pixels.
    The tilt angle itself is not part of the pose: it belongs to the series.
    """

    z1_deg: FloatArray
    z3_deg: FloatArray
    dx_px: FloatArray
    dy_px: FloatArray

    def __post_init__(self) -> None:
        shapes = set()
        for name in ("z1_deg", "z3_deg", "dx_px", "dy_px"):
            value = _frozen(getattr(self, name), np.float64)
            object.__setattr__(self, name, value)
            shapes.add(value.shape)
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise UserError(
                "The poses are inconsistent",
                f"z1, z3, dx and dy have the shapes {sorted(shapes)}",
                "Give one number per tilt for each of the four",
            )

    def __len__(self) -> int:
        return len(self.z1_deg)

    @classmethod
    def zeros(cls, count: int) -> Poses:
        """Return poses that do nothing, for ``count`` tilts."""
        return cls(*(np.zeros(count) for _ in range(4)))

    @classmethod
    def from_axis(
        cls, count: int, axis_deg: float, dx_px: float = 0.0, dy_px: float = 0.0
    ) -> Poses:
        """Return equal poses for one tilt axis at ``axis_deg`` in the image plane.

        The axis runs along +x turned by ``axis_deg`` towards +y (clockwise on screen)
        and passes (dx, dy) pixels from the centre of the image.
        """
        one = np.ones(count)
        return cls(-axis_deg * one, axis_deg * one, dx_px * one, dy_px * one)

    @property
    def axis_deg(self) -> float:
        """The mean in-plane angle of the tilt axis, degrees: mean of (z3 - z1) / 2."""
        return float(np.mean(self.z3_deg - self.z1_deg) / 2) if len(self) else 0.0

    def take(self, index: Any) -> Poses:
        """Return the poses of the tilts ``index`` picks (any numpy index)."""
        return Poses(
            self.z1_deg[index], self.z3_deg[index], self.dx_px[index], self.dy_px[index]
        )

    def scaled(self, factor: float) -> Poses:
        """Return the same poses for images whose pixel is ``1/factor`` as large."""
        return replace(self, dx_px=self.dx_px * factor, dy_px=self.dy_px * factor)

    def as_array(self) -> FloatArray:
        """Return (tilt, 4) float64: z1_deg, z3_deg, dx_px, dy_px."""
        return np.stack([self.z1_deg, self.z3_deg, self.dx_px, self.dy_px], axis=1)

    @classmethod
    def from_array(cls, array: ArrayLike) -> Poses:
        """Build poses from (tilt, 4): z1_deg, z3_deg, dx_px, dy_px."""
        z1, z3, dx, dy = np.asarray(array, np.float64).reshape(-1, 4).T
        return cls(z1, z3, dx, dy)


@dataclass(frozen=True, eq=False)
class TiltSeries:
    """A tilt series in memory, with everything known about it.

    images: (tilt, y, x) float32, any tilt order, y down, the input's intensity units;
    a stack of gigabytes may be a `MappedImages`.
    angles_deg: (tilt,) float64, degrees, one per image, in the order of the images.
    poses: start poses (alignment writes here; the pixels are never resampled for it).
    used: (tilt,) bool; an excluded view stays in the stack and is False here.
    valid: (tilt, y, x) bool or None; False marks pixels to ignore (dead, NaN).
    group: (tilt,) number of the pass each tilt came from, from 0; None: one pass.
    pixel_size_nm: size of a pixel in nm, or None where unknown.
    angle_source: words that say where the angles came from; shown to the user.
    history: what was done so far, one `Step` each.
    notices: sentences the user should see (replaced NaN, doubtful angles ...).
    """

    images: ImageArray
    angles_deg: FloatArray
    poses: Poses | None = None
    used: BoolArray | None = None
    valid: BoolArray | None = None
    pixel_size_nm: float | None = None
    name: str = "tilt series"
    angle_source: str = "given"
    history: tuple[Step, ...] = ()
    notices: tuple[str, ...] = ()
    group: IntArray | None = None

    def __post_init__(self) -> None:
        images: Any = self.images
        if not isinstance(images, MappedImages):
            images = np.asarray(images)
        if images.ndim != 3 or 0 in images.shape:
            raise UserError(
                "This is not a tilt series",
                f"its shape is {images.shape}, and a tilt series is (tilt, y, x)",
                "Open a stack of two-dimensional images, one per tilt",
            )
        _check_real(images)
        if images.dtype != np.float32:
            images = images.astype(np.float32)
        object.__setattr__(self, "images", images)
        count = len(images)
        angles = _frozen(np.atleast_1d(self.angles_deg), np.float64)
        if angles.shape != (count,):
            raise UserError(
                "The number of tilt angles is wrong",
                f"{angles.size} angles were given for {count} images",
                "Check that the angle file belongs to this stack and that no view "
                "was removed from only one of the two",
            )
        if not np.isfinite(angles).all():
            raise UserError(
                "The tilt angles are not numbers",
                f"{int((~np.isfinite(angles)).sum())} of {count} are NaN or infinite",
                "Correct the angle file or type the angles as start:stop:step",
            )
        object.__setattr__(self, "angles_deg", angles)
        if self.poses is None:
            object.__setattr__(self, "poses", Poses.zeros(count))
        used = np.ones(count, bool) if self.used is None else self.used
        object.__setattr__(self, "used", _frozen(used, bool))
        if self.group is not None:
            group = _frozen(self.group, np.int64)
            object.__setattr__(self, "group", group if np.ptp(group) else None)
        sizes = {"poses": len(self.start_poses), "used": self.mask.size}
        for name, size in (sizes | {"group": len(self.groups)}).items():
            if size != count:
                raise ValueError(f"{name} has {size} entries for {count} images")
        if self.valid is not None and self.valid.shape != images.shape:
            raise ValueError("valid must have the shape of images")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def start_poses(self) -> Poses:
        """The poses, never None."""
        assert self.poses is not None  # noqa: S101 - set in __post_init__
        return self.poses

    @property
    def mask(self) -> BoolArray:
        """The ``used`` flags, never None."""
        assert self.used is not None  # noqa: S101 - set in __post_init__
        return self.used

    @property
    def groups(self) -> IntArray:
        """The pass of each tilt, never None: all 0 where there is one."""
        return np.zeros(len(self), np.int64) if self.group is None else self.group

    @property
    def reference(self) -> int:
        """Index of the used tilt nearest 0 degrees; its pose is never refined."""
        cost = np.where(self.mask, np.abs(self.angles_deg), np.inf)
        return int(np.argmin(cost))

    def evolve(self, step: Step | None = None, **changes: Any) -> TiltSeries:
        """Return a copy with ``changes`` and, if given, one more line of history."""
        if step is not None:
            changes["history"] = (*self.history, step)
        return replace(self, **changes)

    def only_used(self) -> TiltSeries:
        """Return the series without its excluded views.

        Raises `UserError` where every view is excluded.
        """
        keep = np.flatnonzero(self.mask)
        if len(keep) == 0:
            raise UserError(
                "No view is left",
                f"all {len(self)} views are excluded",
                "Take some of them back in",
            )
        return self if len(keep) == len(self) else self.take(keep)

    def take(self, index: Any) -> TiltSeries:
        """Return the tilts ``index`` picks (any numpy index), in its order."""
        return replace(
            self,
            images=self.images[index],
            angles_deg=self.angles_deg[index],
            poses=self.start_poses.take(index),
            used=self.mask[index],
            valid=None if self.valid is None else self.valid[index],
            group=self.groups[index],
        )


@dataclass(frozen=True, eq=False)
class Alignment:
    """Poses without their images: from a file, or for use on another signal.

    poses: one per tilt.
    angles_deg: (tilt,) float64, degrees, or None where only the order is known.
    used: (tilt,) bool, or None for all.
    pixel_size_nm: size of the pixels the shifts count, or None where unknown.
    shape_yx: size of the images they were found on, or None where unknown.
    turns: False where only shifts are known: rotations then stay as they are.
    cyclic: shifts are known only up to whole image sizes.
    history: what was done to the series it was found on, or None where unknown.
    """

    poses: Poses
    angles_deg: FloatArray | None = None
    used: BoolArray | None = None
    pixel_size_nm: float | None = None
    shape_yx: tuple[int, int] | None = None
    turns: bool = True
    cyclic: bool = False
    history: tuple[Step, ...] | None = None
    name: str = "alignment"
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, dtype in (("angles_deg", np.float64), ("used", bool)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _frozen(value, dtype))
                if len(value) != len(self.poses):
                    raise ValueError(f"{name} needs one entry per pose")

    def __len__(self) -> int:
        return len(self.poses)

    @classmethod
    def of(cls, series: TiltSeries) -> Alignment:
        """Return the alignment of a tilt series."""
        rows, columns = series.images.shape[1:]
        return cls(
            series.start_poses,
            series.angles_deg,
            series.mask,
            series.pixel_size_nm,
            (rows, columns),
            history=series.history,
            name=series.name,
        )


@dataclass(frozen=True, eq=False)
class Volume:
    """A reconstruction.

    data: (z, y, x) float32, beam along z, intensity per voxel in the input's units, so
    ``data.sum(axis=0)`` is the image at 0 degrees.
    voxel_nm: edge of a voxel in nm, or None where unknown.
    """

    data: ImageArray
    voxel_nm: float | None = None
    name: str = "volume"
    history: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        data = np.asarray(self.data)
        if data.ndim != 3 or 0 in data.shape:
            raise UserError(
                "This is not a volume",
                f"its shape is {data.shape}, and a volume is (z, y, x)",
                "Open a three-dimensional file",
            )
        _check_real(data)
        if data.dtype != np.float32:
            data = data.astype(np.float32)
        object.__setattr__(self, "data", data)
