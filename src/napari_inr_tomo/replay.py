"""Doing again what a record says was done to a tilt series.

A record holds the history of the series it was made from: the name of every step and
its parameters.  A stack that is given with a record already has the first lines of that
history (from the file beside it, or none); the others are done again, in order.  What
was made of several stacks needs all of them.
Whether it worked is certain afterwards: the digest of the images must be the record's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.io.stack import ImageStack
    from napari_inr_tomo.kept import KeptSteps
    from napari_inr_tomo.layout import RunSpec
    from napari_inr_tomo.types import FloatArray, Step, TiltSeries

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


_OF_SEVERAL = {"merge_series": "names", "correct_series_drift": "others"}
"""Steps that need further stacks, and their parameter that names them."""
_ANGLES = ("set_angles", "flip_handedness", "sort_tilts")
"""Steps after which the angles are not those the stack had."""


def is_repeatable(history: Sequence[Step]) -> bool:
    """Return whether every step can be done again from one stack alone."""
    return all(step.name in (*_WHERE, *_NOTHING_TO_DO) for step in history)


def series_of_record(
    stack: Path, spec: RunSpec | KeptSteps, others: Sequence[Path] = ()
) -> TiltSeries:
    """Open a stack and do what its record says; angles, poses, views are the record's.

    So is its history, but for steps that were done on another device: they say which.
    others: the further stacks that a merge or a correction of drift needs, in order.
    Raises `UserError` where a step cannot be done again, a stack is missing or too
    many, or the stack is another one.
    """
    from napari_inr_tomo.io import read_images

    images = read_images(stack)
    count = len(spec.original_angles_deg)
    wanted, further = spec.history, list(others)
    if _merged(wanted) and not _merged(images.history):
        _check_further(wanted, further)
        series = _merged_again(stack, wanted[0], further)
        history, steps = wanted[:1], wanted[1:]
    else:
        steps = _remaining(stack, images, wanted)
        _check_further(steps, further)
        series = images.with_angles(_raw_angles(stack, images, steps, spec))
        history = series.history
    for step in steps:
        before = series
        if step.name == "correct_series_drift":
            series = again(series, step, _scans(step, further))
        else:
            series = again(series, step)
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


def _raw_angles(
    stack: Path,
    images: ImageStack,
    steps: Sequence[Step],
    spec: RunSpec | KeptSteps,
) -> FloatArray:
    """Return the angles a stack had before the steps.

    Its own, unless none of the steps changes them: then the record has them, and they
    may have been given by hand.
    """
    changes = [step for step in steps if step.name in _ANGLES]
    wanted = spec.original_angles_deg
    if not changes and len(images) == len(wanted):
        return wanted
    if images.angles_deg is not None:
        return images.angles_deg
    if changes and changes[0].name == "set_angles":
        wanted = np.asarray(changes[0].parameters["angles_deg"], np.float64)
    elif any(step.name == "sort_tilts" for step in changes):
        raise _other_stack(stack, "it has no angles to be sorted by")
    elif len(changes) % 2:
        wanted = -wanted
    if len(images) != len(wanted):
        raise _other_stack(stack, f"it has {len(images)} images, not {len(wanted)}")
    return wanted


def _merged(history: Sequence[Step]) -> bool:
    return bool(history) and history[0].name == "merge_series"


def _check_further(steps: Sequence[Step], others: Sequence[Path]) -> None:
    """Raise `UserError` unless there is one stack for every one the steps need."""
    needed = [name for step in steps for name in _further_names(step)]
    if len(others) < len(needed):
        listed = ", ".join(step.name for step in steps if _further_names(step))
        raise UserError(
            "The record cannot be followed from this stack alone",
            f"{listed} in it was done with further stacks ({', '.join(needed)}), and "
            f"{len(others)} of {len(needed)} are given",
            "Give each in this order with --with FILE, or start from the stack that "
            "was written afterwards",
        )
    if len(others) > len(needed):
        raise UserError(
            "The record does not need so many stacks",
            f"{len(others)} are given with --with, and {len(needed)} are used",
            "Give only those that its steps name",
        )


def _further_names(step: Step) -> list[str]:
    names = step.parameters.get(_OF_SEVERAL.get(step.name, ""), [])
    return list(names[1:] if step.name == "merge_series" else names)


def _merged_again(stack: Path, step: Step, further: list[Path]) -> TiltSeries:
    from napari_inr_tomo.preprocess import merge_series

    paths = [stack, *(further.pop(0) for _ in _further_names(step))]
    histories = step.parameters["histories"]
    return merge_series(
        [
            _prepared(path, history)
            for path, history in zip(paths, histories, strict=True)
        ]
    )


def _scans(step: Step, further: list[Path]) -> list[TiltSeries]:
    """Return the series of the other scan directions, as they were for this step."""
    paths = [further.pop(0) for _ in _further_names(step)]
    histories = step.parameters.get("histories") or [None] * len(paths)
    return [
        _prepared(path, history) for path, history in zip(paths, histories, strict=True)
    ]


def _prepared(path: Path, history: list[dict[str, Any]] | None) -> TiltSeries:
    """Return a further stack after its own history; None: as it is."""
    from napari_inr_tomo.io import read_images
    from napari_inr_tomo.types import Step

    images = read_images(path)
    steps: tuple[Step, ...] = ()
    if history is not None:
        wanted = tuple(Step.from_json(line) for line in history)
        steps = _remaining(path, images, wanted)
    angles = images.angles_deg
    if angles is None and steps and steps[0].name == "set_angles":
        angles = np.asarray(steps[0].parameters["angles_deg"], np.float64)
    series = images.with_angles(angles)
    for step in steps:
        series = again(series, step)
    return series


def _as_done(recorded: Step, done: Step) -> Step:
    """Return the recorded step, or the one done instead where its device was another.

    Then the images agree with those of the record to rounding, not bit for bit.
    """
    devices = {step.parameters.get("device", "cpu") for step in (recorded, done)}
    return recorded if len(devices) == 1 else done


def _remaining(
    stack: Path, images: ImageStack, wanted: tuple[Step, ...]
) -> tuple[Step, ...]:
    """Return the steps of a history that a stack has not behind it."""
    known = [step.to_json() for step in images.history]
    if known != [step.to_json() for step in wanted[: len(known)]]:
        raise _other_stack(
            stack, "its own history is not the beginning of the record's"
        )
    steps = wanted[len(known) :]
    if steps and steps[0].name == "set_angles":
        count = len(steps[0].parameters["angles_deg"])
        if len(images) != count:
            raise _other_stack(stack, f"it has {len(images)} images, not {count}")
    return steps


def again(
    series: TiltSeries, step: Step, others: Sequence[TiltSeries] = ()
) -> TiltSeries:
    """Return the series after one more step of a history, done with its settings.

    others: for ``correct_series_drift``, the series of the other scan directions.
    Raises `UserError` for a step that cannot be done again, and as the steps do.
    """
    if step.name in _NOTHING_TO_DO:
        return series
    if step.name not in _WHERE and not (others and step.name in _OF_SEVERAL):
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
    if others:
        settings["others"] = others
    return function(series, **settings)


def _function(name: str) -> Callable[..., TiltSeries]:
    from importlib import import_module

    where = _WHERE.get(name, "napari_inr_tomo.preprocess")
    function: Callable[..., TiltSeries] = getattr(import_module(where), name)
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
