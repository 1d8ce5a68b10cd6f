"""``reconstruct``, ``rerun`` and ``submit``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    OptionalVolumeOut,
    PosesOut,
    PosesStart,
    PresetChoice,
    Processes,
    RefinePoses,
    RunOut,
    Seed,
    SlabAt,
    Stack,
    StartFrom,
    VolumeOut,
)
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.config import ReconstructionConfig
    from napari_inr_tomo.runs import RunFolder
    from napari_inr_tomo.types import TiltSeries


def reconstruct(
    stack: Stack,
    output: VolumeOut,
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
    seed: Seed = None,
    run: RunOut = None,
    poses: PosesOut = None,
    poses_start: PosesStart = None,
    slab: SlabAt = None,
    start_from: StartFrom = None,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="record.json",
            help="Do again what this record of a result says, with its settings.",
        ),
    ] = None,
    others: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="STACK",
            help="A further stack the record was made with, such as the second scan or "
            "the next pass; again for each, in their order.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reconstruct the volume of a tilt series, through a run folder.

    Ctrl-C stops and keeps the result so far; a second Ctrl-C cancels.  The run folder
    is kept, for export, resume and the window.
    """
    from napari_inr_tomo.runs import RunFolder

    wishes = jobs.Wishes(
        method, preset, config, iterations, epochs, refine_poses, depth, device,
        processes, seed,
    )  # fmt: skip
    common.check_volume_out(output)
    common.check_poses_out(poses)
    more = [config, poses_start, start_from, record, *(others or [])]
    common.check_apart([output, poses], [stack], more, [angles])
    if slab is not None:
        _check_slab(refine_poses, start_from)
    if others and record is None:
        raise UserError(
            "--with goes with --record only",
            "only a record says what a further stack is for",
            "Leave it out, or bring the stacks together first: inr-tomo drift or merge",
        )
    folder = run or jobs.run_folder_beside(output)
    if record is not None:
        given = [*wishes.said(), *(["--angles"] if angles else [])]
        given += ["--slab"] if slab is not None else []
        given += ["--start-from"] if start_from else []
        given += ["--poses-start"] if poses_start else []
        started = _from_record(folder, stack, record, given, others or [])
    else:
        earlier = None if start_from is None else RunFolder(start_from)
        settings = wishes.settings(None if earlier is None else earlier.config)
        series = jobs.start_poses(common.open_series(stack, angles), stack, poses_start)
        if slab is not None:
            _reconstruct_slab(
                folder, series, settings, stack, slab, output, poses, as_json
            )
            return
        started = jobs.make_run(folder, series, settings, stack, earlier)
    _finish(started, output, poses, as_json)


def _check_slab(refine_poses: bool | None, start_from: Path | None) -> None:
    """Refuse what cannot be done with a few slices."""
    if start_from is not None:
        raise UserError(
            "--slab cannot be used with --start-from",
            "the network of a run knows the whole volume, not a slab of it",
            "Leave one of them out",
        )
    if refine_poses:
        raise UserError(
            "--slab cannot be used with --refine-poses",
            "a few slices say too little of the poses, which stay as they start",
            "Leave one of them out",
        )


def _reconstruct_slab(
    folder: Path,
    series: TiltSeries,
    settings: ReconstructionConfig,
    source: Path,
    position: int,
    output: Path,
    poses: Path | None,
    as_json: bool,
) -> None:
    """Reconstruct a few slices and write them without the margin they needed.

    The poses written are those of the whole images, as the series has them.
    """
    from dataclasses import replace

    from napari_inr_tomo.io import read_volume, write_poses, write_volume
    from napari_inr_tomo.preprocess import cut_slab

    slab = cut_slab(series, position)
    run = jobs.make_run(folder, slab.series, slab.settings(settings), source)
    jobs.run_to_the_end(run)
    volume = read_volume(run.result())
    write_volume(output, replace(volume, data=slab.inner(volume.data)))
    values = jobs.write_outputs(run, None, None) | {"volume": output}
    if poses is not None:
        table = series.angles_deg, series.start_poses, series.mask
        write_poses(poses, *table, residual=jobs.residuals(run))
        values["poses"] = poses
    values["slices"] = {"axis": "zyx"[slab.axis], "first": slab.first}
    values["slices"]["last"] = slab.last - 1
    said = f"slices {slab.first} to {slab.last - 1} along {'zyx'[slab.axis]}"
    common.answer(values, as_json, [said, *jobs.report(values)])


def _from_record(
    folder: Path, stack: Path, record: Path, given: list[str], others: list[Path]
) -> RunFolder:
    from napari_inr_tomo.layout import read_spec
    from napari_inr_tomo.replay import check_same_input, series_of_record
    from napari_inr_tomo.runs import as_chosen

    if given:
        raise UserError(
            f"{', '.join(given)} cannot be used with --record",
            "the record holds all settings, and others would give another result",
            "Leave either the record or these options out",
        )
    spec = read_spec(record)
    if spec.started_from:
        raise UserError(
            "The record alone is not enough",
            f"its run went on with the network of {spec.started_from}",
            "Use the run folder itself: inr-tomo rerun RUN -o VOLUME",
        )
    series = series_of_record(stack, spec, others)
    settings = as_chosen(spec.config, record)
    run = jobs.make_run(folder, series, settings, stack)
    if series.history != spec.history:
        common.note(
            "Note: a step of the record was computed on a device that was not used "
            "now, so the images agree with those of the record to rounding only and "
            "were not compared with them"
        )
        return run
    try:
        check_same_input(stack, run.spec.input_sha256, spec.input_sha256)
    except UserError:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def _finish(run: RunFolder, output: Path, poses: Path | None, as_json: bool) -> None:
    jobs.run_to_the_end(run)
    values = jobs.write_outputs(run, output, poses)
    common.answer(values, as_json, jobs.report(values))


def rerun(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Run folder, or the record.json in it."),
    ],
    output: VolumeOut,
    run: RunOut = None,
    poses: PosesOut = None,
    as_json: AsJson = False,
) -> None:
    """Run a job again from its run folder: same images, settings, seed, start poses.

    On the same machine the result is the same.  A run that was stopped early now goes
    to its planned end.
    """
    from napari_inr_tomo.runs import RunFolder, copy_run

    common.check_volume_out(output)
    common.check_poses_out(poses)
    if source.name == "record.json":
        source = source.absolute().parents[1]
    common.check_apart([output, poses], more=[source])
    started = copy_run(RunFolder(source), run or jobs.run_folder_beside(output))
    common.note(f"Run folder (kept): {started.path}")
    _finish(started, output, poses, as_json)


def submit(
    stack: Stack,
    output: OptionalVolumeOut = None,
    angles: Angles = None,
    method: MethodChoice = None,
    preset: PresetChoice = None,
    config: ConfigFile = None,
    iterations: Iterations = None,
    epochs: Epochs = None,
    refine_poses: RefinePoses = None,
    depth: Depth = None,
    seed: Seed = None,
    run: RunOut = None,
    poses_start: PosesStart = None,
    slurm: Annotated[
        bool, typer.Option("--slurm", help="Under SLURM, the one scheduler known.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the script.")
    ] = False,
    nodes: Annotated[int, typer.Option(metavar="N", min=1, help="Nodes.")] = 1,
    gpus_per_node: Annotated[
        int, typer.Option(metavar="N", min=1, help="GPUs, and processes, per node.")
    ] = 4,
    time: Annotated[str, typer.Option(metavar="H:M:S", help="Time limit.")] = (
        "04:00:00"
    ),
    account: Annotated[
        str | None, typer.Option(metavar="NAME", help="Account that pays.")
    ] = None,
    save_before: Annotated[
        int,
        typer.Option(
            metavar="S",
            min=30,
            help="Seconds before the limit to save and go back into the queue.",
        ),
    ] = 180,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION",
            help="Further sbatch option, e.g. --sbatch=--partition=gpu; repeatable.",
        ),
    ] = None,
) -> None:
    """Make a run folder and give it to SLURM, to run on one or several nodes."""
    from napari_inr_tomo.runs import (
        create_run,
        delete_run,
        find_sbatch,
        slurm_script,
        submit_slurm,
    )

    if not slurm:
        raise UserError(
            "No scheduler was named", "SLURM is the one that is known", "Add --slurm"
        )
    common.check_volume_out(output)
    common.check_apart([output], [stack], [config, poses_start], [angles])
    beside = output or Path.cwd() / stack.with_suffix("").name
    folder = run or jobs.run_folder_beside(beside)
    wishes = jobs.Wishes(
        method, preset, config, iterations, epochs, refine_poses, depth, None, None,
        seed,
    )  # fmt: skip
    settings = wishes.settings()
    script = slurm_script(
        folder,
        nodes,
        gpus_per_node,
        time,
        sbatch or (),
        output,
        account=account,
        save_before_s=save_before,
    )
    if dry_run:
        common.say(script.rstrip())
        return
    find_sbatch()  # before a run folder is made
    series = jobs.start_poses(common.open_series(stack, angles), stack, poses_start)
    started = create_run(folder, series, settings, source_name=stack.name)
    try:
        said = submit_slurm(started.path, script)
    except UserError:
        delete_run(started.path)  # the same command, corrected, makes it again
        raise
    common.note(f"Run folder (kept): {started.path}")
    common.say(said)
    common.say(f"Watch it with: inr-tomo follow {started.path}")
