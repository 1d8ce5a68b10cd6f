"""``queue``: one reconstruction several times, with one setting varied."""

from __future__ import annotations

from pathlib import Path
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
    RefinePoses,
    Seed,
    with_name,
)
from napari_inr_tomo.cli.watch import on_interrupt
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.runs import QueueFolder


def queue(
    stack: Annotated[
        Path,
        typer.Argument(
            metavar="STACK|QUEUE",
            help="Tilt series, or a queue to go on with.",
            callback=with_name,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder of the queue."),
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(
            metavar="KEY=V1,V2,...",
            help="The setting and its values, e.g. inr.schedule.epochs=10,20,40.",
        ),
    ] = None,
    angles: Angles = None,
    method: MethodChoice = None,
    preset: PresetChoice = None,
    config: ConfigFile = None,
    iterations: Iterations = None,
    epochs: Epochs = None,
    refine_poses: RefinePoses = None,
    depth: Depth = None,
    device: DeviceChoice = None,
    seed: Seed = None,
    poses_start: PosesStart = None,
    at_once: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Runs at once.  [default: one per GPU, else 1]"
        ),
    ] = None,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="End the queue QUEUE that goes on.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Only say how the queue QUEUE stands.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Reconstruct once for every value of one setting; compare the numbers.

    Ctrl-C starts no further run and cancels the one that goes on; the queue can be
    taken up again by its folder.  A run that fails does not stop the others.
    """
    from napari_inr_tomo import runs

    wishes = jobs.Wishes(
        method, preset, config, iterations, epochs, refine_poses, depth, device,
        None, seed,
    )  # fmt: skip
    if runs.is_queue(stack):
        given = {"--vary": vary, "-o": output, "--angles": angles}
        given["--poses-start"] = poses_start
        found = _opened(stack, [*filter(given.get, given), *wishes.said()])
    else:
        if cancel or status:
            raise UserError(
                f"{stack} is no queue", "it holds no queue.json", "Give its folder"
            )
        found = _made(stack, output, vary, wishes, angles, poses_start)
    if cancel:
        _cancel(found)
        return
    if not status:
        _work(found, at_once)
    _answer(found, as_json)


def _opened(folder: Path, given: list[str]) -> QueueFolder:
    """Return a queue; nothing may be ``given`` that it knows already."""
    from napari_inr_tomo import runs

    if given:
        raise UserError(
            f"{folder} is a queue already",
            "its runs and their settings were made with it",
            f"Leave {', '.join(given)} out to go on with it, or give the tilt series",
        )
    return runs.QueueFolder(folder)


def _made(
    stack: Path,
    output: Path | None,
    vary: str | None,
    wishes: jobs.Wishes,
    angles: str | None,
    poses_start: Path | None,
) -> QueueFolder:
    from napari_inr_tomo import runs

    key, equals, values = (vary or "").partition("=")
    if not equals or output is None:
        raise UserError(
            "The queue cannot be made",
            "a queue needs --vary KEY=V1,V2,... and -o DIR",
            "Write e.g. --vary inr.schedule.epochs=10,20,40 -o queue",
        )
    settings = wishes.settings()
    common.note_without_card(settings.compute.device)
    variations = runs.vary(settings, key.strip(), values.split(","))
    series = jobs.start_poses(common.open_series(stack, angles), stack, poses_start)
    made = runs.create_queue(output, series, variations, source_name=stack.name)
    common.note(f"Queue (kept): {made.path}")
    return made


def _cancel(queue: QueueFolder) -> None:
    if not queue.alive:
        raise UserError(
            f"The queue {queue.path} is not at work",
            "no process works through it",
            "There is nothing to cancel",
        )
    queue.request_cancel()
    common.say("Asked the queue to end.")


def _work(queue: QueueFolder, at_once: int | None) -> None:
    from napari_inr_tomo import runs

    pressed = 0

    def count(times: int) -> None:
        nonlocal pressed
        pressed = times
        common.note("Cancelling; the queue can be taken up again.")

    with on_interrupt(count):
        places = at_once or _places(queue)
        for line in runs.work_through(queue, places, lambda: pressed > 0):
            common.note(line)


def _places(queue: QueueFolder) -> int:
    from napari_inr_tomo import runs

    for run in queue.runs():
        if run.status is not None:
            return runs.default_places(runs.RunFolder(run.path).config)
    return 1


def _answer(queue: QueueFolder, as_json: bool) -> None:
    found = queue.runs()
    values: list[dict[str, Any]] = []
    lines = []
    for run in found:
        value: dict[str, Any] = {"run": run.path, "label": run.label}
        value["state"] = run.words
        status = run.status
        if status is not None:
            value |= {
                "loss": status.loss,
                "holdout": status.holdout,
                "elapsed_s": status.elapsed_s,
                "message": run.problem or status.message,
            }
        values.append(value)
        lines.append("  ".join(_cells(value)))
    common.answer(
        {"queue": queue.path, "key": queue.key, "runs": values}, as_json, lines
    )


def _cells(value: dict[str, Any]) -> list[str]:
    loss, holdout = value.get("loss"), value.get("holdout")
    return [
        f"{value['label']:<24}",
        f"{value['state']:<12}",
        f"loss {loss:.4g}" if loss is not None else "loss -",
        f"hold-out {holdout:.4g}" if holdout is not None else "hold-out -",
        f"{value.get('elapsed_s') or 0:.0f} s",
    ]
