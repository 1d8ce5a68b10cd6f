"""What is done to every new tilt: the preprocessing of an earlier series, again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo import atomic
from napari_inr_tomo.align import current_axis
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.replay import PREPROCESSING, again
from napari_inr_tomo.types import FloatArray, Poses, Step, TiltSeries

SAME_DEG = 0.02
"""A new tilt this near in angle to an excluded one is excluded, too."""
_ONE_BY_ONE = ("bin_images", "fourier_downsample")
_OF_ONE_SERIES = ("exclude_views", "include_views", "set_angles")


@dataclass(frozen=True)
class Recipe:
    """Steps to do again, in order; angles to leave out; the tilt axis.

    first: leading steps that treat every image on its own and make it smaller; done
    once a tilt.  rest: the others, done on all tilts so far whenever one comes, so that
    the series is in the end what the recipe makes of the whole stack.
    excluded_deg: degrees.  axis_deg, axis_shift_px: as `set_tilt_axis` takes them, in
    pixels of the treated images.  left_out: sentences about what cannot be done again.
    """

    first: tuple[Step, ...] = ()
    rest: tuple[Step, ...] = ()
    excluded_deg: tuple[float, ...] = ()
    axis_deg: float = 0.0
    axis_shift_px: float = 0.0
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, series: TiltSeries) -> Recipe:
        """Return the recipe of a series: its history, excluded tilts and tilt axis.

        Alignments are not repeated (new tilts are aligned to their neighbours), nor are
        steps that belong to the images of that series alone.
        """
        steps: list[Step] = []
        left_out: list[str] = []
        for step in series.history:
            step = _without_its_tilts(step, left_out)
            if step.name in PREPROCESSING and step.name not in _OF_ONE_SERIES:
                steps.append(step)
            elif step.name == "edited_in_napari":
                left_out.append("What was edited by hand cannot be done again.")
        count = 0
        while count < len(steps) and steps[count].name in _ONE_BY_ONE:
            count += 1
        axis_deg, shift_px = current_axis(series)
        return cls(
            tuple(steps[:count]),
            tuple(steps[count:]),
            tuple(float(a) for a in series.angles_deg[~series.mask]),
            axis_deg,
            shift_px,
            tuple(left_out),
        )

    def reduced(self, series: TiltSeries) -> TiltSeries:
        """Return a series after the steps that are done once a tilt."""
        return _done(series, self.first)

    def applied(self, series: TiltSeries) -> TiltSeries:
        """Return all tilts so far after the other steps, the excluded ones marked.

        Where fewer than two tilts would be left none is excluded.
        """
        series = _done(series, self.rest)
        if not self.excluded_deg:
            return series
        apart = np.abs(series.angles_deg[:, None] - np.array(self.excluded_deg)[None])
        used = series.mask & (apart.min(axis=1) > SAME_DEG)
        return series.evolve(used=used) if used.sum() >= 2 else series

    def start_pose(self) -> FloatArray:
        """Return (4,) z1, z3, dx, dy of a tilt whose own shift is not known yet."""
        angle = np.deg2rad(self.axis_deg)
        dx, dy = -np.sin(angle), np.cos(angle)
        shift = self.axis_shift_px
        poses = Poses.from_axis(1, self.axis_deg, shift * dx, shift * dy)
        return poses.as_array().reshape(4)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        value = {
            "kind": "recipe",
            "first": [step.to_json() for step in self.first],
            "rest": [step.to_json() for step in self.rest],
            "excluded_deg": list(self.excluded_deg),
            "axis_deg": self.axis_deg,
            "axis_shift_px": self.axis_shift_px,
            "left_out": list(self.left_out),
        }
        atomic.write_json(path, value)

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Return the recipe of a run folder, of a stack with its history, or a file.

        path: a run folder, a stack that this program wrote, or what `save` wrote.
        Raises `UserError` where there is no history in it.
        """
        path = Path(path)
        if (path / "run.json").is_file():
            from napari_inr_tomo.layout import read_run

            spec = read_run(path)
            empty = np.zeros((len(spec.original_angles_deg), 1, 1), np.float32)
            return cls.of(
                TiltSeries(
                    empty,
                    spec.original_angles_deg,
                    spec.original_poses,
                    spec.original_used,
                    history=spec.history,
                )
            )
        if path.suffix.lower() != ".json":
            from napari_inr_tomo.io import read_series

            return cls.of(read_series(path))
        try:
            return cls._from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The recipe {path} cannot be read",
                " ".join(str(error).split()) or type(error).__name__,
                "Give a run folder, or a stack that was written with its history",
            ) from None

    @classmethod
    def _from_json(cls, value: Any) -> Recipe:
        if value["kind"] != "recipe":
            raise ValueError("it is a record of something else")
        steps = {
            part: tuple(Step.from_json(step) for step in value[part])
            for part in ("first", "rest")
        }
        return cls(
            **steps,
            excluded_deg=tuple(float(a) for a in value["excluded_deg"]),
            axis_deg=float(value["axis_deg"]),
            axis_shift_px=float(value["axis_shift_px"]),
            left_out=tuple(str(text) for text in value["left_out"]),
        )


def _without_its_tilts(step: Step, left_out: list[str]) -> Step:
    """Return a step without what belongs to the tilts of one series alone."""
    parameters = dict(step.parameters)
    if parameters.get("mask") is not None:
        left_out.append(f"The mask drawn by hand in {step.name} is not used.")
        parameters |= {"mask": None, "follow_mask": False}
    degrees = np.asarray(parameters.get("degree_yx", (0, 0)))
    if degrees.ndim > 1:
        highest = degrees.max(axis=0).tolist()
        left_out.append(
            f"The degrees of {step.name} are not chosen tilt by tilt; all have "
            f"{highest[0]}, {highest[1]} (y, x)."
        )
        parameters["degree_yx"] = highest
    return Step(step.name, parameters)


def _done(series: TiltSeries, steps: Sequence[Step]) -> TiltSeries:
    for step in steps:
        series = again(series, step)
    return series
