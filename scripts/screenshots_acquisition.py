"""Take the pictures of the tutorial "In an acquisition": tilts that come one by one.

    python scripts/screenshots_acquisition.py docs/images

Needs a display; ``xvfb-run -a -s "-screen 0 1600x1000x24"`` will do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile
from workplace import workplace

from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.ui.docks.acquisition import AcquisitionDock
from napari_inr_tomo.ui.docks.monitor import MonitorDock, MonitorPanel
from napari_inr_tomo.ui.open_docks import show_dock, show_panel
from napari_inr_tomo.ui.tour import LONGEST_S, Tour

ANGLES_DEG = np.arange(-60, 61, 4.0)
BEFORE_INR = 15


def main() -> None:
    """Play the microscope, and photograph what the dock makes of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    series = simulate_series(
        "chiral", (96, 96), ANGLES_DEG, dose=1000, shift_sigma_px=1.5, seed=1
    ).series
    tour = Tour(arguments.folder, arguments.theme)
    with workplace() as place:
        raw = place / "session-12"
        raw.mkdir()
        dock = show_dock(tour.session, AcquisitionDock)
        panel = dock.panel
        panel.watched.setText(str(raw))
        panel.out.setText(str(place / "results"))
        panel.inr.setChecked(True)
        order = np.argsort(np.abs(ANGLES_DEG), kind="stable")
        panel.start()
        for count, tilt in enumerate(order[:BEFORE_INR], 1):
            name = f"needle_{count:03d}_{ANGLES_DEG[tilt]:.1f}.tif"
            tifffile.imwrite(raw / name, series.images[tilt])
            wanted = min(count, BEFORE_INR) - 1
            tour.wait(lambda n=wanted: panel.table.rowCount() >= n, LONGEST_S)
        tour.wait(lambda: panel.table.rowCount() == BEFORE_INR, LONGEST_S)
        tour.viewer.fit_to_view()
        show_dock(tour.session, AcquisitionDock)
        tour.take("acquisition")
        run = tour.session.run
        tour.wait(lambda: run.layers.volume is not None, LONGEST_S)
        tour.wait(lambda: run.record.phase == "rays", LONGEST_S)
        show_panel(tour.session, MonitorPanel, MonitorDock)
        tour.take("acquisition_inr")
        show_dock(tour.session, AcquisitionDock)
        panel.stop()
        tour.wait(lambda: not panel.going, LONGEST_S)
        if run.alive:
            run.request("cancel")
        tour.wait(lambda: not run.alive, LONGEST_S)
        panel.leave()
        tour.close()


if __name__ == "__main__":
    main()
