"""Several processes of a run on this computer, started again when one of them dies.

``python -m napari_inr_tomo.engine.launcher RUN --processes N``: torch's own launcher in
this process; `napari_inr_tomo.restarts` decides what happens when it gives up.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import uuid
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from napari_inr_tomo import restarts
from napari_inr_tomo.engine.worker import OWN_FAULT
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.guard import LAUNCHER_VARIABLE
from napari_inr_tomo.layout import DEVICE_VARIABLE, RunPaths, read_run

log = logging.getLogger(__name__)

HAS_LIBUV = sys.platform != "win32"
"""Whether torch is built with libuv, which the store of its launcher asks for."""


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
    os.environ[LAUNCHER_VARIABLE] = str(os.getpid())
    paths, count, before = RunPaths(asked.folder), asked.processes, cards()
    while True:
        options = ["--max-restarts", "0", "--nproc-per-node", str(count)]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            options += [*meeting(Path(folder)), "-m", asked.module, str(paths.folder)]
            try:
                run(parse_args(options))  # type: ignore[no-untyped-call]
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


def meeting(folder: Path) -> list[str]:
    """Return the options by which the processes on this computer find each other.

    By its own name a computer is often not found: macOS, a VPN, Docker on Windows.
    folder: an empty one; without libuv a file in it takes the place of the store.
    """
    here = ["--local-addr", "127.0.0.1"]
    if HAS_LIBUV:
        return ["--standalone", *here]
    os.environ |= {"USE_LIBUV": "0", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    store = ["--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file"]
    store += ["--rdzv-id", uuid.uuid4().hex, "--rdzv-endpoint", str(folder / "store")]
    return [*store, *here]


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
