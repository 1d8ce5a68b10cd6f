"""The images of a file before their angles are certain, and the checks on both."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angle_spec import given_angles
from napari_inr_tomo.io.angles import Angles, check_count
from napari_inr_tomo.mapped import MappedImages, release
from napari_inr_tomo.types import (
    BoolArray,
    FloatArray,
    ImageArray,
    IntArray,
    Poses,
    Step,
    TiltSeries,
)

_MANY_NAN = 0.01
_RADIAN_RANGE = 3.2


@dataclass(frozen=True, eq=False)
class ImageStack:
    """Images and what their file says about them; angles only where it says so.

    images: (tilt, y, x), rows in the order of the file, the file's intensity units.
    angles_deg: (tilt,) float64 degrees from the file or a side-car, or None.
    angle_source: words that say where the angles came from.
    pixel_size_nm: size of a pixel in nm, or None where unknown.
    doubts: sentences about what may be wrong with the file.
    angle_doubts: the same about its angles; moot once others are given by hand.
    facts: sentences worth knowing that are no fault (the nominal tilt axis ...).
    valid: (tilt, y, x), False where a pixel does not count; None where all do.
    files: their names where every image has its own file, in the order of the images.
    rows_up: True where other programs show row 0 at the bottom (MRC), see docs.
    """

    images: NDArray[Any]
    name: str = "tilt series"
    angles_deg: FloatArray | None = None
    angle_source: str = ""
    pixel_size_nm: float | None = None
    doubts: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    angle_doubts: tuple[str, ...] = ()
    rows_up: bool = False
    valid: BoolArray | None = None
    used: BoolArray | None = None
    poses: Poses | None = None
    history: tuple[Step, ...] = ()
    files: tuple[str, ...] = ()
    group: IntArray | None = None

    def __len__(self) -> int:
        return len(self.images)

    def evolve(self, **changes: Any) -> ImageStack:
        """Return a copy with ``changes``."""
        return replace(self, **changes)

    def noting(
        self,
        doubts: Iterable[str] = (),
        facts: Iterable[str] = (),
        angle_doubts: Iterable[str] = (),
    ) -> ImageStack:
        """Return a copy with more doubts and facts."""
        return replace(
            self,
            doubts=(*self.doubts, *doubts),
            facts=(*self.facts, *facts),
            angle_doubts=(*self.angle_doubts, *angle_doubts),
        )

    def with_angles(self, angles: Angles | None = None) -> TiltSeries:
        """Return the tilt series.

        angles: a file, "start:stop:step" (`napari_inr_tomo.io.angle_spec`) or numbers
        in degrees; they go before the file's own.
        Raises `UserError` if there are none or their number is wrong.
        """
        values, source, detail = self.angles_deg, self.angle_source, ""
        doubts = (*self.doubts, *self.angle_doubts)
        if angles is not None:
            doubts = self.doubts
            values, source = given_angles(angles, len(self), self.files)
            if isinstance(angles, str) and values.size:
                detail = f": {values[0]:g} to {values[-1]:g}"
        if values is None:
            raise no_angles(self)
        check_count(len(self), values, source, detail)
        if angles is not None and self.files and not source.startswith("file names"):
            from napari_inr_tomo.io.folder import angles_against_names

            doubts = (*doubts, *angles_against_names(self.files, values))
        notices = (*doubts, *self.facts, *doubts_about(values))
        return TiltSeries(
            images=_float32(self.images),
            angles_deg=values,
            poses=self.poses,
            used=self.used,
            valid=self.valid,
            pixel_size_nm=self.pixel_size_nm,
            name=self.name,
            angle_source=source,
            history=self.history,
            notices=notices,
            group=self.group,
        )


def no_angles(stack: ImageStack) -> UserError:
    """Return the error for a stack without angles."""
    why = "neither the file nor a side-car beside it (.rawtlt .tlt .mdoc .csv .txt)"
    reason = f"{why} gives the tilt angle of its {len(stack)} images"
    if stack.angle_doubts:
        reason += "; " + " ".join(stack.angle_doubts).rstrip(".")
    return UserError(
        f"The tilt angles of {stack.name} are unknown",
        reason,
        "Give them with --angles FILE or --angles start:stop:step, such as "
        "--angles=-60:60:2, or type them in the window",
    )


def doubts_about(angles_deg: FloatArray) -> list[str]:
    """Return sentences about angles that look wrong; nothing is changed for them."""
    doubts: list[str] = []
    finite = angles_deg[np.isfinite(angles_deg)]
    if finite.size < 2:
        return doubts
    span = float(np.ptp(finite))
    if 0 < span < _RADIAN_RANGE:
        doubts.append(
            f"The tilt angles span only {span:.3g} degrees. Are they radians? They are "
            "used as degrees."
        )
    steep = int((np.abs(finite) > 90).sum())
    if steep:
        doubts.append(
            f"{steep} tilt angles lie beyond 90 degrees, up to "
            f"{float(np.abs(finite).max()):.4g}."
        )
    repeated = finite.size - np.unique(finite).size
    if repeated == finite.size - 1:
        doubts.append(
            f"All {finite.size} images have the same tilt angle, {finite[0]:.4g} "
            "degrees: these are frames of one tilt, not a tilt series."
        )
    elif repeated:
        doubts.append(
            f"The tilt angles repeat: {finite.size} images share "
            f"{finite.size - repeated} angles. All are kept; if several are frames of "
            "one tilt, average them first."
        )
    return doubts


def clean_pixels(stack: ImageStack) -> ImageStack:
    """Return the stack with float32 pixels that are all finite, and say what was done.

    NaN and infinite pixels become the median of the finite pixels of their image and
    are False in ``valid``; an image without a finite pixel is excluded.
    """
    images = stack.images
    result: Any = _float32(images)
    valid: BoolArray | None = None
    used = np.ones(len(images), bool) if stack.used is None else stack.used.copy()
    fill = np.zeros(len(images), np.float32)
    replaced = negative = 0
    empty, flat = [], []
    for tilt in range(len(images)):
        single = result[tilt]
        # a float64 beyond the range of float32 overflows to infinity: test afterwards
        finite = np.isfinite(single)
        if not finite.all():
            if valid is None:
                valid = np.ones(images.shape, bool)
            valid[tilt] = finite
            replaced += int((~finite).sum())
            if not finite.any():
                used[tilt] = False
                empty.append(tilt)
                continue
            fill[tilt] = np.median(single[finite])
            single = np.where(finite, single, fill[tilt])
        negative += int((single < 0).sum())
        if single.size > 1 and single.min() == single.max():
            flat.append(tilt)
        release(images)
    if valid is not None:
        result = _filled(images, result, valid, fill)
    total = int(np.prod(images.shape))
    level = any(step.name == "subtract_background" for step in stack.history)
    doubts = list(_pixel_doubts(total, replaced, negative, level, empty, flat))
    if stack.pixel_size_nm is None:
        doubts.append("The pixel size is unknown: sizes are in pixels.")
    if stack.valid is not None:
        valid = stack.valid if valid is None else valid & stack.valid
    keep_used = used if empty or stack.used is not None else None
    return replace(stack, images=result, valid=valid, used=keep_used).noting(doubts)


def clean_series(series: TiltSeries) -> TiltSeries:
    """Return the series with pixels that are all finite, as `clean_pixels` makes them.

    For pixels that no file gave: of a layer, or changed by another program.  What was
    done is in the notices.
    """
    if all(np.isfinite(image).all() for image in series.images):
        return series
    stack = ImageStack(series.images, pixel_size_nm=1.0, used=series.mask)
    stack = clean_pixels(stack)
    valid = stack.valid
    if series.valid is not None and valid is not None:
        valid = valid & series.valid
    return series.evolve(
        images=stack.images,
        valid=valid,
        used=stack.used,
        notices=(*series.notices, *stack.doubts),
    )


def _float32(images: NDArray[Any]) -> Any:
    """Return float32 images; a mapped stack of other numbers stays on the disk."""
    if isinstance(images, MappedImages):
        return images
    if images.dtype == np.float32 and images.dtype.isnative:
        return images
    if isinstance(images, np.memmap):
        return MappedImages(images)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(images, np.float32)


def _filled(
    images: NDArray[Any], result: Any, valid: BoolArray, fill: ImageArray
) -> Any:
    """Return the images with numbers in place of what is not valid."""
    if isinstance(images, np.memmap):
        return MappedImages(images, fill)
    if result is images:
        result = np.array(images, np.float32)
    for tilt in range(len(result)):
        result[tilt][~valid[tilt]] = fill[tilt]
    return result


def _pixel_doubts(
    total: int,
    replaced: int,
    negative: int,
    level: bool,
    empty: list[int],
    flat: list[int],
) -> Iterable[str]:
    """Yield a sentence about each kind; level: the background has been taken off."""
    if replaced:
        share = replaced / total
        yield (
            f"{replaced} pixel{'s' * (replaced > 1)} ({share:.2%}) without a number: "
            "replaced by the median of the image and ignored in the reconstruction."
        )
        if share > _MANY_NAN:
            yield (
                "Warning: that is more than 1 % of all pixels. Something is wrong with "
                "this file; look at the images before going on."
            )
    if empty:
        yield f"Images without any valid pixel were excluded: {listed(empty)}."
    if flat:
        yield f"Images of one constant value: {listed(flat)}."
    if negative:
        do = "subtract the background before reconstructing, unless that is done."
        yield (
            f"{negative / total:.1%} of the pixels are negative (kept as they are); "
            + ("the background has been subtracted." if level else do)
        )


def listed(numbers: list[int]) -> str:
    """Return numbers as text, shortened after ten."""
    shown = ", ".join(str(n) for n in numbers[:10])
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"


def shortest(values: Any) -> FloatArray:
    """Return numbers as float64, undoing the rounding of float32 to short decimals.

    A file that stores -60.1 as float32 means -60.1, not -60.099998.
    """
    array = np.asarray(values)
    if array.dtype == np.float32:
        return np.array([float(str(v)) for v in array.ravel()]).reshape(array.shape)
    return np.asarray(array, np.float64)
