"""Does the window stay alive while a run works?  Gaps in a timer of its event loop.

    python benchmarks/heartbeat.py

A real viewer with the workflow, Slices and Check tilts open; an INR run of its own
processes; somebody who looks around.  A timer in the event loop should beat every
`BEAT_MS`; a gap above `GAP_MS` is one the user can feel.  Each gap tells how long the
thread of the window worked in it, and the process with its other threads: where both
are far shorter, the machine was at something else.  Also how long it takes from Start
to the first volume on the screen, and to open every dock as the first of a napari that
has just begun.  Without a display it starts Xvfb.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

BEAT_MS = 10
GAP_MS = 100
LOOK_S = 2.0
ROOT = Path(__file__).parents[1]
WITH_DISPLAY = ROOT / "scripts" / "with-display.sh"
MANIFEST = ROOT / "src" / "napari_inr_tomo" / "napari.yaml"
FIRST_VOLUME_S = {64: 3.0, 128: 10.0}
"""Aims: seconds from Start to the first volume on the screen."""


class Heartbeat:
    """Beats in the event loop; a thread looks at what holds it up."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.beats, self.longest_ms = 0, 0.0
        self.gaps: list[dict[str, Any]] = []
        self.began = self._last = time.perf_counter()
        self._main = threading.get_ident()
        self._seen: Counter[str] = Counter()
        self._stop = threading.Event()
        self._worked = time.thread_time(), time.process_time()
        self._collecting = 0.0
        self._collected_ms = 0.0
        gc.callbacks.append(self._collects)
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)
        self._timer.start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        now, worked = time.perf_counter(), (time.thread_time(), time.process_time())
        gap_ms = 1000 * (now - self._last)
        if gap_ms > GAP_MS:
            self.gaps.append(
                {
                    "at_s": round(now - self.began, 2),
                    "ms": round(gap_ms),
                    "window_ms": round(1000 * (worked[0] - self._worked[0])),
                    "process_ms": round(1000 * (worked[1] - self._worked[1])),
                    "garbage_ms": round(self._collected_ms),
                    "ran": self._seen.most_common(1)[0][0] if self._seen else "unseen",
                }
            )
        self.beats += 1
        self.longest_ms = max(self.longest_ms, gap_ms)
        self._seen.clear()
        self._last, self._worked, self._collected_ms = now, worked, 0.0

    def _collects(self, what: str, _: dict[str, int]) -> None:
        """Add up what Python's garbage collection takes."""
        now = time.perf_counter()
        if what == "stop":
            self._collected_ms += 1000 * (now - self._collecting)
        self._collecting = now

    def _watch(self) -> None:
        """Note what the event loop is at whenever a beat is late."""
        while not self._stop.wait(0.015):
            if time.perf_counter() - self._last > 0.04:
                frame = sys._current_frames().get(self._main)
                self._seen[where(traceback.extract_stack(frame))] += 1

    def end(self) -> None:
        self._timer.stop()
        gc.callbacks.remove(self._collects)
        self._stop.set()
        self._thread.join()

    def figures(self) -> dict[str, Any]:
        """What was found, the longest gaps first."""
        gaps = sorted(self.gaps, key=lambda gap: -gap["ms"])
        return {
            "seconds": round(self._last - self.began, 1),
            "beats": self.beats,
            "gaps_above_100_ms": len(gaps),
            "longest_gap_ms": round(self.longest_ms),
            "gaps": gaps[:20],
        }


def open_first(command: str) -> dict[str, Any]:
    """Open a dock as the first one in a napari that has just begun."""
    import importlib

    import napari
    from npe2 import PluginManifest
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    for _ in range(20):
        QApplication.processEvents()
    manifest = PluginManifest.from_file(MANIFEST)
    names = {c.id: c.python_name for c in manifest.contributions.commands}
    module, kind = names[command].split(":")
    began = time.perf_counter()
    dock = getattr(importlib.import_module(module), kind)(viewer)
    viewer.window.add_dock_widget(dock, name=kind)
    QApplication.processEvents()
    took = time.perf_counter() - began
    return {"dock": kind, "s": round(took, 2), "torch": "torch" in sys.modules}


def dock_commands() -> list[str]:
    """Return the commands of all docks in the manifest."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    return [widget.command for widget in manifest.contributions.widgets]


def import_ms() -> float:
    """Return how long importing the package takes in a new process, median of 5."""
    code = (
        "import time; t = time.perf_counter(); import napari_inr_tomo; "
        "print(1000 * (time.perf_counter() - t))"
    )
    times = [
        float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(5)
    ]
    return round(sorted(times)[2], 2)


def where(stack: traceback.StackSummary) -> str:
    """Return the innermost lines of a stack, the plugin's own one first."""
    parts = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in stack]
    own = [
        part
        for part, f in zip(parts, stack, strict=True)
        if "napari_inr_tomo" in f.filename
    ]
    rest = [part for part in parts if "importlib" not in part]
    return " < ".join([*own[-1:], "...", *reversed(rest[-4:])])


def measure(size: int, preset: str, most_s: float) -> dict[str, Any]:
    """Reconstruct size^3 in a real window and watch its event loop."""
    import numpy as np

    from napari_inr_tomo.simulate import simulate_series
    from napari_inr_tomo.ui.docks.monitor import MonitorPanel
    from napari_inr_tomo.ui.docks.reconstruction import ReconstructionPanel
    from napari_inr_tomo.ui.run_control import ALIVE, RunState
    from napari_inr_tomo.ui.tour import Tour

    made = simulate_series("sea-mine", size, np.arange(-60, 61, 2.0), dose=500, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        tour = Tour(Path(folder))
        tour.session.add_series(made.series)
        monitor = tour.panel(MonitorPanel)
        docks = [monitor.show_dock(title) for title in ("Slices", "Check tilts")]
        panel = tour.panel(ReconstructionPanel)
        panel.choose("inr", preset)
        panel.folder.setText(str(Path(folder) / "run"))
        tour.wait(lambda: panel.devices is not None, 60)
        tour.wait(most_s=2)
        run, began = tour.session.run, time.perf_counter()
        heart = Heartbeat()
        panel.start()
        first = _until(tour, lambda: run.layers.volume is not None, most_s, began)
        look, end = began, began + most_s
        turn = 0
        while run.state in ALIVE and time.perf_counter() < end:
            if time.perf_counter() - look > LOOK_S:
                look, turn = time.perf_counter(), turn + 1
                _look_around(tour, docks, turn)
            _live(5)
        stopped = run.state in ALIVE
        run.request("stop")
        _until(tour, lambda: run.state not in ALIVE, 600, began)
        heart.end()
        done = run.state is RunState.DONE
        message = run.message
        tour.close()
    return {
        "side_px": size,
        "tilts": len(made.series),
        "preset": preset,
        "first_volume_s": first,
        "first_volume_aim_s": FIRST_VOLUME_S.get(size),
        "stopped_early": stopped,
        "finished": done,
        "message": message,
        **heart.figures(),
    }


def _live(milliseconds: int) -> None:
    """Let the event loop work, as it does in an application."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def _until(tour: Any, so: Any, most_s: float, began: float) -> float | None:
    end = time.perf_counter() + most_s
    while not so():
        if time.perf_counter() > end:
            return None
        _live(5)
    return round(time.perf_counter() - began, 2)


def _look_around(tour: Any, docks: list[Any], turn: int) -> None:
    """Do what somebody does who watches: another place, another tilt, another dock."""
    from napari_inr_tomo.ui.open_docks import raise_dock

    slices, tilts = docks
    if turn % 3 == 0:
        raise_dock(slices)
        slices.panel.view.moved.emit((turn % 7 - 3.0, turn % 5 - 2.0, turn % 9 - 4.0))
    elif turn % 3 == 1:
        raise_dock(tilts)
        tilts.panel.tilt.setValue(turn % (tilts.panel.tilt.maximum() + 1))
    else:
        raise_dock(tour.dock)


def child(*arguments: str) -> dict[str, Any]:
    """Return what this program answers with these arguments, on a screen."""
    with tempfile.TemporaryDirectory() as folder:
        answer, home = Path(folder) / "answer.json", Path(folder) / "napari.yaml"
        command = [str(WITH_DISPLAY), sys.executable, __file__, *arguments]
        environment = os.environ | {"NAPARI_CONFIG": str(home)}
        subprocess.run([*command, "--child", str(answer)], check=True, env=environment)
        return json.loads(answer.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 128])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--most", type=float, default=120, help="seconds of each run")
    parser.add_argument("--folder", type=Path, help="where the result goes")
    parser.add_argument("--dock", help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        if given.dock:
            figures = open_first(given.dock)
        else:
            figures = measure(given.sizes[0], given.preset, given.most)
        given.child.write_text(json.dumps(figures))
        # not through napari's own end: it may ask
        os._exit(0)
    import record

    docks = [child("--dock", command) for command in dock_commands()]
    for dock in docks:
        print(json.dumps(dock))
    runs = []
    for size in given.sizes:
        chosen = ("--preset", given.preset, "--most", str(given.most))
        figures = child("--sizes", str(size), *chosen)
        print(json.dumps({k: v for k, v in figures.items() if k != "gaps"}))
        for gap in figures["gaps"]:
            took = f"{gap['ms']} ms ({gap['window_ms']} of the window's own)"
            print(f"  {took} at {gap['at_s']} s: {gap['ran']}")
        runs.append(figures)
    whole = {"import_ms": import_ms(), "docks": docks, "runs": runs}
    print(record.write("heartbeat", whole, given.folder or record.RESULTS))


if __name__ == "__main__":
    main()
