"""Run folders: make one, start its workers, follow, ask, read the result.

No torch and no Qt: a watcher stays light.  The workers are a program of their own.
"""

from napari_inr_tomo.hardware import visible_gpus
from napari_inr_tomo.layout import RunPaths, RunSpec
from napari_inr_tomo.runs.catalogue import RunEntry, delete_run, list_runs
from napari_inr_tomo.runs.continuing import continue_run, known_poses
from napari_inr_tomo.runs.estimates import Estimate, check_space, estimate
from napari_inr_tomo.runs.folder import RunFolder, create_run
from napari_inr_tomo.runs.follow import Follower
from napari_inr_tomo.runs.launching import (
    Launch,
    check_needs,
    default_processes,
    launch,
    start_command,
)
from napari_inr_tomo.runs.queue import (
    QueuedRun,
    QueueFolder,
    create_queue,
    default_places,
    is_queue,
    work_through,
)
from napari_inr_tomo.runs.repeating import as_chosen, copy_run
from napari_inr_tomo.runs.slurm import sbatch, slurm_script, submit_slurm
from napari_inr_tomo.runs.status import RunStatus, State
from napari_inr_tomo.runs.timing import Costs, Expected, expected, measure
from napari_inr_tomo.runs.variations import Variation, setting_keys, vary

__all__ = [
    "Costs",
    "Estimate",
    "Expected",
    "Follower",
    "Launch",
    "QueueFolder",
    "QueuedRun",
    "RunEntry",
    "RunFolder",
    "RunPaths",
    "RunSpec",
    "RunStatus",
    "State",
    "Variation",
    "as_chosen",
    "check_needs",
    "check_space",
    "continue_run",
    "copy_run",
    "create_queue",
    "create_run",
    "default_places",
    "default_processes",
    "delete_run",
    "estimate",
    "expected",
    "launch",
    "list_runs",
    "measure",
    "sbatch",
    "is_queue",
    "known_poses",
    "setting_keys",
    "slurm_script",
    "start_command",
    "submit_slurm",
    "vary",
    "visible_gpus",
    "work_through",
]
