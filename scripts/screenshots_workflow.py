"""Take the pictures of the documentation: the docks at work in a real viewer.

    python scripts/screenshots_workflow.py docs/images
    python scripts/screenshots_workflow.py pictures --stack needle.dm3

Needs a display; ``xvfb-run -a -s "-screen 0 1600x1000x24"`` will do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workplace import workplace

from napari_inr_tomo import io
from napari_inr_tomo.simulate.samples import sample_simulation
from napari_inr_tomo.simulate.scans import simulate_scans
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.tour import Tour


def scan_pair() -> tuple[TiltSeries, TiltSeries]:
    """Return one tilt scanned at 0 and at 90 degrees while the specimen drifts."""
    made = simulate_scans(dose=300)
    first, second = (
        TiltSeries(image[None], [0.0], name=f"scan at {direction:.0f} degrees")
        for image, direction in zip(made.images, made.directions_deg, strict=True)
    )
    return first, second


def main() -> None:
    """Go through the workflow and take a picture of every step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", default="sea-mine")
    parser.add_argument("--stack", type=Path, help="a tilt series of your own")
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--preset", default="preview")
    arguments = parser.parse_args()
    tour = Tour(arguments.folder, arguments.theme)
    if arguments.stack:
        series, truth = io.read_series(arguments.stack), None
    else:
        simulation = sample_simulation(arguments.sample)
        series, truth = simulation.series, simulation.truth
    tour.correct_scans(*scan_pair())
    tour.open(series)
    tour.find_angles()
    tour.subtract_background()
    tour.align()
    tour.shift_by_hand(series.reference - 4)
    with workplace() as folder:
        tour.reconstruct("inr", arguments.preset, folder / "run", "")
        tour.look_closer(truth)
        tour.look_around()
        tour.export(folder, "volume")
        tour.close()


if __name__ == "__main__":
    main()
