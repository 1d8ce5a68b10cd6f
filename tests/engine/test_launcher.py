"""Several processes find each other on a computer that makes it hard, and die on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)

from napari_inr_tomo.engine import launcher
from napari_inr_tomo.engine.worker import LOST, OWN_FAULT

PROCESS = """
import sys
from pathlib import Path
import odd
import torch
from napari_inr_tomo.engine.distributed import connect, disconnect
ranks = connect("cpu")
number = ranks.agree(ranks.rank + 1)
Path(sys.argv[1], f"sum-{ranks.rank}").write_text(str(number))
disconnect(ranks)
"""
LAUNCH = """
import sys
import odd
from napari_inr_tomo.engine import launcher
launcher.HAS_LIBUV = odd.HAS_LIBUV
words = [sys.argv[1], "--processes", "2", "--module", "process"]
sys.exit(launcher.main(words))
"""
NO_NAME = """
import socket
HAS_LIBUV = True
socket.getfqdn = lambda *_: "1.0.0.127.in-addr.arpa.invalid"
"""
NO_LIBUV = """
import importlib
HAS_LIBUV = False
PLACES = ("", ".rendezvous", ".elastic.rendezvous.c10d_rendezvous_backend",
          ".elastic.rendezvous.dynamic_rendezvous")
for place in PLACES:
    module = importlib.import_module("torch.distributed" + place)
    if hasattr(module, "TCPStore"):
        class Store(module.TCPStore):
            def __init__(self, *args, **options):
                if options.get("use_libuv", True):
                    raise RuntimeError("use_libuv was requested")
                super().__init__(*args, **options)
        module.TCPStore = Store
"""


@pytest.mark.parametrize("odd", [NO_NAME, NO_LIBUV], ids=["no name", "no libuv"])
def test_processes_of_one_computer_find_each_other(tmp_path: Path, odd: str) -> None:
    modules = {"odd": odd, "process": PROCESS, "launch": LAUNCH}
    for name, text in modules.items():
        (tmp_path / f"{name}.py").write_text(text)
    here = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "launch", str(tmp_path)],
        env=os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    sums = [(tmp_path / f"sum-{rank}").read_text() for rank in (0, 1)]
    assert sums == ["3", "3"]


def failed(*statuses: int) -> ChildFailedError:
    failures = {
        rank: ProcessFailure(rank, 100 + rank, status, "none")
        for rank, status in enumerate(statuses)
    }
    return ChildFailedError("worker", failures)


def test_a_process_that_windows_was_asked_to_end_is_no_fault_of_the_run() -> None:
    why, against = launcher._causes(failed(1, LOST))
    assert "process 0 was lost" in why
    assert against == ""
    why, against = launcher._causes(failed(LOST, OWN_FAULT))
    assert why.startswith("process 1 ended by a fault of its own")
    assert against != ""
