"""Take the pictures of the tutorial "The missing wedge": SIRT, INR, and the truth.

    python scripts/screenshots_missing_wedge.py FOLDER

Needs a display; ``scripts/with-display.sh`` makes one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from workplace import workplace

from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.ui.tour import Tour


def main() -> None:
    """Reconstruct one series twice, and cut both volumes at one place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    angles_deg = np.arange(-60, 61, 3.0)
    simulation = simulate_series("sea-mine", 64, angles_deg, dose=1000, seed=5)
    tour = Tour(arguments.folder, arguments.theme)
    tour.open(simulation.series)
    with workplace() as place:
        tour.reconstruct("sirt", "fast", place / "sirt", "sirt_")
        tour.cut("missing_wedge_sirt")
        tour.reconstruct("inr", "preview", place / "inr", "inr_")
        tour.cut("missing_wedge_inr")
        tour.compare(simulation.truth, "missing_wedge_compare")
        tour.close()


if __name__ == "__main__":
    main()
