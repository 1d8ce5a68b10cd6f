"""Loss and pose curves as layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from scripted_run import LONG_MS, Worker, follow

from napari_inr_tomo import events
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.curve_layers import _words
from napari_inr_tomo.ui.docks.monitor import MonitorDock
from napari_inr_tomo.ui.turns import idle


@pytest.mark.parametrize(
    ("phase", "title"), [("SIRT", "Loss, SIRT"), ("rays", "Loss, learning from")]
)
def test_a_box_is_named_after_its_phase(phase: str, title: str) -> None:
    points = {"part": [phase], "x": [1.0], "value": [2.0]}
    found = {name: np.array(values) for name, values in points.items()}
    assert _words(found, phase, np.zeros(2), np.ones(2))[0][0].startswith(title)


@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
def test_curves_go_into_layers_with_their_numbers(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    open_dock.session.add_series(small_series)
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    run, viewer = open_dock.session.run, open_dock.viewer
    assert not panel.curve_button.isEnabled()
    for step in (100, 200):
        worker.say(
            events.Epoch(
                step=step,
                total=200,
                phase="learning the start",
                loss=9.0 / step,
                elapsed_s=1.0,
            )
        )
    one = {"phase": "checking the hull", "loss": 0.2, "elapsed_s": 1.0}
    worker.say(events.Epoch(step=0, total=15, **one))  # no curve
    for step in (1, 2, 3):
        worker.epoch(step)
    worker.poses(2.0)
    qtbot.waitUntil(lambda: run.record.poses is not None, timeout=LONG_MS)
    qtbot.waitUntil(panel.curve_button.isEnabled, timeout=LONG_MS)
    zoom = viewer.scene.camera.zoom
    seen: list[int] = []
    timer = QTimer()
    timer.timeout.connect(lambda: seen.append(len(viewer.layers)))
    timer.start(0)
    before = len(viewer.layers)
    panel.curve_button.click()
    qtbot.waitUntil(idle, timeout=LONG_MS)
    timer.stop()
    assert {*seen} == {*range(before, before + 8)}  # the window answers in between
    loss = viewer.layers["Loss numbers of run, log scale"]
    table = loss.features
    rays = table["phase"] == "rays"
    here = rays & (table["curve"] == "loss")
    assert table["value"][here].tolist() == [1, 1 / 2, 1 / 3]
    # each phase in a box of its own, which it fills, and no line between them
    _, rows, columns = worker.shape
    boxes = [loss.data[here.to_numpy()], loss.data[(~rays).to_numpy()]]
    for box in boxes:
        assert np.ptp(box[:, 1]) == pytest.approx(columns)
    assert np.ptp(boxes[1][:, 0]) == pytest.approx(rows)
    assert abs(boxes[0][:, 1].min() - boxes[1][:, 1].min()) > 1.2 * columns
    lines = viewer.layers["Loss curves of run, log scale"].data
    assert len(lines) == 5  # of 2 points, and two curves of 3
    assert np.abs(lines[:, 1, 1]).max() <= columns
    turns = viewer.layers["Turn numbers of run (deg)"].features
    assert set(turns["curve"]) == {"z1_deg", "z3_deg"}
    shifts = viewer.layers["Shift numbers of run (px)"].features
    assert set(shifts["value"]) == {1.0, -2.0}
    axes = viewer.layers["Axes of the curves of run"].features["words"].tolist()
    assert [axes[k : k + 5] for k in (0, 5, 10, 15)] == [
        ["Loss, learning the start", "0.09", "0.045", "100", "200 iterations"],
        ["Loss, learning from the images", "1.5", "0.333", "1", "3 epochs"],
        ["Turns z1, z3 (deg)", "2", "-2", "-60", "60 deg tilt"],
        ["Shifts dx, dy (px)", "1", "-2", "-60", "60 deg tilt"],
    ]
    assert viewer.layers.extent.units is not None
    # nothing else lies under the boxes, and no two of them meet
    assert not open_dock.session.layer.visible
    corners = np.array(
        [
            viewer.layers[name].data[:, -2:].min(axis=0)
            for name in ("Turn numbers of run (deg)", "Shift numbers of run (px)")
        ]
        + [box.min(axis=0) for box in boxes]
    )
    words = viewer.layers["Axes of the curves of run"].data
    lowest = corners[:, 0].max() + rows
    assert words[:, 0].max() > lowest + 0.5 * rows  # room for the scale bar
    apart = np.abs(corners[:, None] - corners) > np.array([rows, columns]) * 1.2
    assert (apart.any(-1) | np.eye(4, dtype=bool)).all()
    # they go with everything else when something is to be seen alone
    assert viewer.scene.camera.zoom < zoom / 2
    panel.stack_button.click()
    assert not any(layer.visible for layer in viewer.layers if " of run" in layer.name)
    assert open_dock.session.layer.visible
    assert viewer.scene.camera.zoom == pytest.approx(zoom)
