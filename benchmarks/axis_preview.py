"""How long the three slices take to follow a change of the tilt axis.

    xvfb-run -a python benchmarks/axis_preview.py [--changes 40]

71 tilts of 256 x 256 pixels.  "computed" is `SlicePreviewer.slices` alone, "shown" is
from a new number in the box of the window to the new pictures, worker thread and all.
The time of the processor is given beside the time of the clock: on a machine where
others work as well, the clock tells their work, too; the load is in the record.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from record import write

from napari_inr_tomo.align import SlicePreviewer
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import TiltSeries

SIZE_PX, TILTS = 256, 71
LONGEST_S = 20


def summary(seconds: list[tuple[float, float]]) -> dict[str, float]:
    """Return medians and the ninth tenth of (clock, processor) times, ms."""
    clock, processor = 1e3 * np.array(seconds).T
    return {
        "clock_median_ms": round(float(np.median(clock)), 1),
        "clock_p90_ms": round(float(np.quantile(clock, 0.9)), 1),
        "processor_median_ms": round(float(np.median(processor)), 1),
    }


def computed(series: TiltSeries, changes: int) -> dict[str, float]:
    """Return the times of the slices alone."""
    previewer = SlicePreviewer(series)
    places = np.array([-0.25, 0.0, 0.25]) * SIZE_PX
    previewer.slices(0, 0, places)
    seconds = []
    for change in range(changes):
        clock, processor = time.perf_counter(), time.process_time()
        previewer.slices(0.3 * change, 0.1 * change, places)
        seconds.append((time.perf_counter() - clock, time.process_time() - processor))
    return summary(seconds)


def shown(series: TiltSeries, changes: int) -> dict[str, float]:
    """Return the times from the number to the pictures, in a real window."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_inr_tomo.ui.docks.alignment import AlignmentDock
    from napari_inr_tomo.ui.session import session_of

    viewer = napari.Viewer(show=True)
    dock = AlignmentDock(viewer)
    viewer.window.add_dock_widget(dock)
    session_of(viewer).add_series(series)
    tool: Any = dock.panel.tool
    tool.enable()
    count = [0]
    show = tool.slices.show_result

    def counted(*result: Any) -> None:
        show(*result)
        count[0] += 1

    tool.slices.show_result = counted

    def wait(until: int) -> None:
        end = time.monotonic() + LONGEST_S
        while (count[0] < until or not tool.idle) and time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.001)

    tool._typed()
    wait(1)
    seconds = []
    for change in range(changes):
        before = count[0]
        clock, processor = time.perf_counter(), time.process_time()
        tool.angle.setValue(0.1 * (change + 1))
        wait(before + 1)
        seconds.append((time.perf_counter() - clock, time.process_time() - processor))
        time.sleep(0.2)
    tool.disable()
    viewer.close()
    return summary(seconds)


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=40)
    options = parser.parse_args()
    angles = np.linspace(-70, 70, TILTS)
    series = simulate_series("sea-mine", SIZE_PX, angles, dose=100, seed=1).series
    figures = {
        "shape_tyx": [TILTS, SIZE_PX, SIZE_PX],
        "changes": options.changes,
        "computed": computed(series, options.changes),
        "shown": shown(series, options.changes),
    }
    print(figures)
    print(write("axis-preview", figures))


if __name__ == "__main__":
    main()
