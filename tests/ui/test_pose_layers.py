"""Tilt axis, centre of rotation and shift of every tilt, drawn on the tilts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker, follow

from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import Poses, TiltSeries
from napari_inr_tomo.ui.docks.monitor import MonitorDock
from napari_inr_tomo.ui.live import PoseTable
from napari_inr_tomo.ui.pose_layers import shift_arrows, shift_factor, shift_words
from napari_inr_tomo.ui.turns import idle


def table(dx: Any, dy: Any, used: Any = True) -> PoseTable:
    dx, dy = np.broadcast_arrays(np.asarray(dx, float), np.asarray(dy, float))
    used = np.broadcast_to(used, dx.shape)
    return PoseTable(
        {"tilt": np.arange(len(dx)), "used": used, "dx_px": dx, "dy_px": dy}
    )


@pytest.mark.parametrize(
    ("longest", "factor"),
    [
        (0.0, 1),
        (1e-9, 1000),
        (0.03, 100),
        (0.3, 10),
        (0.9, 5),
        (1.0, 5),
        (3.0, 1),
        (70, 1),
    ],
)
def test_shifts_are_drawn_as_long_as_a_fifth_of_the_image(
    longest: float, factor: int
) -> None:
    poses = table([0.0, 0.6 * longest], [0.0, -0.8 * longest])
    assert shift_factor(poses, (25, 40)) == factor
    if longest < 5:
        drawn = shift_arrows(poses, (25, 40), factor)
        assert np.linalg.norm(drawn[:, 1], axis=1).max() <= 5


def test_an_arrow_points_from_the_middle_to_the_centre_of_rotation() -> None:
    poses = table([1.0, 30.0, 0.5], [-2.0, 30.0, 0.0], [True, False, True])
    factor = shift_factor(poses, (25, 40))  # the unused one does not count
    assert factor == 2
    arrows = shift_arrows(poses, (25, 40), factor)
    assert arrows[:, 0].tolist() == [[k, 12.0, 19.5] for k in range(3)]
    assert arrows[:, 1].tolist() == [[0, -4, 2], [0, 0, 0], [0, 0, 1]]
    assert shift_words(factor) == "Shifts of the run, 2 x as long"
    assert shift_words(1) == "Shifts of the run"


def shown(open_dock: Any, qtbot: Any, worker: Worker, found: Poses) -> Any:
    """Follow a run, and show its tilts with these poses."""
    panel = follow(open_dock, qtbot, worker, MonitorDock)
    worker.poses(0.0, found=found)
    qtbot.waitUntil(panel.stack_button.isEnabled, timeout=LONG_MS)
    panel.stack_button.click()
    layers = open_dock.session.run.layers
    qtbot.waitUntil(lambda: layers.points is not None, timeout=LONG_MS)
    return panel


@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
def test_the_arrows_live_as_the_other_layers_of_the_poses_do(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    session.add_series(small_series)
    still = Poses.from_axis(worker.count, 3.0)
    panel, layers = shown(open_dock, qtbot, worker, still), session.run.layers
    assert layers.arrows.name == "Shifts of the run"
    assert not layers.arrows.data[:, 1].any()  # nothing to be seen
    before = layers.arrows.data
    worker.poses(0.0, found=Poses.from_axis(worker.count, 3.0, 0.3, -0.4))
    name = "Shifts of the run, 5 x as long"
    qtbot.waitUntil(lambda: layers.arrows.name == name, timeout=LONG_MS)
    assert layers.arrows.data is not before
    assert layers.arrows.data[7, 1] == pytest.approx([0, -2.0, 1.5])
    assert layers.arrows.features["dx_px"].tolist() == [0.3] * worker.count
    assert layers.arrows.vector_style == "arrow"
    assert viewer.layers.extent.units is not None
    viewer.layers.remove(layers.arrows)
    worker.poses(1.0)
    qtbot.waitUntil(lambda: layers.points.features["z3_deg"][0] == 1.0, timeout=LONG_MS)
    assert layers.arrows is None
    panel.back_button.click()
    assert layers.arrows.visible
    assert layers.arrows.name == "Shifts of the run, 2 x as long"
    worker.preview(1.0, worker.shape)
    qtbot.waitUntil(lambda: layers.volume is not None, timeout=LONG_MS)
    qtbot.waitUntil(lambda: not layers.arrows.visible, timeout=LONG_MS)
    panel.stack_button.click()
    assert layers.arrows.visible
    assert not layers.volume.visible


def test_the_poses_of_a_run_that_is_left_are_hidden_with_its_tilts(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    session = open_dock.session
    session.add_series(small_series)
    shown(open_dock, qtbot, worker, Poses.from_axis(worker.count, 3.0))
    old = [
        session.run.layers.axis,
        session.run.layers.arrows,
        session.run.layers.points,
    ]
    session.run.layers.reset()
    new = session.add_series(small_series)
    assert not any(layer.visible for layer in old)
    assert new.visible


def test_the_poses_stay_on_their_tilts_when_the_series_is_binned(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    session = open_dock.session
    series = small_series.evolve(pixel_size_nm=1.0)
    layer = session.add_series(series)
    shown(open_dock, qtbot, worker, Poses.from_axis(worker.count, 3.0))
    session.apply(layer, bin_images(series, 2), "Binning")
    for drawn in (session.run.layers.points, session.run.layers.arrows):
        place = drawn.data[9]
        start = place if place.ndim == 1 else place[0]
        where = layer.world_to_data(drawn.data_to_world(start))
        rows, columns = layer.data.shape[1:]
        assert where == pytest.approx([9, (rows - 1) / 2, (columns - 1) / 2])


def test_a_volume_that_is_looked_at_is_not_selected_again_with_every_pose(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    session.add_series(small_series)
    panel = shown(open_dock, qtbot, worker, Poses.from_axis(worker.count, 3.0))
    layers = session.run.layers
    worker.preview(1.0, worker.shape)
    qtbot.waitUntil(lambda: layers.volume is not None, timeout=LONG_MS)
    panel.volume_button.click()
    qtbot.waitUntil(idle, timeout=LONG_MS)
    own = viewer.add_points(np.zeros((1, 2)))
    worker.poses(1.0)
    qtbot.waitUntil(lambda: layers.points.features["z3_deg"][0] == 1.0, timeout=LONG_MS)
    assert viewer.layers.selection == {own}
    assert not layers.points.visible
