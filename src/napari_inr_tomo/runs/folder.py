"""Making a run folder and reading it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo import atomic, lock
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.events import Event, Started
from napari_inr_tomo.layout import (
    Control,
    RunPaths,
    RunSpec,
    read_run,
    write_run,
)
from napari_inr_tomo.mapped import release
from napari_inr_tomo.plain import still_there
from napari_inr_tomo.planes import Plane, SliceRequest
from napari_inr_tomo.provenance import now, versions
from napari_inr_tomo.runs import status as _status
from napari_inr_tomo.runs.copies import copy_checkpoint
from napari_inr_tomo.runs.estimates import check_space, estimate
from napari_inr_tomo.runs.follow import Follower
from napari_inr_tomo.types import BoolArray, FloatArray, Poses, TiltSeries


class RunFolder:
    """One run folder, as everybody but its workers sees it.

    Raises `UserError` where the path is no run folder or from a newer version.
    """

    def __init__(self, path: Path | str) -> None:
        self.paths = RunPaths(Path(path))
        self.spec: RunSpec = read_run(self.paths)
        self._follower = Follower(self.paths)
        self._told = _status.Told()
        self._restarts = 0
        self._asked = False
        self._reading = threading.Lock()

    @property
    def path(self) -> Path:
        """The folder."""
        return self.paths.folder

    @property
    def config(self) -> ReconstructionConfig:
        """All settings of the run."""
        return self.spec.config

    def series(self) -> TiltSeries:
        """Return what is reconstructed: the used views and their start poses.

        The images are mapped from the disk, (tilt, y, x) float32, read-only.
        """
        try:
            images = np.load(self.paths.input, mmap_mode="r", allow_pickle=False)
            valid = None
            if self.paths.valid.exists():
                valid = np.load(self.paths.valid, mmap_mode="r", allow_pickle=False)
            if images.shape != self.spec.shape or images.dtype != np.float32:
                raise ValueError(f"it is {images.dtype} of shape {images.shape}")
        except Exception as error:  # numpy's header may provoke anything
            raise UserError(
                f"The input of the run {self.path} cannot be read",
                " ".join(str(error).split()),
                "Start the reconstruction again from the tilt series",
            ) from error
        return TiltSeries(
            images=images,
            angles_deg=self.spec.angles_deg,
            poses=self.spec.poses,
            valid=valid,
            pixel_size_nm=self.spec.pixel_size_nm,
            name=self.spec.name,
            angle_source=self.spec.angle_source,
            history=self.spec.history,
            group=self.spec.groups[self.spec.tilts],
        )

    def events(self) -> list[Event]:
        """Return all events so far."""
        follower, found = Follower(self.paths), list[Event]()
        while fresh := follower.poll():
            found += fresh
        return found

    def status(self) -> _status.RunStatus:
        """Return how the run stands; cheap enough to ask several times a second.

        Raises `UserError` where the folder has gone since it was opened.
        """
        still_there(self.paths.folder)
        with self._reading:
            alive_after = _status.alive_after(self.paths)
            events = self._follower.poll()
            if self._follower.restarts != self._restarts:
                self._restarts = self._follower.restarts
                self._told = _status.Told()
            for event in events:
                self._told = self._told.after(event)
                self._asked &= not isinstance(event, Started)
            status = _status.judge(self._told, alive_after, self.paths)
            # the workers remove a request when they see it, and then take a moment
            self._asked = status.active and (self._asked or status.state == "stopping")
            return replace(status, state="stopping") if self._asked else status

    def request(self, what: Control) -> None:
        """Ask the workers to stop (and keep the result), cancel, or save now."""
        try:
            self.paths.controls.mkdir(exist_ok=True)
            self.paths.control(what).touch()
        except OSError as error:
            raise UserError(
                f"The run {self.path} cannot be asked to {what}",
                f"its folder cannot be written to ({error.strerror})",
                "Ask from an account that owns the run",
            ) from None

    def ask_slices(self, name: str, planes: Sequence[Plane]) -> None:
        """Ask a running network for slices; an event `Slices` of this name answers.

        Where the folder cannot be written to, nothing happens.
        """
        try:
            SliceRequest(name, tuple(planes)).write(self.paths.slice_request)
        except OSError:
            return

    def result(self) -> Path:
        """Return the path of the volume; raises `UserError` without COMPLETE."""
        if not self.paths.complete.is_file():
            raise UserError(
                f"The run {self.path} has no result",
                f"it is {self.status().state}",
                "Wait for its end, stop it (this keeps the result), or resume it",
            )
        return self.paths.result_volume

    def poses(self) -> tuple[FloatArray, Poses, BoolArray]:
        """Return (angles_deg, poses, used) of all tilts of the original stack.

        The result's where there is one, else the latest of the run, else the start's.
        """
        done = self.paths.complete.is_file()
        file = self.paths.result_poses if done else self.paths.preview_poses
        if file.is_file():
            from napari_inr_tomo.io import read_poses

            return read_poses(file)
        spec = self.spec
        return spec.original_angles_deg, spec.original_poses, spec.original_used

    def export(self, path: Path) -> Path:
        """Write the resulting volume as .mrc, .tif, .ome.zarr or .npy."""
        from napari_inr_tomo.io import read_volume, write_volume

        write_volume(path, read_volume(self.result()))
        return Path(path)

    def verify_input(self) -> None:
        """Raise `UserError` where the input is not the one the run began with."""
        wanted = {
            self.paths.input: self.spec.input_sha256,
            self.paths.valid: self.spec.valid_sha256,
        }
        for path, digest in wanted.items():
            if digest is not None:
                _check_digest(path, digest)

    def verify_result(self) -> None:
        """Raise `UserError` where a file of the result is not as it was written."""
        self.result()
        try:
            digests = atomic.read_json(self.paths.complete)["sha256"].items()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                f"The result of the run {self.path} cannot be trusted",
                "its COMPLETE file cannot be read",
                "Run the reconstruction again",
            ) from None
        for name, digest in digests:
            _check_digest(self.paths.inside(f"result/{name}"), digest)

    def end(self, grace_s: float = 5.0) -> None:
        """End all processes of the run on this computer: first politely, then not.

        For workers that do not answer `request`; the checkpoints stay.
        """
        from napari_inr_tomo.runs.processes import end_tree

        pids = []
        launched = _status.launcher_of(self.paths)
        if launched is not None:
            pids.append(int(launched["pid"]))
        who = lock.holder(self.paths.lock)
        if who is not None and who.here and who.pid:
            pids.append(who.pid)
        end_tree(pids, grace_s)


def _check_digest(path: Path, digest: str) -> None:
    if not path.is_file():
        why = "it is not there"
    elif atomic.sha256(path) != digest:
        why = "its content has changed since it was written (SHA-256 differs)"
    else:
        return
    raise UserError(
        f"The file {path} cannot be used", why, "Start the reconstruction again"
    )


def create_run(
    folder: Path,
    series: TiltSeries,
    config: ReconstructionConfig,
    source_name: str | None = None,
    start: RunFolder | None = None,
) -> RunFolder:
    """Write a run folder for a series; excluded views and NaN stay out of its input.

    folder: must not exist yet, or be empty.  source_name: the file the series is from.
    start: a run whose last checkpoint is copied, see `continue_run`.
    Raises `UserError` where the folder is taken, cannot be written to, or the disk is
    too full for the run.
    """
    paths = RunPaths(folder)
    used = np.flatnonzero(series.mask)
    if len(used) < 2:
        raise UserError(
            "There is nothing to reconstruct",
            f"{len(used)} of {len(series)} views are used",
            "Include at least two views",
        )
    shape = (len(used), *series.images.shape[1:])
    need = estimate(config, shape, series.start_poses.take(used))
    check_space(paths.folder, need.disk_bytes)

    def fill() -> None:
        _write_input(paths, series, used)
        spec = _spec(paths, series, used, config, source_name)
        if start is not None:
            copy_checkpoint(start.paths, paths)
            spec = replace(spec, started_from=start.path.name)
        write_run(paths, spec)

    return make_folder(paths, fill)


def make_folder(paths: RunPaths, fill: Callable[[], None]) -> RunFolder:
    """Claim the folder, fill it, and leave nothing behind where that fails."""
    existed = _claim(paths)
    guard = lock.FolderLock(paths.lock)
    guard.acquire()
    try:
        _refuse_a_run(paths)
        paths.make_folders()
        fill()
    except BaseException as error:
        guard.release()
        if not paths.run_json.exists():
            _give_up(paths, existed)
        if isinstance(error, OSError):
            raise _unwritable(paths.folder, error) from None
        raise
    guard.release()
    return RunFolder(paths.folder)


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The run folder {folder} cannot be written",
        error.strerror or str(error),
        "Check the space and the permissions, or choose another folder",
    )


def _refuse_a_run(paths: RunPaths) -> None:
    if paths.run_json.exists():
        raise UserError(
            f"The folder {paths.folder} already holds a run",
            "a run is never overwritten",
            "Resume it, give another folder, or delete this one",
        )


def _claim(paths: RunPaths) -> bool:
    """Make the folder; return whether it existed (empty) before."""
    _refuse_a_run(paths)
    folder = paths.folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        return False
    except FileExistsError:
        pass
    except OSError as error:
        raise _unwritable(folder, error) from None
    if not folder.is_dir() or any(folder.iterdir()):
        raise UserError(
            f"The folder {folder} cannot become a run folder",
            "there is something else in it or it is a file",
            "Give a new or empty folder",
        )
    return True


def _give_up(paths: RunPaths, existed: bool) -> None:
    """Remove what was written of a run that could not be made."""
    if not existed:
        shutil.rmtree(paths.folder, ignore_errors=True)
        return
    for entry in paths.folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _write_input(paths: RunPaths, series: TiltSeries, used: NDArray[np.intp]) -> None:
    """Write input.npy, image by image, and valid.npy where pixels do not count.

    These are 0 in the input, whatever they were.
    """
    shape = (len(used), *series.images.shape[1:])
    valid = None if series.valid is None else series.valid[used]
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with atomic.replacing(paths.input) as temporary, open(temporary, "wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for row, tilt in enumerate(used):
            image = series.images[tilt]
            counts = np.isfinite(image)
            if valid is not None:
                counts &= valid[row]
                valid[row] = counts
            elif not counts.all():
                valid = np.ones(shape, bool)
                valid[row] = counts
            handle.write(np.where(counts, image, 0).astype("<f4").tobytes())
            release(series.images)
    if valid is not None and not valid.all():
        atomic.write_npy(paths.valid, valid)


def _spec(
    paths: RunPaths,
    series: TiltSeries,
    used: NDArray[np.intp],
    config: ReconstructionConfig,
    source_name: str | None,
) -> RunSpec:
    has_valid = paths.valid.exists()
    _, rows, columns = series.images.shape
    return RunSpec(
        config=config,
        shape=(len(used), rows, columns),
        angles_deg=series.angles_deg[used],
        poses=series.start_poses.take(used),
        tilts=used.astype(np.int64),
        original_angles_deg=series.angles_deg,
        original_used=series.mask,
        original_poses=series.start_poses,
        input_sha256=atomic.sha256(paths.input),
        valid_sha256=atomic.sha256(paths.valid) if has_valid else None,
        pixel_size_nm=series.pixel_size_nm,
        name=series.name,
        angle_source=series.angle_source,
        source_name=series.name if source_name is None else source_name,
        history=series.history,
        created=now(),
        versions=versions(),
        original_group=series.group,
    )
