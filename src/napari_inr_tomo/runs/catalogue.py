"""All runs of a folder at a glance, and getting rid of one."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo import atomic
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.mapped import map_volume
from napari_inr_tomo.runs.folder import RunFolder
from napari_inr_tomo.runs.queue import QueuedRun, QueueFolder, is_queue
from napari_inr_tomo.runs.status import RunStatus
from napari_inr_tomo.runs.variations import setting_keys, value_of, variation_words

THUMBNAIL_PX = 64


@dataclass(frozen=True, eq=False)
class RunEntry:
    """One run of a list.

    series: name of its tilt series; shape_tyx: its used views; created: ISO 8601, UTC.
    problem: why it cannot be opened, else empty, and then only ``path`` is known.
    changed: settings that are not those of its preset, e.g. ``seed = 3``.
    queued: its place in a queue, or None; queue_alive: whether that is at work.
    picture: (y, x) float32, the middle slice of its newest volume, small; or None.
    """

    path: Path
    status: RunStatus = field(default_factory=RunStatus)
    method: str = ""
    preset: str = ""
    series: str = ""
    shape_tyx: tuple[int, int, int] = (0, 0, 0)
    created: str = ""
    problem: str = ""
    changed: tuple[str, ...] = ()
    queued: QueuedRun | None = None
    queue_alive: bool = False
    picture: NDArray[np.float32] | None = field(default=None, repr=False)


def list_runs(folder: Path, pictures: bool = False) -> list[RunEntry]:
    """Return the runs in a folder, newest first; damaged ones last.

    A folder that does not exist holds none.  ``folder`` may be a run or a queue itself;
    the runs of queues in it are listed, too.
    """
    folder = Path(folder)
    inside = _inside(folder)
    queues = [path for path in (folder, *inside) if is_queue(path)]
    queued = {run.path: (run, on) for q in queues for run, on in _queued(q)}
    listed = {path.absolute(): path for path in (*queued, *inside, folder)}
    found = [
        _placed(_entry(path, pictures), queued.get(path.absolute()))
        for path in listed.values()
        if (path / "run.json").is_file()
    ]
    return sorted(found, key=lambda entry: (entry.created, entry.path), reverse=True)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _queued(queue: Path) -> list[tuple[QueuedRun, bool]]:
    try:
        found = QueueFolder(queue)
        return [(run, found.alive) for run in found.runs()]
    except UserError:
        return []


def _placed(entry: RunEntry, place: tuple[QueuedRun, bool] | None) -> RunEntry:
    if place is None:
        return entry
    return replace(entry, queued=place[0], queue_alive=place[1])


def _entry(path: Path, picture: bool) -> RunEntry:
    try:
        run = RunFolder(path)
        status = run.status()
    except UserError as error:
        return RunEntry(path, problem=str(error))
    spec = run.spec
    return RunEntry(
        path,
        status,
        spec.config.method,
        spec.config.preset,
        spec.name,
        spec.shape,
        spec.created,
        changed=_changed(spec.config),
        picture=thumbnail(run) if picture else None,
    )


def _changed(config: ReconstructionConfig) -> tuple[str, ...]:
    preset = ReconstructionConfig.from_preset(config.preset)
    return tuple(
        variation_words(key, value_of(config, key))
        for key in setting_keys(config)
        if key != "method" and value_of(config, key) != value_of(preset, key)
    )


def thumbnail(run: RunFolder) -> NDArray[np.float32] | None:
    """Return the middle slice of the newest volume, at most `THUMBNAIL_PX` a side."""
    try:
        data = map_volume(run.paths.preview_volume)
        image = np.asarray(data[data.shape[0] // 2], np.float32)
        step = -(-max(image.shape) // THUMBNAIL_PX)
        rows, columns = (n // step * step for n in image.shape)
        blocks = image[:rows, :columns].reshape(
            rows // step, step, columns // step, step
        )
        return np.asarray(blocks.mean(axis=(1, 3)), np.float32)
    except (OSError, ValueError, MemoryError):
        return None


def delete_run(folder: Path) -> None:
    """Remove a run folder with all that is in it, for good; a queue with its last run.

    Raises `UserError` where it is no run folder, where workers are at it, or where it
    cannot be removed; then it is still whole.
    """
    run = RunFolder(folder)
    if run.status().active:
        raise UserError(
            f"The run {run.path} cannot be deleted",
            "it is going on",
            "Stop or cancel it first",
        )
    away = run.path.with_name(f".{run.path.name}.{uuid.uuid4().hex[:8]}.deleted")
    try:
        atomic.patiently(partial(run.path.rename, away))
    except OSError as error:
        raise UserError(
            f"The run {run.path} cannot be deleted",
            error.strerror or str(error),
            "Close whatever uses its files, and check the permissions of its folder",
        ) from None
    shutil.rmtree(away, ignore_errors=True)
    _remove_empty_queue(run.path.parent)


def _remove_empty_queue(folder: Path) -> None:
    if not is_queue(folder) or any((p / "run.json").exists() for p in _inside(folder)):
        return
    if not any(on for _, on in _queued(folder)):
        shutil.rmtree(folder, ignore_errors=True)
