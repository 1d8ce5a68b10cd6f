"""Take the pictures of the tutorial "The tilt axis by hand": wrong, and right.

    python scripts/screenshots_tilt_axis.py FOLDER

Needs a display; ``scripts/with-display.sh`` makes one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.ui.docks.alignment import AlignmentPanel
from napari_inr_tomo.ui.tour import LONGEST_S, Tour

AXIS_DEG = 8.0
SHIFT_PX = 5.0


def main() -> None:
    """Judge two axes by their slices, in the Alignment step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    simulation = simulate_series(
        *("lattice", 96),
        dose=1000,
        axis_deg=AXIS_DEG,
        axis_shift_px=SHIFT_PX,
        margin=0.2,
        seed=3,
    )
    tour = Tour(arguments.folder, arguments.theme)
    tour.open(simulation.series)
    tool = tour.panel(AlignmentPanel).tool
    tool.enable()
    axes = {"tilt_axis_wrong": (0.0, 0.0), "tilt_axis_right": (AXIS_DEG, SHIFT_PX)}
    for name, axis in axes.items():
        tool.set_value(*axis)
        tour.wait(most_s=0.5)
        tour.wait(lambda: tool.idle and tool.pictures[0].shown, LONGEST_S)
        tour.scroll_to(tool)
        tour.take(name)
    tool.disable()
    tour.close()


if __name__ == "__main__":
    main()
