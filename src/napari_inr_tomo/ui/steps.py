"""What the buttons run in worker threads; thin words around the packages below.

Imports happen inside, so that opening a dock stays quick and free of torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.kept import KeptSteps
from napari_inr_tomo.types import Alignment, Poses, Step, TiltSeries


def read_series(path: str, angles: str) -> TiltSeries:
    """Read a tilt series; ``angles`` may be a file, start:stop:step, or empty."""
    from napari_inr_tomo import io

    if not path:
        raise UserError(
            "No file was chosen",
            "the line for the file is empty",
            "Choose a stack, or a folder of images",
        )
    return io.read_series(Path(path).expanduser(), angles.strip() or None)


def do_again(series: TiltSeries, file: Path, earlier: KeptSteps) -> TiltSeries:
    """Return what the earlier steps make of a file; ``series``, read from it, goes."""
    from napari_inr_tomo.replay import series_of_record

    return series_of_record(file, earlier)


def angles_from(
    text: str, count: int | None = None, folder: str = ""
) -> tuple[np.ndarray, str]:
    """Return angles in degrees and where they come from (see `io.angle_spec`).

    count: of the images, for "start::step"; folder: of the images, for "names".
    """
    from napari_inr_tomo import io

    text = text.strip()
    if not text:
        raise UserError(
            "No angles were given",
            "the line for the angles is empty",
            "Type start:stop:step, a list of angles, or choose an angle file",
        )
    files = io.image_names(Path(folder).expanduser()) if folder else ()
    return io.given_angles(text, count, files)


def set_angles(
    series: TiltSeries, text: str, flip: bool = False, folder: str = ""
) -> TiltSeries:
    """Return the series with other angles (``flip``: signs turned round)."""
    from napari_inr_tomo import preprocess

    found = angles_from(text, len(series), folder)
    done = preprocess.set_angles(series, *found)
    return preprocess.flip_handedness(done) if flip else done


def series_from_image(
    data: Any,
    text: str,
    size_nm: float | None,
    name: str,
    flip: bool = False,
    folder: str = "",
) -> TiltSeries:
    """Return a tilt series made of the pixels of a plain image layer."""
    from napari_inr_tomo import io

    angles, source = angles_from(text, len(data), folder)
    series = TiltSeries(
        np.asarray(data, np.float32),
        angles,
        pixel_size_nm=size_nm,
        name=name,
        angle_source=source,
    )
    series = io.clean_series(series)
    return flip_handedness(series) if flip else series


def angle_spec(source: str, words: list[str]) -> str:
    """Return a source of angles with words after it."""
    from napari_inr_tomo import io

    return io.AngleSpec(source, tuple(words)).text()


@dataclass(frozen=True, eq=False)
class AnglePreview:
    """Angles (tilt,) in degrees before they are used, and what is to be said of them.

    repeated: (tilt,) bool; problem: why they cannot be used, or empty.
    """

    angles_deg: np.ndarray
    repeated: np.ndarray
    sentence: str
    doubts: tuple[str, ...]
    problem: str


def preview_angles(
    text: str, count: int | None, folder: str, flip: bool
) -> AnglePreview:
    """Return the angles that are asked for (worker thread)."""
    from napari_inr_tomo import io

    angles, source = angles_from(text, count, folder)
    angles = -angles if flip else angles
    rounded = np.round(angles, 2)
    _, index, number = np.unique(rounded, return_inverse=True, return_counts=True)
    problem = ""
    if count is not None and len(angles) != count:
        problem = f"There are {len(angles)} angles for {count} images"
    sentence = f"{io.describe_angles(angles)} {source[:1].upper()}{source[1:]}."
    doubts = tuple(io.doubts_about(angles))
    return AnglePreview(angles, number[index] > 1, sentence, doubts, problem)


def flip_handedness(series: TiltSeries) -> TiltSeries:
    """Return the series with the sign of every tilt angle turned round."""
    from napari_inr_tomo import preprocess

    return preprocess.flip_handedness(series)


def set_pixel_size(series: TiltSeries, size_nm: float) -> TiltSeries:
    """Return the series with another pixel size."""
    from napari_inr_tomo import preprocess

    return preprocess.set_pixel_size(series, size_nm)


def set_used(series: TiltSeries, tilts: list[int], used: bool) -> TiltSeries:
    """Return the series with views left out or taken back."""
    from napari_inr_tomo import preprocess

    change = preprocess.include_views if used else preprocess.exclude_views
    return change(series, tilts)


def bin_images(series: TiltSeries, factor: int) -> TiltSeries:
    """Bin by a whole factor."""
    from napari_inr_tomo import preprocess

    return preprocess.bin_images(series, factor)


def downsample(series: TiltSeries, size_px: int) -> TiltSeries:
    """Cut the images to a size in Fourier space."""
    from napari_inr_tomo import preprocess

    return preprocess.fourier_downsample(series, size_px)


def fit_background(
    series: TiltSeries,
    tilt: int,
    degree_yx: tuple[int, int],
    mask: Any,
    settings: dict[str, Any],
) -> Any:
    """Fit the background of one tilt, for the preview."""
    from napari_inr_tomo import preprocess

    if mask is not None and mask.ndim == 3:
        mask = preprocess.follow_tilts(mask, series.angles_deg)[tilt]
    image = series.images[tilt]
    return preprocess.fit_background(image, degree_yx, mask, **settings)


def subtract_background(
    series: TiltSeries, degree_yx: tuple[int, int], mask: Any, settings: dict[str, Any]
) -> TiltSeries:
    """Subtract the background of every tilt."""
    from napari_inr_tomo import preprocess

    return preprocess.subtract_background(
        series, degree_yx, mask, follow_mask=True, **settings
    )


def negative_in_words(series: TiltSeries | None) -> str:
    """Return how much the last subtraction of a background has left below zero."""
    for step in reversed(() if series is None else series.history):
        if step.name == "subtract_background" and "negative_share" in step.parameters:
            share = step.parameters["negative_share"]
            part = step.parameters["negative_sum_share"]
            return (
                f"Negative after the subtraction: {share:.1%} of the pixels, "
                f"{part:.2%} of all intensity; kept as they are"
            )
    return ""


def cross_correlation(series: TiltSeries, settings: dict[str, Any]) -> TiltSeries:
    """Find the shift of every tilt from its neighbour."""
    from napari_inr_tomo import align

    return align.align(series, ("xcorr",), {"xcorr": settings})


def common_line(series: TiltSeries) -> TiltSeries:
    """Find the axis angle and the shifts along it from the common line."""
    from napari_inr_tomo import align

    return align.align(series, ("line",))


def centre_of_mass(series: TiltSeries) -> TiltSeries:
    """Find the shift of every tilt from its centre of mass."""
    from napari_inr_tomo import align

    return align.align(series, ("com",))


def match_projections(series: TiltSeries) -> TiltSeries:
    """Find shifts and axis from what a reconstruction predicts."""
    from napari_inr_tomo import align

    return align.align(series, ("match",))


def align_all(series: TiltSeries) -> TiltSeries:
    """Align with all steps and no setting."""
    from napari_inr_tomo import align

    return align.align(series)


def mask_outliers(series: TiltSeries) -> TiltSeries:
    """Mask hot and dead pixels."""
    from napari_inr_tomo import preprocess

    return preprocess.mask_outliers(series)


def check_views(series: TiltSeries) -> TiltSeries:
    """Name the tilts with a blocked beam or a jump."""
    from napari_inr_tomo import preprocess

    return preprocess.check_views(series)


def normalise(series: TiltSeries, thickness: bool) -> TiltSeries:
    """Bring all tilts to one intensity."""
    from napari_inr_tomo import preprocess

    return preprocess.normalise_tilts(series, thickness=thickness)


def prepare(series: TiltSeries) -> TiltSeries:
    """Clean the images with all steps and no setting."""
    from napari_inr_tomo import preprocess

    return preprocess.prepare(series)


def find_axis(series: TiltSeries) -> Any:
    """Estimate the angle and the shift of the tilt axis."""
    from napari_inr_tomo import align

    align.check_contents(series)
    return align.find_tilt_axis(series)


def set_axis(series: TiltSeries, axis_deg: float, shift_px: float) -> TiltSeries:
    """Set the tilt axis by hand."""
    from napari_inr_tomo import align

    return align.set_tilt_axis(series, axis_deg, shift_px)


def tilt_picture(series: TiltSeries, kind: str) -> np.ndarray:
    """Return the sum or the maximum of all tilts, at their shifts."""
    from napari_inr_tomo import align

    return align.tilt_picture(series, kind)


class AxisPreviewer:
    """Slices across a tilt axis again and again; keeps what does not change."""

    def __init__(self) -> None:
        self._series: TiltSeries | None = None
        self._previewer: Any = None

    def __call__(
        self,
        series: TiltSeries,
        axis_deg: float,
        shift_px: float,
        positions: tuple[float, ...],
    ) -> Any:
        """Return the slices and their negativity (worker thread, one at a time)."""
        from napari_inr_tomo import align

        if self._series is not series:
            self._previewer = align.SlicePreviewer(series)
            self._series = series
        return self._previewer.slices(axis_deg, shift_px, positions)

    def forget(self) -> None:
        """Let go of the series."""
        self._series = self._previewer = None


def shift_by_hand(series: TiltSeries, tilt: int, dx_px: float, dy_px: float) -> Any:
    """Return the series with the shift of one tilt put to these numbers."""
    from napari_inr_tomo import align

    return align.shift_by_hand(series, [tilt], [dx_px], [dy_px])


def neighbour(series: TiltSeries, tilt: int, step: int) -> int | None:
    """Return the used tilt before (-1) or after (1) this one in angle, or None."""
    from napari_inr_tomo import align

    return align.neighbour(series, tilt, step)


def in_order(series: TiltSeries) -> list[int]:
    """Return all tilts in the order of their angles."""
    from napari_inr_tomo import align

    return align.in_order(series)


def compare_tilts(series: TiltSeries, tilt: int, reference: int) -> Any:
    """Return two tilts of a series as they lie on one another."""
    from napari_inr_tomo import align

    return align.compare_tilts(series, tilt, reference)


def load_alignment(series: TiltSeries, path: str, flip_y: bool) -> TiltSeries:
    """Return the series with the alignment in a file."""
    from napari_inr_tomo import align, io

    found = io.read_alignment(Path(path).expanduser(), flip_y)
    return align.use_alignment(series, found, same_pixels=True)


def save_alignment(
    series: TiltSeries, path: str, flip_y: bool, read: Sequence[Path] = ()
) -> tuple[str, ...]:
    """Write the alignment of a series; return what the format could not take.

    read: files that it must not replace.
    """
    from napari_inr_tomo import io

    io.check_apart([Path(path)], read)
    return io.write_alignment(Path(path), Alignment.of(series), flip_y)


def alignment_of(series: TiltSeries, other: TiltSeries) -> TiltSeries:
    """Return the series with the alignment of another one, scaled to its pixels."""
    from napari_inr_tomo import align

    return align.use_alignment(series, Alignment.of(other))


def forget_poses(series: TiltSeries) -> TiltSeries:
    """Return the series with all poses zero."""
    return series.evolve(Step("reset_poses"), poses=Poses.zeros(len(series)))


def take_poses(series: TiltSeries, poses: Poses, run: str) -> TiltSeries:
    """Return the series with the poses a run has found as its start poses."""
    return series.evolve(Step("poses_of_run", {"run": run}), poses=poses)


def set_pose(series: TiltSeries, tilt: int, pose: tuple[float, ...]) -> TiltSeries:
    """Return the series with another start pose (z1, z3 deg, dx, dy px) of a tilt."""
    table = series.start_poses.as_array().copy()
    table[tilt] = pose
    step = Step("set_pose", {"tilt": tilt, "z1_z3_dx_dy": list(pose)})
    return series.evolve(step, poses=Poses.from_array(table))
