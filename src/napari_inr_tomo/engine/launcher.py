"""Several processes of a run on this computer, started again when one of them dies.

``python -m napari_inr_tomo.engine.launcher RUN --processes N``: torch's own launcher in
this process; `napari_inr_tomo.restarts` decides what happens when it gives up.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from napari_inr_tomo import restarts
from napari_inr_tomo.engine.worker import OWN_FAULT
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import DEVICE_VARIABLE, RunPaths, read_run

log = logging.getLogger(__name__)


def main(words: list[str]) -> int:
    """Run all processes to the end of the run; return the exit status.

    Ends with the run, or when a process died and the run is not to be started again.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--module", default="napari_inr_tomo.engine")
    asked = parser.parse_args(words)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    os.environ[restarts.WATCHED_VARIABLE] = "1"
    paths, count, before = RunPaths(asked.folder), asked.processes, cards()
    while True:
        options = ["--standalone", "--max-restarts", "0"]
        options += ["--nproc-per-node", str(count), "-m", asked.module]
        try:
            run(parse_args([*options, str(paths.folder)]))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            log.error("%s", error)
            why, against = _causes(error)
        else:
            return 0
        left = cards()
        where = ""
        if before >= count > left and not against:  # one card for each, and now fewer
            against = _against_fewer(paths, left)
            count, where = left, f" on {left} of {count} processes"
        before = left
        if not restarts.go_on(paths, why, against, where):
            return 1


def cards() -> int:
    """Return how many graphics cards the workers can use now, 0 for a run on CPUs."""
    if os.environ.get(DEVICE_VARIABLE) == "cpu":
        return 0
    return torch.cuda.device_count()


def _causes(error: ChildFailedError) -> tuple[str, str]:
    """Return how the first process died, and what forbids to start again."""
    failures = sorted(error.failures.items(), key=lambda item: item[1].timestamp)
    for rank, failure in failures:
        if failure.exitcode == OWN_FAULT:
            why = f"process {rank} ended by a fault of its own"
            return why, "starting it again would not help"
    rank, first = failures[0]
    for number, failure in failures:  # the others only noticed
        if failure.exitcode < 0 and failure.signal_name() != "SIGTERM":
            rank, first = number, failure
            break
    if first.exitcode < 0:
        return f"process {rank} was ended by {first.signal_name()}", ""
    return f"process {rank} was lost (status {first.exitcode})", ""


def _against_fewer(paths: RunPaths, left: int) -> str:
    """Return what forbids to go on with the cards that are left, or nothing."""
    if left < 1:
        return "no graphics card is left"
    try:
        schedule = read_run(paths).config.inr.schedule
    except UserError as error:
        return error.why
    if schedule.scale_with_ranks and restarts.newest_checkpoint(paths) < 0:
        return (
            f"only {left} graphics cards are left, and with scale_with_ranks a run "
            "that begins with another number of processes is another run"
        )
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
