"""The Scan drift dock: two scans, what it shows, cancelling, wrong use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.compat import isalive

from napari_inr_tomo.simulate import simulate_scans
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import pass_steps as steps
from napari_inr_tomo.ui.docks.scan_drift import ScanDriftDock

LONG_MS = 60_000
INNER = (slice(6, -6), slice(6, -6))


@pytest.fixture(scope="module")
def scans() -> tuple[TiltSeries, TiltSeries, np.ndarray]:
    """Two tilts scanned at 0 and 90 degrees, and the first without drift."""
    made = [
        simulate_scans((40, 46), drift_px=d, jitter_px=0, seed=k)
        for k, d in enumerate((2.0, 0.5))
    ]
    first, second = (
        TiltSeries(
            np.stack([one.images[k] for one in made]), [0.0, 2.0], name=f"scan {k}"
        )
        for k in (0, 1)
    )
    return first, second, made[0].truth


def opened(open_dock: Any, scans: Any) -> Any:
    panel = open_dock(ScanDriftDock).panel
    session = open_dock.session
    first = session.add_series(scans[0])
    session.add_series(scans[1])
    session.layer = first
    return panel


def wait(open_dock: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)


def test_a_tilt_is_tried_then_all_are_corrected_and_undone(
    open_dock: Any, qtbot: Any, scans: Any
) -> None:
    panel, session = opened(open_dock, scans), open_dock.session
    session.show_tilt(0)
    assert panel.plot.isHidden()  # an empty frame says nothing
    panel.try_button.click()
    wait(open_dock, qtbot)
    assert not panel.plot.isHidden()
    assert "Tilt 0 (0.0 deg): lines up to" in panel.numbers.text()
    assert all(picture.shown for picture in panel.pictures)
    assert all(picture.scale_words for picture in panel.pictures)
    assert panel.plot.names == ["x, scan 1", "y, scan 1", "x, scan 2", "y, scan 2"]
    assert len(panel.plot.line("x, scan 1")[0]) == 40
    assert len(panel.plot.line("x, scan 2")[0]) == 46
    assert session.series is scans[0]
    panel.all_button.click()
    wait(open_dock, qtbot)
    assert "2 tilts corrected" in panel.said.text()
    left = (session.series.images[0] - scans[2])[INNER].std()
    assert left < 0.6 * (scans[0].images[0] - scans[2])[INNER].std()
    panel.undo_button.click()
    assert session.series is scans[0]
    session.layer = session.series_layers()[1]
    assert panel.plot.isHidden()


def test_what_is_missing_is_said(open_dock: Any, scans: Any) -> None:
    panel, session = open_dock(ScanDriftDock).panel, open_dock.session
    session.add_series(scans[0])
    assert "other scan direction as well" in panel.row.reason_text
    other = session.add_series(scans[1])
    assert panel.try_button.isEnabled()
    panel.other_deg.setCurrentIndex(2)
    assert "at right angles" in panel.row.reason_text
    panel.other_deg.setCurrentIndex(3)
    assert panel.try_button.isEnabled()
    open_dock.viewer.layers.remove(other)
    assert not panel.try_button.isEnabled()
    panel.correct()
    assert session.busy is None


@pytest.mark.parametrize("how", ["cancel", "close the dock", "remove the layer"])
def test_a_correction_that_is_ended_midway_changes_nothing(
    open_dock: Any, qtbot: Any, scans: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    panel, session = opened(open_dock, scans), open_dock.session
    layer = session.layer
    whole = steps.correct_series_drift

    def slow(*arguments: Any) -> Any:
        if how != "remove the layer":
            arguments[-1].wait(30)  # for the request to stop
        return whole(*arguments)

    monkeypatch.setattr(steps, "correct_series_drift", slow)
    panel.all_button.click()
    assert panel.cancel_button.isEnabled()
    if how == "cancel":
        panel.cancel_button.click()
    elif how == "close the dock":
        open_dock.viewer.window.remove_dock_widget(dock_of(panel))
    else:
        open_dock.viewer.layers.remove(layer)
    wait(open_dock, qtbot)
    assert layer.data is scans[0].images
    assert not (isalive(panel) and panel._timer.isActive())


def dock_of(panel: Any) -> Any:
    while not isinstance(panel, ScanDriftDock):
        panel = panel.parent()
    return panel
