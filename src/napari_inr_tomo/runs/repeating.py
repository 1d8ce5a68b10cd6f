"""A run once more, with what it chose by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_inr_tomo import atomic
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.layout import RunPaths, write_run
from napari_inr_tomo.provenance import now, versions
from napari_inr_tomo.runs.copies import copy, copy_start
from napari_inr_tomo.runs.estimates import check_space, estimate
from napari_inr_tomo.runs.folder import RunFolder, make_folder


def copy_run(run: RunFolder, folder: Path) -> RunFolder:
    """Write a new run folder with the same images, settings, seed and start poses.

    The arithmetic is that of ``run``, where it has a result (`as_chosen`).
    Raises `UserError` where the input of ``run`` is not what it began with, or as
    `create_run` does.
    """
    run.verify_input()
    paths, config = RunPaths(folder), as_chosen(run.config, run.paths.record)
    spec = replace(run.spec, config=config, created=now(), versions=versions())
    need = estimate(spec.config, spec.shape, spec.poses)
    check_space(paths.folder, need.disk_bytes)

    def fill() -> None:
        for name in ("input.npy", "valid.npy"):
            if (run.path / name).exists():
                copy(run.path / name, paths.folder / name)
        copy_start(run.paths, paths)
        write_run(paths, spec)

    return make_folder(paths, fill)


def as_chosen(config: ReconstructionConfig, record: Path) -> ReconstructionConfig:
    """Return the settings with the arithmetic that ``record`` says was chosen.

    On a processor it is found by trial, and another computer might find another; on a
    graphics card it is always the same.
    """
    if config.compute.precision != "auto":
        return config
    try:
        outcome = atomic.read_json(record)["outcome"]
        chosen, device = outcome["chosen"]["compute.precision"], outcome["device"]
    except (OSError, ValueError, KeyError, TypeError):
        return config
    if chosen not in ("float32", "bfloat16") or not str(device).startswith("CPU"):
        return config
    return config.merged({"compute": {"precision": chosen}})
