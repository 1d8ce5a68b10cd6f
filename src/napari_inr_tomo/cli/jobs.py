"""From settings and a series to a run folder, and from there to the volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inr_tomo.cli.common import (
    check_device,
    new_notices,
    note,
    note_without_card,
)
from napari_inr_tomo.cli.watch import require_result, watch
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.config import ReconstructionConfig
    from napari_inr_tomo.runs import RunFolder
    from napari_inr_tomo.types import TiltSeries


@dataclass(frozen=True)
class Wishes:
    """The settings given on the command line; None where nothing was said."""

    method: str | None = None
    preset: str | None = None
    config: Path | None = None
    iterations: int | None = None
    epochs: int | None = None
    refine_poses: bool | None = None
    depth: int | None = None
    device: str | None = None
    processes: int | None = None
    seed: int | None = None

    def said(self) -> list[str]:
        """Return the options that were given."""
        names = [name for name, value in vars(self).items() if value is not None]
        return [f"--{name.replace('_', '-')}" for name in names]

    def settings(
        self, earlier: ReconstructionConfig | None = None
    ) -> ReconstructionConfig:
        """Return all settings: preset, then file, then options.

        earlier: of the run to go on from, in place of the preset where none is given.
        """
        from napari_inr_tomo.config import ReconstructionConfig

        preset: Any = self.preset
        if earlier is not None and preset is None and self.config is None:
            config = earlier
        elif self.config is not None:
            config = ReconstructionConfig.load(self.config, preset)
        else:
            config = ReconstructionConfig.from_preset(preset or "fast")
        config = config.merged(self._changes())
        self._check(config)
        return config

    def _changes(self) -> dict[str, Any]:
        from napari_inr_tomo.config import nested

        wanted = {
            "method": self.method,
            "seed": self.seed,
            "depth_px": self.depth,
            "classic.iterations": self.iterations,
            "inr.schedule.epochs": self.epochs,
            "inr.poses.refine": self.refine_poses,
            "compute.device": self.device,
            "compute.processes": self.processes,
        }
        return nested({n: value for n, value in wanted.items() if value is not None})

    def _check(self, config: ReconstructionConfig) -> None:
        """Refuse options that would do nothing; say so where that does no harm.

        One line of options then serves all methods, with a preset for the INR and a
        number of iterations that the single pass of FBP has no use for.
        """
        check_device(self.device)
        idle = {
            "--iterations": self.iterations is not None and config.method == "inr",
            "--epochs": self.epochs is not None and config.method != "inr",
            "--refine-poses": self.refine_poses and config.method != "inr",
        }
        for option in (name for name, is_idle in idle.items() if is_idle):
            raise UserError(
                f"{option} has no meaning here",
                f"the method {config.method} does not know it",
                "Leave it out, or choose another --method (--iterations goes with "
                "sirt and tv, --epochs and --refine-poses with inr)",
            )
        if self.preset is not None and config.method != "inr":
            note(f"Note: --preset changes nothing: {config.method} has no presets")
        if self.iterations is not None and config.method == "fbp":
            note("Note: --iterations changes nothing: fbp is a single pass")


def start_poses(series: TiltSeries, stack: Path, file: Path | None) -> TiltSeries:
    """Return the series with the poses and views of an alignment file or a run."""
    from napari_inr_tomo.cli.alignments import aligned_before

    run = file if file is not None and file.is_dir() else None
    done = aligned_before(series, stack, None if run else file, run, None)
    new_notices(series, done)
    return done


def run_folder_beside(output: Path) -> Path:
    """Return a free folder name beside the output: ``volume.inr-run``, else ``-2``."""
    name = output.name
    for suffix in (".ome.zarr", output.suffix):
        name = name.removesuffix(suffix)
    folder = output.with_name(f"{name}.inr-run")
    count = 1
    while folder.exists():
        count += 1
        folder = output.with_name(f"{name}-{count}.inr-run")
    return folder


def make_run(
    folder: Path,
    series: TiltSeries,
    config: ReconstructionConfig,
    source: Path,
    earlier: RunFolder | None = None,
) -> RunFolder:
    """Make the run folder; say where it is, and where the angles come from.

    earlier: the run to go on from, see `napari_inr_tomo.runs.continue_run`.
    """
    from napari_inr_tomo.runs import continue_run, create_run

    if earlier is None:
        run = create_run(folder, series, config, source_name=source.name)
    else:
        run = continue_run(folder, series, earlier, config, source_name=source.name)
    note(f"Source of the angles: {series.angle_source}")
    note(f"Run folder (kept): {run.path}")
    return run


def run_to_the_end(
    run: RunFolder, processes: int | None = None, device: str | None = None
) -> None:
    """Launch, follow, and return when there is a result; else raises `UserError`."""
    from napari_inr_tomo.runs import check_needs, default_processes, launch

    note_without_card(device or run.config.compute.device)
    count = processes or default_processes(run.config, device)
    doubt = check_needs(run, count, device)
    if doubt is not None:
        note(f"Warning: {doubt}")
    launch(run, processes=processes, device=device)
    require_result(run, watch(run, mine=True))


def write_outputs(
    run: RunFolder, output: Path | None, poses: Path | None
) -> dict[str, Any]:
    """Write volume and poses where asked; return what the answer says."""
    from napari_inr_tomo.io import write_poses

    if output is not None:
        run.export(output)
    if poses is not None:
        write_poses(poses, *run.poses(), residual=residuals(run))
    status = run.status()
    return {
        "state": status.state,
        "run": run.path,
        "volume": output or run.result(),
        "poses": poses or run.paths.result_poses,
        "method": run.config.method,
        "steps": status.step,
        "loss": status.loss,
        "message": status.message,
        "reason": status.reason,
        "kept": status.kept,
        "holdout": status.holdout,
        "elapsed_s": status.elapsed_s,
    }


def residuals(run: RunFolder) -> list[float] | None:
    """Return the residual of every tilt of the result, NaN where there is none."""
    import csv

    with open(run.paths.result_poses, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    values = [float(row.get("residual") or "nan") for row in rows]
    return values or None


def report(values: dict[str, Any]) -> list[str]:
    """Return the answer in words."""
    numbers = {"loss": values["loss"], "loss on held-out pixels": values["holdout"]}
    return [
        values["message"],
        *(f"{name}: {n:.4g}" for name, n in numbers.items() if n is not None),
        f"volume: {values['volume']}",
        f"poses: {values['poses']}",
    ]
