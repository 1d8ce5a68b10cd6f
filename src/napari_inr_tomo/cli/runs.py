"""``resume``, ``follow``, ``stop`` and ``export``: commands for a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_inr_tomo.cli import common, jobs, watch
from napari_inr_tomo.cli.options import (
    AsJson,
    DeviceChoice,
    OptionalVolumeOut,
    PosesOut,
    Processes,
    Run,
    VolumeOut,
)
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.runs import RunFolder


def _open(folder: Path) -> RunFolder:
    from napari_inr_tomo.runs import RunFolder

    return RunFolder(folder)


def list_runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that holds run folders.")
    ] = Path("~/inr-tomo-runs"),
    as_json: AsJson = False,
) -> None:
    """List the runs in a folder, newest first."""
    from napari_inr_tomo import runs

    entries = runs.list_runs(folder.expanduser())
    lines = [
        f"{e.path}: {e.problem}"
        if e.problem
        else f"{e.path}: {e.method} ({e.preset}) of {e.series}, {_words(e.status)}"
        for e in entries
    ]
    values = [
        {
            "run": e.path,
            "series": e.series,
            "method": e.method,
            "preset": e.preset,
            "created": e.created,
            "problem": e.problem or None,
        }
        | vars(e.status)
        for e in entries
    ]
    common.answer({"runs": values}, as_json, lines or [f"no runs in {folder}"])


def resume(
    folder: Run,
    output: OptionalVolumeOut = None,
    poses: PosesOut = None,
    processes: Processes = None,
    device: DeviceChoice = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped, cancelled or interrupted, or start it."""
    common.check_volume_out(output)
    common.check_poses_out(poses)
    common.check_device(device)
    common.check_apart([output, poses], more=[folder])
    run = _open(folder)
    if run.status().state == "finished":
        raise UserError(
            f"The run {run.path} cannot be resumed",
            "it went to its planned end",
            "Write its volume with: inr-tomo export RUN -o VOLUME",
        )
    jobs.run_to_the_end(run, processes, device)
    values = jobs.write_outputs(run, output, poses)
    common.answer(values, as_json, jobs.report(values))


def follow(folder: Run, as_json: AsJson = False) -> None:
    """Watch a run until it ends; Ctrl-C only ends the watching."""
    run = _open(folder)
    status = watch.watch(run, mine=False)
    if status.active:
        common.note(f"The run goes on in {run.path}")
    values: dict[str, Any] = {"run": run.path} | vars(status)
    said = _words(status)
    named = said.lower().startswith(status.state)
    common.answer(values, as_json, [said if named else f"{status.state}: {said}"])


def _words(status: Any) -> str:
    return status.message or watch.in_words(status)


def stop(
    folder: Run,
    cancel: Annotated[
        bool,
        typer.Option("--cancel", help="Give the result up; the checkpoint stays."),
    ] = False,
) -> None:
    """Ask a run to stop and keep its result."""
    run = _open(folder)
    status = run.status()
    if not status.active:
        raise UserError(
            f"The run {run.path} is not running",
            f"it is {status.state}",
            "Take its job out of the queue with scancel"
            if status.state == "waiting"
            else "There is nothing to stop",
        )
    run.request("cancel" if cancel else "stop")
    common.say("Asked it to cancel." if cancel else "Asked it to stop and keep.")


def export(folder: Run, output: VolumeOut, poses: PosesOut = None) -> None:
    """Write the volume of a run in the format its name asks for."""
    common.check_volume_out(output)
    common.check_poses_out(poses)
    common.check_apart([output, poses], more=[folder])
    run = _open(folder)
    run.verify_result()
    values = jobs.write_outputs(run, output, poses)
    common.say(f"wrote {values['volume']}")
    if poses is not None:
        common.say(f"wrote {poses}")
