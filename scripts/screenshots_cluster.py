"""Take the pictures of the tutorial "On a cluster": a run that others started.

    python scripts/screenshots_cluster.py FOLDER

There is no SLURM here: stand-ins for its commands run the script of the job on this
computer, in processes of its own, with one process in place of four graphics cards.
Needs a display; ``scripts/with-display.sh`` makes one.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from workplace import workplace

from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.ui.docks.export import ExportPanel
from napari_inr_tomo.ui.docks.monitor import MonitorDock
from napari_inr_tomo.ui.open_docks import show_dock
from napari_inr_tomo.ui.run_control import RunState
from napari_inr_tomo.ui.tour import LONGEST_S, Tour

ASKED = ("--time", "02:00:00", "--account", "m1234", "--sbatch=--partition=gpu")
STAND_INS = {
    "sbatch": """
mkdir -p "$(dirname "$1")/logs"
export SLURM_JOB_ID=4242 SLURM_JOB_NODELIST=node1
setsid bash "$1" >"$(dirname "$1")/logs/slurm-4242.log" 2>&1 </dev/null &
echo $! >"$(dirname "$0")/job"
echo "Submitted batch job 4242"
""",
    "srun": 'exec "$@"\n',
    "scontrol": 'if [ "$1" = show ]; then echo localhost; fi\n',
}


class Cluster:
    """The login node of a cluster whose disk is ``place``."""

    def __init__(self, place: Path) -> None:
        self.place, self.tools = place, place / "tools"
        self.tools.mkdir()
        for name, text in STAND_INS.items():
            (self.tools / name).write_text(f"#!/bin/bash\n{text}")
            (self.tools / name).chmod(0o755)

    def type(self, *words: str) -> str:
        """Return what ``inr-tomo WORDS`` prints there; raises where it fails."""
        path = f"{self.tools}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, "-m", "napari_inr_tomo.cli", *words],
            cwd=self.place,
            env=os.environ | {"PATH": path},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def end_job(self) -> None:
        """End the job, if it still goes on."""
        job = self.tools / "job"
        if job.exists():
            try:
                os.killpg(int(job.read_text()), signal.SIGTERM)
            except ProcessLookupError:
                return


def prepare(tour: Tour, stack: Path) -> None:
    """Align a simulated series in the window, and write it aligned."""
    series = simulate_series(
        *("sea-mine", 64, np.arange(-60, 61, 2.0)),
        **{"axis_deg": 5, "shift_sigma_px": 1, "dose": 500, "background": 0.1},
    ).series
    tour.open(series)
    tour.subtract_background()
    tour.align()
    panel = tour.panel(ExportPanel)
    panel.save_stack(stack)
    tour.settle()
    tour.take("cluster_export")


def submit(cluster: Cluster) -> Path:
    """Look at the script, give it to SLURM, and return the run folder."""
    words = ("submit", "aligned.mrc", "-o", "volume.mrc", "--slurm", *ASKED)
    run = cluster.place / "volume.inr-run"
    four = ("--preset", "paper", "--nodes", "1", "--gpus-per-node", "4", "--dry-run")
    shown = cluster.type(*words, *four)
    if "#SBATCH --partition=gpu" not in shown or run.exists():
        raise SystemExit(f"--dry-run printed this, or wrote {run}:\n{shown}")
    print(cluster.type(*words, "--preset", "fast", "--gpus-per-node", "1"), end="")
    return run


def watch(tour: Tour, cluster: Cluster, folder: Path) -> None:
    """Open the run folder while the job goes on, and see it stopped from there."""
    panel, run = show_dock(tour.session, MonitorDock).panel, tour.session.run
    run.open(folder)

    def learning() -> bool:
        return run.record.phase == "rays" and run.record.share > 0.7

    tour.wait(learning, LONGEST_S)
    tour.take("cluster_monitor")
    cluster.type("stop", "volume.inr-run")
    cluster.type("follow", "volume.inr-run")
    tour.wait(lambda: run.state is RunState.DONE, 60)
    volume = cluster.place / "volume.mrc"
    tour.wait(volume.exists, 60)
    if not volume.exists() or "early, as asked" not in panel.state.text():
        raise SystemExit(f"The job has not ended as it should: {panel.state.text()}")


def main() -> None:
    """Walk through the tutorial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    tour = Tour(arguments.folder, arguments.theme)
    with workplace() as place:
        cluster = Cluster(place)
        try:
            prepare(tour, cluster.place / "aligned.mrc")
            watch(tour, cluster, submit(cluster))
        finally:
            cluster.end_job()
        tour.close()


if __name__ == "__main__":
    main()
