"""A worker without mathematics: counts steps, obeys requests, keeps the rules."""

import json
import os
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np

from napari_inr_tomo import events
from napari_inr_tomo.guard import guard
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import RunPaths, read_run, write_complete, write_record
from napari_inr_tomo.lock import FolderLock

STEPS = int(os.environ.get("FAKE_STEPS", "5"))
PAUSE_S = float(os.environ.get("FAKE_PAUSE_S", "0.02"))


def main() -> None:
    guard()
    paths = RunPaths(Path(sys.argv[1]))
    rank = int(os.environ["RANK"])
    facts = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0) if hasattr(os, "getsid") else None,
        "nice": os.nice(0) if hasattr(os, "nice") else None,
        "stdin": os.read(0, 1).decode(),
        "world": int(os.environ["WORLD_SIZE"]),
        "device": os.environ.get("INR_TOMO_DEVICE"),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    (paths.logs / f"facts-{rank}.json").write_text(json.dumps(facts))
    if rank:
        time.sleep(STEPS * PAUSE_S + 60)
        return
    with FolderLock(paths.lock):
        work(paths, facts["world"])


def work(paths: RunPaths, world: int) -> None:
    spec, writer = read_run(paths), EventWriter(paths.events)
    say = writer.write
    shape = spec.shape
    say(
        events.Started(
            method=spec.config.method,
            ranks=world,
            device="cpu",
            pid=os.getpid(),
            tilts=shape[0],
            shape_zyx=shape,
            total=STEPS,
        )
    )
    step = 0
    for step in range(1, STEPS + 1):
        time.sleep(PAUSE_S)
        now = {"step": step, "total": STEPS, "phase": "counting"}
        say(events.Epoch(**now, loss=1 / step, elapsed_s=step * PAUSE_S, eta_s=1.0))
        if paths.control("cancel").exists():
            paths.control("cancel").unlink()
            say(events.Cancelled(step=step))
            return
        if paths.control("stop").exists():
            break
    with mrcfile.new(paths.result_volume, overwrite=True) as file:
        file.set_data(np.full(shape, step, np.float32))
    columns = "tilt,angle_deg,z1_deg,z3_deg,dx_px,dy_px,residual,used"
    rows = [
        f"{tilt},{angle},0,0,0,0,,{int(used)}"
        for tilt, (angle, used) in enumerate(
            zip(spec.original_angles_deg, spec.original_used, strict=True)
        )
    ]
    paths.result_poses.write_text("\n".join([columns, *rows]) + "\n")
    write_record(paths, spec, {"step": step})
    write_complete(paths)
    stopped = paths.control("stop").exists()
    paths.control("stop").unlink(missing_ok=True)
    say(events.Finished(step=step, stopped=stopped, elapsed_s=step * PAUSE_S))


if __name__ == "__main__":
    main()
