"""Take the picture of the Runs dock: a queue with one setting varied.

    python scripts/screenshots_queue.py docs/images

Needs a display; ``xvfb-run -a -s "-screen 0 1600x1000x24"`` will do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from workplace import workplace

from napari_inr_tomo import runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.simulate.samples import sample_simulation
from napari_inr_tomo.ui.docks.runs import RunsDock
from napari_inr_tomo.ui.open_docks import show_dock
from napari_inr_tomo.ui.tour import LONGEST_S, Tour

VALUES = "10, 40, 2000"


def main() -> None:
    """Queue three runs from the dock, and photograph it while the last one goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="dark")
    arguments = parser.parse_args()
    series = sample_simulation("sea-mine").series
    config = ReconstructionConfig.from_preset("fast", method="sirt")
    tour = Tour(arguments.folder, arguments.theme)
    with workplace() as place:
        folder = place / "runs"
        runs.launch(runs.create_run(folder / "first", series, config)).wait()
        panel = show_dock(tour.session, RunsDock).panel
        panel.folder.setText(str(folder))
        panel.read()
        tour.wait(lambda: bool(panel.entries), LONGEST_S)
        panel.table.selectRow(0)
        tour.session.run.open(folder / "first")
        tour.settle()
        panel.queue.expand()
        panel.queue.key.setEditText("classic.iterations")
        panel.queue.values.setText(VALUES)
        panel.queue.start()
        tour.settle()

        def last_goes_on() -> bool:
            running = [e for e in panel.entries if e.status.state == "running"]
            return bool(running) and running[0].path.name.startswith("03")

        tour.wait(last_goes_on, LONGEST_S)
        panel.table.selectRow(len(panel.entries) - 2)
        tour.wait(lambda: panel._work.idle, LONGEST_S)
        tour.take("runs")
        panel.queue.end()
        tour.settle()
        tour.wait(lambda: not any(e.queue_alive for e in panel.entries), LONGEST_S)
        tour.close()


if __name__ == "__main__":
    main()
