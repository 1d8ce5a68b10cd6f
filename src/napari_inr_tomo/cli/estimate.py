"""``estimate``: time and memory of a reconstruction, measured before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_inr_tomo.cli import common, jobs
from napari_inr_tomo.cli.options import (
    Angles,
    AsJson,
    ConfigFile,
    Depth,
    DeviceChoice,
    Epochs,
    Iterations,
    MethodChoice,
    PosesStart,
    PresetChoice,
    Processes,
    RefinePoses,
    Stack,
)
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.config import ReconstructionConfig
    from napari_inr_tomo.types import TiltSeries


def estimate(
    stack: Stack,
    angles: Angles = None,
    method: MethodChoice = None,
    preset: PresetChoice = None,
    config: ConfigFile = None,
    iterations: Iterations = None,
    epochs: Epochs = None,
    refine_poses: RefinePoses = None,
    depth: Depth = None,
    device: DeviceChoice = None,
    processes: Processes = None,
    poses_start: PosesStart = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Measure anew what was measured before."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say how long a reconstruction takes on this computer, and how much memory.

    A few steps of every phase run on this stack; what they cost is remembered.  Without
    a method, a preset or a file of settings: every preset, SIRT and TV.
    """
    given = (config, iterations, epochs, refine_poses)
    all_of_them = method is None and preset is None and not any(given)
    wishes = [
        jobs.Wishes(m, p, config, iterations, epochs, refine_poses, depth, device,
                    processes)
        for m, p in (_ALL if all_of_them else [(method, preset)])
    ]  # fmt: skip
    series = jobs.start_poses(common.open_series(stack, angles), stack, poses_start)
    rows = [_row(series, wish.settings(), again) for wish in wishes]
    common.answer({"estimates": rows}, as_json, [_in_words(row) for row in rows])


_ALL: list[tuple[Any, Any]] = [
    ("inr", "preview"),
    ("inr", "fast"),
    ("inr", "paper"),
    ("sirt", None),
    ("tv", None),
]


def _row(
    series: TiltSeries, config: ReconstructionConfig, again: bool
) -> dict[str, Any]:
    from napari_inr_tomo.runs import timing
    from napari_inr_tomo.runs.launching import default_processes

    shape = (int(series.mask.sum()), *series.images.shape[1:])
    named = {
        "method": config.method,
        "preset": config.preset if config.method == "inr" else None,
    }
    common.note(f"Measuring {_name(named)} ...")
    count = default_processes(config)
    try:
        costs = timing.measure(series, config, again=again)
        assert costs is not None  # noqa: S101 - nobody asks it to stop
        found = timing.expected(config, shape, costs, count)
    except UserError as error:
        nothing = {"seconds": None, "memory_bytes": None, "problem": str(error)}
        return named | nothing
    return named | {
        "seconds": found.seconds,
        "memory_bytes": found.memory_bytes,
        "processes": count,
        "device": found.device,
        "busy": costs.busy,
        "phases_s": found.phases_s,
        "problem": None,
    }


def _name(row: dict[str, Any]) -> str:
    preset = f" {row['preset']}" if row["preset"] else ""
    return f"{row['method']}{preset}"


def _in_words(row: dict[str, Any]) -> str:
    from napari_inr_tomo.runs.estimates import in_words
    from napari_inr_tomo.runs.timing import in_seconds

    if row["problem"]:
        return f"{_name(row)}: {row['problem']}"
    each = f" in each of {row['processes']} processes" if row["processes"] > 1 else ""
    busy = ", while the computer was busy" if row["busy"] else ""
    return (
        f"{_name(row)}: about {in_seconds(row['seconds'])}, "
        f"{in_words(row['memory_bytes'])}{each} (measured on {row['device']}{busy})"
    )
