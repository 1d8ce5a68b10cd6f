"""Doing again what a record says was done to a tilt series.

A record holds the history of the series it was made from: the name of every step and
its parameters.  A stack that is given with a record already has the first lines of that
history (from the file beside it, or none); the others are done again, in order.
Whether it worked is certain afterwards: the digest of the images must be the record's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.layout import RunSpec
    from napari_inr_tomo.types import Step, TiltSeries

_WHERE = {
    "bin_images": "napari_inr_tomo.preprocess",
    "fourier_downsample": "napari_inr_tomo.preprocess",
    "exclude_views": "napari_inr_tomo.preprocess",
    "include_views": "napari_inr_tomo.preprocess",
    "mask_outliers": "napari_inr_tomo.preprocess",
    "check_views": "napari_inr_tomo.preprocess",
    "subtract_background": "napari_inr_tomo.preprocess",
    "normalise_tilts": "napari_inr_tomo.preprocess",
    "set_angles": "napari_inr_tomo.preprocess",
    "flip_handedness": "napari_inr_tomo.preprocess",
    "set_pixel_size": "napari_inr_tomo.preprocess",
    "set_passes": "napari_inr_tomo.preprocess",
    "sort_tilts": "napari_inr_tomo.preprocess",
    "align_cross_correlation": "napari_inr_tomo.align",
    "align_common_line": "napari_inr_tomo.align",
    "align_center_of_mass": "napari_inr_tomo.align",
    "align_tilt_axis": "napari_inr_tomo.align",
    "align_projections": "napari_inr_tomo.align",
    "set_tilt_axis": "napari_inr_tomo.align",
    "shift_by_hand": "napari_inr_tomo.align",
    "set_poses": "napari_inr_tomo.align",
    "apply_poses": "napari_inr_tomo.io.series",
}
PREPROCESSING = tuple(
    name for name, where in _WHERE.items() if where == "napari_inr_tomo.preprocess"
)
"""The steps that change images, angles, views or the pixel size."""
_NOTHING_TO_DO = ("read_poses", "poses_of_run", "reset_poses", "simulate")
"""Steps that only wrote poses (those of the record are put in at the end), or that made
the stack in the first place."""


def series_of_record(stack: Path, spec: RunSpec) -> TiltSeries:
    """Open a stack and do what its record says; angles, poses, views are the record's.

    So is its history, but for steps that were done on another device: they say which.
    Raises `UserError` where a step cannot be done again or the stack is another one.
    """
    from napari_inr_tomo.io import read_images

    images = read_images(stack)
    raw_angles = images.angles_deg
    count = len(spec.original_angles_deg)
    if raw_angles is None or len(images) == count:
        if len(images) != count:
            raise _other_stack(stack, f"it has {len(images)} images, not {count}")
        raw_angles = spec.original_angles_deg
    series = images.with_angles(raw_angles)
    history = series.history
    for step in _remaining(stack, series.history, spec.history):
        before, series = series, again(series, step)
        done = series.history[len(before.history) :]
        history = (*history, _as_done(step, done[-1] if done else step))
    if len(series) != count:
        raise _other_stack(stack, f"{len(series)} images are left, not {count}")
    return series.evolve(
        angles_deg=spec.original_angles_deg,
        poses=spec.original_poses,
        used=spec.original_used,
        pixel_size_nm=spec.pixel_size_nm,
        name=spec.name,
        angle_source=spec.angle_source,
        history=history,
        group=spec.original_group,
    )


def _as_done(recorded: Step, done: Step) -> Step:
    """Return the recorded step, or the one done instead where its device was another.

    Then the images agree with those of the record to rounding, not bit for bit.
    """
    devices = {step.parameters.get("device", "cpu") for step in (recorded, done)}
    return recorded if len(devices) == 1 else done


def _remaining(
    stack: Path, done: tuple[Step, ...], wanted: tuple[Step, ...]
) -> tuple[Step, ...]:
    known = [step.to_json() for step in done]
    if known != [step.to_json() for step in wanted[: len(done)]]:
        raise _other_stack(
            stack, "its own history is not the beginning of the record's"
        )
    return wanted[len(done) :]


def again(series: TiltSeries, step: Step) -> TiltSeries:
    """Return the series after one more step of a history, done with its settings.

    Raises `UserError` for a step that cannot be done again, and as the steps do.
    """
    if step.name in _NOTHING_TO_DO:
        return series
    if step.name not in _WHERE:
        raise UserError(
            "The record cannot be followed from this stack",
            f"the step {step.name} cannot be done again",
            "Use the run folder itself: inr-tomo rerun RUN -o VOLUME",
        )
    function = _function(step.name)
    accepted = inspect.signature(function).parameters
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in step.parameters.items()
        if name in accepted
    }
    if "device" in accepted:
        settings.setdefault("device", "cpu")  # of lines written before there was one
    return function(series, **settings)


def _function(name: str) -> Callable[..., TiltSeries]:
    from importlib import import_module

    function: Callable[..., TiltSeries] = getattr(import_module(_WHERE[name]), name)
    return function


def _other_stack(stack: Path, why: str) -> UserError:
    return UserError(
        f"{stack} is not the stack of this record",
        why,
        "Give the stack the record was made from, or use the run folder itself: "
        "inr-tomo rerun RUN -o VOLUME",
    )


def check_same_input(stack: Path, found: str, wanted: str) -> None:
    """Raise `UserError` where the images are not, bit for bit, those of the record."""
    if found != wanted:
        raise _other_stack(
            stack, "after the recorded steps its images are not those of the record"
        )
