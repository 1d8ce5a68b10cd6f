"""The worker program, one rank of a run: ``python -m napari_inr_tomo.engine RUN``."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import torch

from napari_inr_tomo import atomic, events
from napari_inr_tomo.engine import checkpoint, schedule
from napari_inr_tomo.engine.classic_run import run_classic
from napari_inr_tomo.engine.distributed import (
    connect,
    disconnect,
    is_broken,
    is_lost,
)
from napari_inr_tomo.engine.doubts import doubts, of_result
from napari_inr_tomo.engine.inr_run import run_inr
from napari_inr_tomo.engine.job import Cancelled, Job, Outcome, device_name
from napari_inr_tomo.engine.memory import is_full
from napari_inr_tomo.engine.reporter import Reporter
from napari_inr_tomo.engine.training import Diverged
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import write_volume
from napari_inr_tomo.layout import (
    DEVICE_VARIABLE,
    RunPaths,
    RunSpec,
    read_run,
    write_complete,
    write_record,
)
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.restarts import WATCHED_VARIABLE, requeued
from napari_inr_tomo.types import Volume

log = logging.getLogger(__name__)

OWN_FAULT = 70
"""Exit status: the run failed, and would again.  Not 1, which is that of a process
that Windows was asked to end."""
LOST = 75
"""Exit status: a process or its device has gone, which is no fault of the run."""


def main(folder: str) -> int:
    """Run one rank of the reconstruction in ``folder``; return the exit status.

    0: finished, stopped or cancelled; `OWN_FAULT`: failed (the last event says why);
    `LOST`: another process, or the device of this one, has gone.
    """
    paths = RunPaths(Path(folder))
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    with ExitStack() as stack:
        try:
            if first:
                stack.enter_context(FolderLock(paths.lock))
            spec = read_run(paths)
        except UserError as error:
            log.error("%s", error)
            return OWN_FAULT
        stack.enter_context(_own_log(paths))
        if first:
            paths.make_folders()
            _tidy(paths)
        reporter = Reporter(paths if first else None, spec)
        try:
            return _run(paths, spec, reporter)
        except Cancelled as cancelled:
            reporter.say(events.Cancelled(step=cancelled.step))
            return 0
        except Exception as error:
            log.exception("the run failed")
            lost = is_lost(error) or is_broken(error)
            if not (lost and os.environ.get(WATCHED_VARIABLE)):
                problem = explained(error)
                told = {"what": problem.what, "why": problem.why, "do": problem.do}
                reporter.say(events.Failed(**told, lost=lost))
            return LOST if lost else OWN_FAULT


class _RankLog(logging.FileHandler):
    """A file of log lines that no full disk makes anybody stumble over."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a line that cannot be written; the launcher's log has it."""

    def close(self) -> None:
        """Close the file, though what is left of a line may find no room."""
        with suppress(OSError):
            super().close()


def _log_name() -> str:
    return f"rank-{int(os.environ.get('RANK', '0')):02d}.log"


@contextmanager
def _own_log(paths: RunPaths) -> Iterator[None]:
    """Keep what this rank logs in ``logs/rank-NN.log`` as well, one file a rank.

    A rank whose file cannot be opened goes on without one.
    """
    rank, size = (int(os.environ.get(n, "0")) for n in ("RANK", "WORLD_SIZE"))
    try:
        paths.logs.mkdir(exist_ok=True)
        file = _RankLog(paths.logs / _log_name(), encoding="utf-8")
    except OSError as error:
        log.warning("rank %d keeps no log: %s", rank, error)
        yield
        return
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(file)
    try:
        here = socket.gethostname()
        log.info("rank %d of %d: process %d on %s", rank, size, os.getpid(), here)
        yield
        log.info("rank %d ends", rank)
    finally:
        root.removeHandler(file)
        file.close()


def _tidy(paths: RunPaths) -> None:
    """Remove what killed workers were writing, and the sign of an earlier request."""
    for sign in (paths.obeyed, requeued(paths)):
        atomic.removed(sign)
    folders = (paths.previews, paths.checkpoints, paths.result, paths.logs)
    for folder in (paths.folder, *folders):
        atomic.sweep(folder)


def _run(paths: RunPaths, spec: RunSpec, reporter: Reporter) -> int:
    reporter.listen()
    ranks = connect(os.environ.get(DEVICE_VARIABLE, spec.config.compute.device))
    try:
        job = Job(paths, spec, ranks, reporter)
        _check_input(job)
        _announce(job)
        method = run_inr if spec.config.method == "inr" else run_classic
        outcome = method(job)
        if ranks.first:
            _write(job, outcome)
        return 0
    finally:
        disconnect(ranks)


def _check_input(job: Job) -> None:
    if job.images.shape != job.spec.shape or job.images.dtype != "float32":
        raise UserError(
            "The input of this run has changed",
            f"input.npy holds {job.images.shape} {job.images.dtype} and run.json "
            f"speaks of {job.spec.shape} float32",
            "Start the reconstruction again from the tilt series",
        )
    if job.ranks.first and atomic.sha256(job.paths.input) != job.spec.input_sha256:
        raise UserError(
            "The input of this run has changed",
            "the digest of input.npy is not the one in run.json",
            "Start the reconstruction again from the tilt series",
        )


def _announce(job: Job) -> None:
    config = job.config
    inr = config.method == "inr"
    total = schedule.epochs(config.inr.schedule) if inr else config.classic.iterations
    total = 1 if config.method == "fbp" else total
    job.reporter.say(
        events.Started(
            method=config.method,
            ranks=job.ranks.size,
            device=device_name(job.ranks.device),
            pid=os.getpid(),
            tilts=job.spec.shape[0],
            shape_zyx=job.box.shape_zyx,
            voxel_nm=job.spec.pixel_size_nm,
            total=total,
            resumed_at=min(job.resumed_at, total),
        )
    )
    if job.ranks.first:
        for doubt in doubts(job):
            job.reporter.warn(doubt)
    for name in job.saved[2] if job.saved else ():
        job.reporter.warn(
            UserError(
                f"The checkpoint {name} is damaged",
                "its content does not match its digest",
                "Nothing: the one before it is used",
            )
        )


def _write(job: Job, outcome: Outcome) -> None:
    """Write the result; COMPLETE last."""
    paths, spec = job.paths, job.spec
    for doubt in of_result(outcome.volume):
        job.reporter.warn(doubt)
    atomic.patiently(partial(paths.complete.unlink, missing_ok=True))
    volume = Volume(
        outcome.volume.detach().to("cpu", torch.float32).numpy(),
        spec.pixel_size_nm,
        spec.name,
        spec.history,
    )
    write_volume(paths.result_volume, volume)
    job.reporter.write_poses(paths.result_poses, outcome.poses, outcome.residual)
    job.reporter.preview(outcome.volume, 1.0, outcome.step)
    job.reporter.poses(outcome.poses, outcome.step, outcome.residual)
    told = {
        "step": outcome.step,
        "stopped": outcome.stopped,
        "reason": outcome.reason,
        "loss": outcome.loss if outcome.loss == outcome.loss else None,
        "holdout": outcome.holdout,
        "kept": outcome.kept,
        "elapsed_s": job.reporter.elapsed_s,
        "chosen": job.reporter.chosen,
    }
    write_record(paths, spec, told | job.info())
    write_complete(paths)
    if spec.config.method != "inr" and not outcome.stopped:  # a network may go on
        checkpoint.clear(paths.checkpoints)
    job.reporter.say(
        events.Finished(
            step=outcome.step,
            stopped=outcome.stopped,
            elapsed_s=job.reporter.elapsed_s,
            reason=outcome.reason,
            kept=outcome.kept,
            holdout=outcome.holdout,
        )
    )


def explained(error: BaseException) -> UserError:
    """Return any problem in the words of a `UserError`."""
    if isinstance(error, UserError):
        return error
    text = " ".join(str(error).split())[:300] or type(error).__name__
    if is_full(error):
        return UserError(
            "There is not enough memory for this reconstruction",
            text,
            "Bin the images, choose a smaller depth or network, or use fewer processes",
        )
    if is_lost(error):
        return UserError(
            "Another process of this run has gone or does not answer",
            text,
            "Resume the run; it goes on from its last checkpoint, on another number of "
            "processes if need be",
        )
    if is_broken(error):
        return UserError(
            "The graphics card failed",
            text,
            "Resume the run; it goes on from its last checkpoint, on fewer cards if "
            "need be",
        )
    if isinstance(error, Diverged):
        return UserError(
            "The reconstruction diverged",
            text,
            "Lower the learning rates, or check the angles and the alignment; the last "
            "live volume stays in the run folder",
        )
    return UserError(
        "The reconstruction ended unexpectedly",
        f"{type(error).__name__}: {text}",
        f"See logs/{_log_name()} in the run folder; resume the run or start it again",
    )
