"""Sinograms: signs, poses, the dock, wrong use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker, follow

from napari_inr_tomo import geometry
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses, TiltSeries, Volume
from napari_inr_tomo.ui.docks.sinogram import (
    OTHER_SIZE,
    OUTSIDE,
    WITHOUT,
    SinogramDock,
)
from napari_inr_tomo.ui.series_layer import volume_layer_data
from napari_inr_tomo.ui.sinograms import sinogram
from napari_inr_tomo.ui.slicing import Shown

ANGLES = np.array([30.0, -60.0, 0.0, 55.0, -20.0])


@pytest.mark.parametrize("axis_deg", [0.0, 25.0])
@pytest.mark.parametrize("follow", [True, False])
def test_the_sinogram_of_the_truth_is_that_of_its_images(
    follow: bool, axis_deg: float
) -> None:
    made = simulate_series(
        "chiral", (40, 48), ANGLES, axis_deg=axis_deg, shift_sigma_px=2.0, seed=4
    )
    poses, truth = made.truth_poses, Shown(made.truth.data)
    known = made.series.images, ANGLES, np.ones(5, bool)
    found = sinogram(*known, poses, 3.0, follow, truth)
    assert found.angles_deg.tolist() == sorted(ANGLES)
    assert found.share < 0.15
    moved = Poses.from_array(poses.as_array() + np.array([0, 0, 0, 3.0]))
    assert sinogram(*known, moved, 3.0, follow, truth).share > 2 * found.share
    mirrored = sinogram(known[0], -ANGLES, known[2], poses, 3.0, follow, truth)
    assert mirrored.share > 2 * found.share


def test_a_point_runs_along_its_curve_once_the_poses_are_followed() -> None:
    point = np.array([[4.0, 7.0, -5.0]])
    poses = Poses.from_axis(5, 20.0, 2.0, -3.0)
    seen = geometry.project_points(point, ANGLES, poses)
    images = np.zeros((5, 41, 45), np.float32)
    y, x = np.mgrid[:41, :45]
    for image, (u, v) in zip(images, seen.reshape(5, 2), strict=True):
        image[:] = np.exp(-((x - 22 - u) ** 2 + (y - 20 - v) ** 2) / 4)
    turn = np.deg2rad(20.0)
    along = point[0, 0] * np.cos(turn) + point[0, 1] * np.sin(turn)
    across = -point[0, 0] * np.sin(turn) + point[0, 1] * np.cos(turn)
    found = sinogram(images, ANGLES, np.ones(5, bool), poses, along, True)
    peaks = found.v_px[np.nanargmax(found.measured, axis=1)]
    theta = np.deg2rad(found.angles_deg)
    assert peaks == pytest.approx(across * np.cos(theta) + 5 * np.sin(theta), abs=0.6)
    assert np.nanmax(found.measured, axis=1).min() > 0.8


def test_tilts_left_out_are_not_computed() -> None:
    images = np.ones((5, 8, 8), np.float32)
    used = np.array([True, True, False, True, True])
    volume = Shown(np.ones((8, 8, 8), np.float32))
    found = sinogram(images, ANGLES, used, Poses.zeros(5), 0.0, True, volume)
    row = np.flatnonzero(found.tilts == 2)[0]
    assert np.isnan(found.computed[row]).all()
    assert np.isfinite(np.delete(found.computed, row, axis=0)).all()


def test_a_line_beside_the_images_is_said_in_words(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    session = open_dock.session
    session.add_series(small_series)
    panel = open_dock(SinogramDock).panel
    data = np.ones((24, *small_series.images.shape[1:]), np.float32)
    made, options, _ = volume_layer_data(Volume(data, small_series.pixel_size_nm))
    open_dock.viewer.add_image(made, **options)
    qtbot.waitUntil(lambda: "rms" in panel.state.text(), timeout=LONG_MS)
    poses = small_series.start_poses
    far = Poses(poses.z1_deg, poses.z3_deg, poses.dx_px + 500, poses.dy_px)
    session.apply(session.layer, small_series.evolve(poses=far), "far away")
    qtbot.waitUntil(lambda: OUTSIDE in panel.state.text(), timeout=LONG_MS)
    session.undo()
    qtbot.waitUntil(lambda: "rms" in panel.state.text(), timeout=LONG_MS)


def test_the_dock_shows_the_series_then_the_volume_of_the_run(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    open_dock.session.add_series(small_series)
    panel = follow(open_dock, qtbot, worker, SinogramDock)
    qtbot.waitUntil(lambda: panel.view.shown is not None, timeout=LONG_MS)
    assert panel.view.shown.computed is None
    assert WITHOUT in panel.state.text()
    worker.poses(4.0)
    worker.preview(4.0, (12, 12, 14))
    qtbot.waitUntil(lambda: panel.view.shown.computed is not None, timeout=LONG_MS)
    assert "residual" in panel.state.text()
    # a click shows the tilt, and one more leaves it out
    open_dock.session.layer.visible = True
    panel.view.click(3.2)
    tilt = int(panel.view.shown.tilts[3])
    assert open_dock.session.shown_tilt() == tilt
    assert panel.view.lines["measured"].value() == 3
    panel.out_button.click()
    qtbot.waitUntil(lambda: not panel.view.shown.used[3], timeout=LONG_MS)
    assert not open_dock.session.series.mask[tilt]
    qtbot.waitUntil(panel.out_button.isEnabled, timeout=LONG_MS)
    assert panel.out_button.text() == "Take this tilt back"
    panel.out_button.click()
    qtbot.waitUntil(lambda: panel.view.shown.used[3], timeout=LONG_MS)


def test_a_volume_of_another_size_and_layers_that_go(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    from napari.layers import Layer

    dock = open_dock(SinogramDock)
    panel = dock.panel
    assert panel.row.reason_text
    stack = open_dock.session.add_series(small_series)
    other = Volume(np.ones((5, 6, 7), np.float32), None, "other")
    open_dock.viewer.add_layer(Layer.create(*volume_layer_data(other)))
    qtbot.waitUntil(lambda: OTHER_SIZE in panel.state.text(), timeout=LONG_MS)
    open_dock.viewer.layers.remove(stack)
    assert panel.view.shown is None
    open_dock.session.add_series(small_series)
    panel.compute()
    open_dock.viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: panel._work.idle, timeout=LONG_MS)
