"""Take the pictures of the tutorial "Low dose": few electrons, SIRT and INR.

    python scripts/screenshots_low_dose.py FOLDER

Needs a display; ``scripts/with-display.sh`` makes one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from workplace import workplace

from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.ui.docks.monitor import MonitorPanel
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
from napari_inr_tomo.ui.tour import Tour

DOSE = 20


def main() -> None:
    """Reconstruct a noisy series twice, with pixels held out of the INR."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    angles_deg = np.arange(-70, 71, 2.0)
    series = simulate_series("sea-mine", 64, angles_deg, dose=DOSE, seed=5).series
    tour = Tour(arguments.folder, arguments.theme)
    tour.open(series)
    with workplace() as place:
        tour.reconstruct("sirt", "fast", place / "sirt", "sirt_")
        tour.cut("low_dose_sirt")
        panel = tour.panel(ReconstructionPanel)
        panel.choose("inr", "preview")
        panel.form.set_value("inr.holdout.fraction", 0.2)
        panel.count.setValue(6)
        tour.reconstruct("inr", "preview", place / "inr", "inr_")
        tour.cut("low_dose_inr")
        monitor = tour.panel(MonitorPanel)
        tour.take_widget("low_dose_curves", monitor)
        tour.close()


if __name__ == "__main__":
    main()
