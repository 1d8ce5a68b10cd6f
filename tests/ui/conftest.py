"""Fixtures for tests in a real viewer: the plugin, a series, nothing left behind."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import TiltSeries

MANIFEST = Path(__file__).parents[2] / "src" / "napari_inr_tomo" / "napari.yaml"
DISPLAY = bool(os.environ.get("DISPLAY")) or sys.platform in ("win32", "darwin")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(
        reason="no display: napari needs one (run under xvfb-run -a)"
    )
    for item in items:
        if "make_napari_viewer" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.viewer)
            if not DISPLAY:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def small_series() -> TiltSeries:
    """25 tilts of 24 x 28 px (y, x) of a phantom, with an oblique axis."""
    return simulate_series(
        "sea-mine",
        size=(24, 28),
        angles_deg=np.arange(-60, 61, 5.0),
        dose=2000,
        axis_deg=4.0,
        axis_shift_px=1.0,
        background=0.1,
        seed=3,
    ).series


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep new run folders out of the real home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(autouse=True)
def last_used(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The plugin's settings, fresh for every test and kept out of the real ones."""
    from types import SimpleNamespace

    from napari_inr_tomo.ui import remembered

    groups = {
        "last": SimpleNamespace(folder="", method="", preset=""),
        "runs": SimpleNamespace(folder=""),
    }
    monkeypatch.setattr(remembered, "settings", groups.get)
    return groups


@pytest.fixture
def plugin(npe2pm: Any) -> Any:
    """Register this plugin's manifest with npe2."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    manifest.package_metadata = None
    npe2pm.register(manifest)
    return npe2pm


@pytest.fixture
def worker(tmp_path: Path, small_series: TiltSeries) -> Iterator[Any]:
    """A run that goes on and whose worker does as the test says."""
    from scripted_run import Worker

    made = Worker(tmp_path / "run", small_series)
    yield made
    made.end()


@pytest.fixture
def open_dock(
    make_napari_viewer: Any, qtbot: Any, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a dock (a class) in one real viewer.

    The window is shown for tests marked ``SHOWN``.
    """
    from napari.utils.notifications import notification_manager

    from napari_inr_tomo.ui.session import session_of

    notification_manager.records.clear()
    viewer = make_napari_viewer(show=getattr(request, "param", "hidden") == "shown")

    def opened(kind: type) -> Any:
        dock = kind(viewer)
        viewer.window.add_dock_widget(dock, name=kind.__name__)
        return dock

    opened.viewer = viewer
    opened.session = session_of(viewer)
    yield opened
    session = opened.session
    qtbot.waitUntil(lambda: session.busy is None, timeout=20_000)
    session.close()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves threads, timers, top-level widgets or progress bars."""
    if "make_napari_viewer" not in request.fixturenames or not DISPLAY:
        yield
        return
    from qtpy.QtCore import QThreadPool
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance() or request.getfixturevalue("qapp")
    threads = set(threading.enumerate())
    theirs = ("Dummy", "zarr_io", "asyncio_")  # Qt's, and zarr's for the whole process

    def threads_left() -> list[threading.Thread]:
        return [
            thread
            for thread in set(threading.enumerate()) - threads
            if not thread.name.startswith(theirs)
        ]

    widgets = {id(w) for w in application.topLevelWidgets()}
    yield
    until = time.monotonic() + 5
    while time.monotonic() < until:
        application.processEvents()
        gc.collect()
        if not QThreadPool.globalInstance().activeThreadCount() and not (
            ours(application, widgets) or timers(application) or threads_left()
        ):
            break
        time.sleep(0.05)
    from napari.utils import progress

    assert not threads_left(), f"threads left: {threads_left()}"
    assert QThreadPool.globalInstance().activeThreadCount() == 0, "a worker still runs"
    assert not ours(application, widgets), "widgets left"
    assert not timers(application), "timers left"
    assert not progress._all_instances, "progress bars left"


def ours(application: Any, before: set[int]) -> list[Any]:
    """Return top-level widgets of this package that came during the test."""
    return [
        widget
        for widget in application.topLevelWidgets()
        if id(widget) not in before
        and type(widget).__module__.startswith(("napari_inr_tomo", "pyqtgraph"))
    ]


def timers(application: Any) -> list[Any]:
    """Return active timers that belong to widgets of this package."""
    from qtpy.QtCore import QTimer

    return [
        timer
        for timer in gc.get_objects()
        if isinstance(timer, QTimer)
        and _active(timer)
        and type(timer.parent()).__module__.startswith("napari_inr_tomo")
    ]


def _active(timer: Any) -> bool:
    try:
        return timer.isActive()
    except RuntimeError:  # its C++ part is gone
        return False
