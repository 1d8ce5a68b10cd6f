"""``inr-tomo demo``: the main job on a simulated tilt series with known truth."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from napari_inr_tomo.config import Method
from napari_inr_tomo.demo.report import Report

SIZE_PX = 60
UNATTENDED = "INR_TOMO_UNATTENDED"
"""Set where nobody watches: the window closes when the demo is through."""


def main(output: Path) -> None:
    """Simulate, subtract the background, align, reconstruct (SIRT, INR), report.

    Everything runs through the real window; the volumes, poses.csv, a report and
    pictures of the window stay in ``output``.  The window stays open at the end unless
    `UNATTENDED` is set.
    """
    import numpy as np

    from napari_inr_tomo import io, runs
    from napari_inr_tomo.simulate import simulate_series
    from napari_inr_tomo.ui.tour import Tour

    output = Path(output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    report = Report(output)
    simulation = simulate_series(
        "sea-mine",
        SIZE_PX,
        np.arange(-60.0, 61.0, 3.0),
        dose=300,
        axis_deg=4.0,
        axis_shift_px=1.5,
        shift_sigma_px=1.5,
        background=0.2,
        seed=7,
        margin=0.2,
    )
    io.write_volume(output / "truth.mrc", simulation.truth)
    io.write_series(output / "tilt_series.mrc", simulation.series)
    report.say("simulated: sea-mine, 41 tilts to 60 degrees, misaligned, 300 counts")
    tour = Tour(output / "screenshots")
    tour.open(io.read_series(output / "tilt_series.mrc"))
    tour.subtract_background()
    report.say("background subtracted (Bernstein polynomials)")
    tour.align()
    series = tour.session.series
    assert series is not None  # noqa: S101 - it was opened above
    report.poses("after cross-correlation and axis search", series, simulation)
    methods: tuple[Method, ...] = ("sirt", "inr")
    for method in methods:
        folder = output / f"{method}.inr-run"
        shutil.rmtree(folder, ignore_errors=True)
        tour.reconstruct(method, "fast", folder, f"{method}_")
        volume = io.read_volume(runs.RunFolder(folder).result())
        io.write_volume(output / f"{method}.mrc", volume)
        report.volume(method.upper(), volume, simulation)
    angles, poses, _ = io.read_poses(runs.RunFolder(folder).paths.result_poses)
    report.poses("after the reconstruction with poses", (angles, poses), simulation)
    tour.look_around()
    tour.export(output, "inr")
    report.write()
    if os.environ.get(UNATTENDED):
        tour.close()
    else:
        print("The window stays open; close it to end the demo.")
        tour.stay()
