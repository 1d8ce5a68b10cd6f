"""The projector of a tilt series with any poses, and its exact adjoint.

The projection of `napari_inr_tomo.geometry`, taken apart into sparse linear maps:

1. every z slice is turned by z1 (windowed sinc), so that the tilt axis is x;
2. every x slice is projected on its own (Joseph's method, one matrix for all slices);
   the part of the shift across the tilt axis is part of the ray positions;
3. rows move by the part of the shift along the tilt axis (windowed sinc);
4. every small image is turned by z3 (windowed sinc).

A step that has nothing to do is left out, so an aligned series with its axis along x
costs step 2 only.  The adjoint applies the transposed matrices in reverse order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_inr_tomo.classic.axis_frame import AxisFrame, groups
from napari_inr_tomo.classic.linear import LinearMap, chunks
from napari_inr_tomo.classic.resample import rotation_matrix, shift_matrices
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import poses_about
from napari_inr_tomo.parallel2d import joseph_matrix
from napari_inr_tomo.types import FloatArray, Poses

Axis = Literal["y", "x"]
"""An axis of the images."""

CACHE_BYTES = 2 << 30
"""Matrices beyond this are built anew at every use (many different poses)."""


class Projector:
    """Projects a volume at the poses of a tilt series, and back.

    angles_deg: (tilt,), degrees, any order.  poses: one per tilt.
    image_shape_yx: size of the images in pixels.  depth_px: size of the box along z;
    the volume is (depth, y, x) with y and x as in the images.

    Raises `UserError` where the numbers do not fit together.
    """

    def __init__(
        self,
        angles_deg: ArrayLike,
        poses: Poses,
        image_shape_yx: tuple[int, int],
        depth_px: int,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.angles_deg = np.atleast_1d(np.asarray(angles_deg, np.float64))
        self.poses = poses
        self.image_shape_yx = (int(image_shape_yx[0]), int(image_shape_yx[1]))
        self.depth_px = int(depth_px)
        self.device = torch.device(device)
        self.dtype = dtype
        _check(self.angles_deg, poses, self.image_shape_yx, self.depth_px)
        self.frame = AxisFrame.of(poses, self.image_shape_yx)
        self._maps: dict[tuple[str, float], LinearMap] = {}
        self._cached_bytes = 0
        self._volume_groups = groups(self.frame.z1_deg)
        self._image_groups = groups(self.frame.z3_deg)
        moved = self.frame.along_px != 0
        self._moved = torch.from_numpy(np.flatnonzero(moved)).to(self.device)
        self._shifts = torch.from_numpy(
            shift_matrices(self.frame.along_px[moved], self.frame.shape_yx[1])
            if moved.any()
            else np.zeros((0, 1, 1))
        ).to(self.device, dtype)

    def __len__(self) -> int:
        return len(self.angles_deg)

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the volume."""
        return (self.depth_px, *self.image_shape_yx)

    @property
    def shape_tyx(self) -> tuple[int, int, int]:
        """Shape of the images."""
        return (len(self), *self.image_shape_yx)

    @property
    def _upright(self) -> bool:
        """Whether no image turns."""
        same = self.image_shape_yx == self.frame.shape_yx
        return same and not self.frame.z3_deg.any()

    @property
    def held_bytes(self) -> int:
        """Bytes of the matrices built so far and kept."""
        shifts = self._shifts.numel() * self._shifts.element_size()
        return self._cached_bytes + shifts

    def subset(self, tilts: Any) -> Projector:
        """Return the projector of the tilts that a numpy index picks."""
        return Projector(
            self.angles_deg[tilts],
            self.poses.take(tilts),
            self.image_shape_yx,
            self.depth_px,
            self.device,
            self.dtype,
        )

    def slab(self, axis: Axis, part: slice) -> Projector:
        """Return the projector of a slab of the volume onto that part of the images.

        axis: of the volume and the images, across which the slab is cut.  part: of the
        rows or columns.  Rays may leave the slab through its cut faces where the tilt
        axis does not lie along ``axis``.
        """
        height, width = self.image_shape_yx
        count = width if axis == "x" else height
        first, last, _ = part.indices(count)
        offset = (first + last - count) / 2
        centre = (offset, 0.0, 0.0) if axis == "x" else (0.0, offset, 0.0)
        poses = poses_about(self.angles_deg, self.poses, centre)
        size = last - first
        return self._like(poses, (height, size) if axis == "x" else (size, width))

    def _like(self, poses: Poses, image_shape_yx: tuple[int, int]) -> Projector:
        """Return a projector of other poses and another field."""
        return Projector(
            self.angles_deg,
            poses,
            image_shape_yx,
            self.depth_px,
            self.device,
            self.dtype,
        )

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        """Return the (tilt, y, x) projections of a (z, y, x) volume."""
        volume = self._checked(volume, self.shape_zyx)
        height, width = self.frame.shape_yx
        images = volume.new_empty((len(self), height, width))
        columns: torch.Tensor | None = None
        for z1, tilts in self._volume_groups:
            turn = self._turn("volume", z1)
            turned = volume
            if turn is not None:
                if columns is None:
                    columns = volume.reshape(self.depth_px, -1).t().contiguous()
                turned = turn.forward(columns).view(height, width, -1).permute(2, 0, 1)
            part = self._project(turned, z1, tilts)
            if len(tilts) == len(self):
                images = part
            else:
                images[tilts] = part
        return self._to_images(images)

    def adjoint(self, images: torch.Tensor) -> torch.Tensor:
        """Return the (z, y, x) back-projection of (tilt, y, x) images."""
        images = self._from_images(self._checked(images, self.shape_tyx))
        height, width = self.frame.shape_yx
        total: torch.Tensor | None = None
        for z1, tilts in self._volume_groups:
            picked = images if len(tilts) == len(self) else images[tilts]
            part = self._back_project(picked, z1, tilts)
            turn = self._turn("volume", z1)
            if turn is not None:
                columns = part.permute(1, 2, 0).reshape(height * width, -1)
                part = turn.adjoint(columns).t().reshape(self.shape_zyx)
            total = part if total is None else total.add_(part)
        assert total is not None  # noqa: S101 - there is at least one tilt
        return total

    def _project(
        self, turned: torch.Tensor, z1: float, tilts: NDArray[np.intp]
    ) -> torch.Tensor:
        """Project the x slices of a turned volume: (tilt, v, x')."""
        rays = self._rays(z1, tilts)
        height, width = self.frame.shape_yx
        out = turned.new_empty((len(tilts), height, width))
        for part in chunks(width, self.device):
            slices = turned[:, :, part].reshape(self.depth_px * height, -1)
            out[:, :, part] = rays.forward(slices).view(len(tilts), height, -1)
        return out

    def _back_project(
        self, images: torch.Tensor, z1: float, tilts: NDArray[np.intp]
    ) -> torch.Tensor:
        rays = self._rays(z1, tilts)
        height, width = self.frame.shape_yx
        out = images.new_empty((self.depth_px, height, width))
        for part in chunks(width, self.device):
            lines = images[:, :, part].reshape(len(tilts) * height, -1)
            out[:, :, part] = rays.adjoint(lines).view(self.depth_px, height, -1)
        return out

    def _to_images(self, turned: torch.Tensor) -> torch.Tensor:
        """Move along the tilt axis and turn by z3: axis frame to detector."""
        turned = self._shifted(turned, self._shifts.transpose(1, 2))
        if self._upright:
            return turned
        return self._turned(
            turned,
            self.shape_tyx,
            lambda turn, columns: turn.forward(columns),
        )

    def _from_images(self, images: torch.Tensor) -> torch.Tensor:
        """Apply the adjoint of `_to_images`."""
        if not self._upright:
            images = self._turned(
                images,
                (len(self), *self.frame.shape_yx),
                lambda turn, columns: turn.adjoint(columns),
            )
        elif len(self._moved) < len(self):
            images = images.clone()  # some are moved in place
        return self.shift_back(images)

    def _turned(
        self,
        images: torch.Tensor,
        shape_tyx: tuple[int, int, int],
        apply: Callable[[LinearMap, torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Return the images after the turn of every tilt by its z3, or its adjoint."""
        out = images.new_empty(shape_tyx)
        for z3, tilts in self._image_groups:
            whole = len(tilts) == len(self)
            part = images if whole else images[tilts]
            turn = self._turn("image", z3)
            if turn is not None:
                columns = part.reshape(len(tilts), -1).t().contiguous()
                part = apply(turn, columns).t().contiguous().view(-1, *shape_tyx[1:])
            if whole:
                return part
            out[tilts] = part
        return out

    def shift_back(self, turned: torch.Tensor) -> torch.Tensor:
        """Move (tilt, v, x) back along the tilt axis: a transpose.

        What comes back may be the same array, changed.
        """
        return self._shifted(turned, self._shifts)

    def _shifted(self, turned: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
        """Return (tilt, v, x) with the moved tilts times their matrix."""
        if len(self._moved) == len(self):
            return turned @ shifts
        if len(self._moved):
            turned[self._moved] = turned[self._moved] @ shifts
        return turned

    def _turn(self, which: str, angle_deg: float) -> LinearMap | None:
        """Return the turn of a slice (by z1) or an image (by z3); None: nothing."""
        image, frame = self.image_shape_yx, self.frame.shape_yx
        if angle_deg == 0 and image == frame:
            return None
        shapes = (image, frame) if which == "volume" else (frame, image)
        return self._cached(
            (which, angle_deg), lambda: rotation_matrix(angle_deg, *shapes)
        )

    def _rays(self, z1: float, tilts: NDArray[np.intp]) -> LinearMap:
        shape_zy = (self.depth_px, self.frame.shape_yx[0])
        return self._cached(
            ("rays", z1),
            lambda: joseph_matrix(
                self.angles_deg[tilts],
                shape_zy,
                shape_zy[1],
                self.frame.across_px[tilts],
                np.float64 if self.dtype == torch.float64 else np.float32,
            ),
        )

    def _cached(self, key: tuple[str, float], build: Callable[[], Any]) -> LinearMap:
        found = self._maps.get(key)
        if found is None:
            found = LinearMap(build(), self.device, self.dtype)
            if self._cached_bytes + found.nbytes <= CACHE_BYTES or key[0] == "rays":
                self._maps[key] = found
                self._cached_bytes += found.nbytes
        return found

    def _checked(
        self, array: torch.Tensor, shape: tuple[int, int, int]
    ) -> torch.Tensor:
        if tuple(array.shape) != shape:
            raise ValueError(f"expected the shape {shape}, not {tuple(array.shape)}")
        return array.to(self.device, self.dtype).contiguous()


def _check(
    angles: FloatArray, poses: Poses, shape_yx: tuple[int, int], depth: int
) -> None:
    numbers = (
        np.column_stack([angles, poses.as_array()])
        if (len(poses) == len(angles))
        else None
    )
    if numbers is None or not len(angles):
        raise UserError(
            "The poses do not belong to this tilt series",
            f"there are {len(poses)} poses for {len(angles)} tilt angles",
            "Give one pose for every tilt, and at least one tilt",
        )
    if not np.isfinite(numbers).all():
        raise UserError(
            "A pose or a tilt angle is not a number",
            "NaN or infinity cannot be projected",
            "Correct the angles and the poses",
        )
    if min(*shape_yx, depth) < 1:
        raise UserError(
            "The box is empty",
            f"its size would be {(depth, *shape_yx)} (z, y, x)",
            "Give a depth of at least one pixel",
        )
    entries = 2 * len(angles) * max(shape_yx) ** 2
    if entries >= 2**31:
        raise UserError(
            "The tilt series is too large for the classical methods",
            f"the projection matrix would have {entries:.1e} entries",
            "Bin the images first",
        )


def projector_bytes(
    angles_deg: ArrayLike,
    poses: Poses,
    image_shape_yx: tuple[int, int],
    depth_px: int,
    dtype_bytes: int = 4,
) -> int:
    """Return about how many bytes a `Projector` needs with one volume in work.

    dtype_bytes: 4 for float32, 8 for float64.
    """
    tilts = len(np.atleast_1d(angles_deg))
    frame = AxisFrame.of(poses, image_shape_yx)
    height, width = frame.shape_yx
    plane, image = height * width, image_shape_yx[0] * image_shape_yx[1]
    entry = 2 * (4 + dtype_bytes)
    rays = 1.6 * tilts * min(height * max(depth_px, 1), height**2) * entry
    turns = sum(
        36 * image * entry
        for z in (frame.z1_deg, frame.z3_deg)
        for angle in np.unique(z)
        if angle != 0
    )
    shifts = np.count_nonzero(frame.along_px) * width**2 * dtype_bytes
    volumes = (depth_px * (plane + image) + 2 * tilts * plane) * dtype_bytes
    return int(rays + min(turns, CACHE_BYTES) + shifts + volumes)
