"""The tilts shown as their poses lay them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from step_helpers import done

from napari_inr_tomo import io
from napari_inr_tomo.align import set_tilt_axis
from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import Poses, TiltSeries, Volume
from napari_inr_tomo.ui.aligned_tilts import AlignedImages
from napari_inr_tomo.ui.docks.alignment import AlignmentDock
from napari_inr_tomo.ui.series_layer import plain_stack, volume_layer_data, volume_of


@pytest.fixture
def dot_series() -> TiltSeries:
    """A dot in the middle that every tilt shows two pixels further down."""
    images = np.zeros((5, 33, 31), np.float32)
    for tilt in range(5):
        images[tilt, 16 + 2 * tilt, 15] = 1
    zeros = np.zeros(5)
    poses = Poses(zeros, zeros, zeros, 2.0 * np.arange(5))
    return TiltSeries(images, np.arange(-20.0, 21, 10), poses=poses, pixel_size_nm=0.5)


def canvas(layer: Any) -> np.ndarray:
    return np.asarray(layer._slice.image.view)


@pytest.fixture
def panel(open_dock: Any, dot_series: TiltSeries) -> Any:
    panel = open_dock(AlignmentDock).panel
    open_dock.session.add_series(dot_series)
    return panel


def aligned(open_dock: Any) -> Any:
    (layer,) = [one for one in open_dock.viewer.layers if "aligned" in one.name]
    return layer


def test_the_specimen_stands_still(open_dock: Any, panel: Any) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    session.show_tilt(1)
    panel.aligned_tick.setChecked(True)
    layer = aligned(open_dock)
    assert layer.visible
    assert not session.layer.visible
    assert session.shown_tilt() == 1
    assert tuple(layer.scale) == tuple(session.layer.scale)
    for tilt in range(5):
        viewer.dims.set_point(0, tilt * 0.5)
        assert session.shown_tilt() == tilt
        assert np.unravel_index(canvas(layer).argmax(), (33, 31)) == (16, 15)
    panel.aligned_tick.setChecked(False)
    assert session.layer.visible
    assert not session.has_layer(layer)
    assert session.shown_tilt() == 4


def test_it_follows_the_poses_and_goes_with_the_series(
    open_dock: Any, qtbot: Any, panel: Any, dot_series: TiltSeries
) -> None:
    session = open_dock.session
    panel.aligned_tick.setChecked(True)
    layer = aligned(open_dock)
    panel.forget_button.click()
    done(qtbot, session)
    assert layer.visible
    assert panel.aligned_tick.isChecked()
    tilt = session.shown_tilt()
    assert (canvas(layer) == dot_series.images[tilt]).all()
    session.undo()
    assert canvas(layer)[16, 15] == 1
    # half as many pixels: half as far, and at the same place on the canvas
    session.apply(session.layer, bin_images(session.series, 2), "Binning")
    panel.aligned_tick.setChecked(True)
    assert layer.data.shape == session.series.images.shape
    assert tuple(layer.scale) == tuple(session.layer.scale)
    session.layer.name = "needle"
    assert layer.name == "needle, aligned"
    layer.name = "mine, aligned"
    session.layer.name = "needle 2"
    assert layer.name == "mine, aligned"
    # another series has its own
    session.add_series(dot_series)
    assert not session.has_layer(layer)
    assert not panel.aligned_tick.isChecked()
    panel.aligned_tick.setChecked(True)
    open_dock.viewer.layers.remove(aligned(open_dock))  # by the user
    assert not panel.aligned_tick.isChecked()
    assert session.layer.visible
    panel.aligned_tick.setChecked(True)
    layer, first = aligned(open_dock), session.series_layers()[0]
    open_dock.viewer.layers.remove(session.layer)
    assert not session.has_layer(layer)
    assert session.layer is first
    # and with the dock
    panel.aligned_tick.setChecked(True)
    layer = aligned(open_dock)
    panel.release()
    assert not session.has_layer(layer)
    assert first.visible


def test_they_go_before_a_view_in_3d_would_cut_them_all(
    open_dock: Any, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.aligned_tick.setChecked(True)
    layer, made = aligned(open_dock), []
    monkeypatch.setattr(io, "aligned_picture", lambda *a: made.append(a))
    open_dock.viewer.dims.ndisplay = 3
    assert not made
    assert not open_dock.session.has_layer(layer)
    assert not panel.aligned_tick.isChecked()
    assert open_dock.session.layer.visible
    monkeypatch.undo()
    panel.aligned_tick.setChecked(True)  # in two dimensions again
    assert open_dock.viewer.dims.ndisplay == 2
    assert aligned(open_dock).visible


def test_tools_bring_the_tilts_as_they_are_to_the_front(
    open_dock: Any, panel: Any
) -> None:
    session = open_dock.session
    panel.aligned_tick.setChecked(True)
    panel.tool.enable()
    assert session.layer.visible
    assert not aligned(open_dock).visible
    assert not panel.aligned_tick.isChecked()
    panel.aligned_tick.setChecked(True)  # not while its lines are on the tilts
    assert not panel.aligned_tick.isChecked()
    assert session.layer.visible
    panel.tool.disable()
    panel.aligned_tick.setChecked(True)
    assert aligned(open_dock).visible


def test_a_volume_that_covers_the_tilts(open_dock: Any, panel: Any) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    session.show_tilt(3)
    volume = viewer.add_image(*volume_layer_data(Volume(np.ones((9, 33, 31)), 0.5))[:1])
    session.show_alone(volume)
    panel.aligned_tick.setChecked(True)
    assert aligned(open_dock).visible
    assert session.shown_tilt() == 3


def test_it_is_neither_a_volume_nor_a_stack_without_angles(
    open_dock: Any, panel: Any, tmp_path: Path
) -> None:
    panel.aligned_tick.setChecked(True)
    layer = aligned(open_dock)
    open_dock.viewer.layers.selection.active = layer
    assert volume_of(layer) is None
    assert plain_stack(open_dock.viewer) is None
    # saved, it is the aligned stack with what belongs beside it
    assert layer.save(str(tmp_path / "out.mrc"), plugin="napari-inr-tomo")
    again = io.read_series(tmp_path / "out.mrc")
    assert again.angles_deg.tolist() == panel.session.series.angles_deg.tolist()
    assert again.images[:, 16, 15] == pytest.approx(1, abs=1e-5)


def test_large_images_are_shown_with_fewer_pixels(dot_series: TiltSeries) -> None:
    images = np.zeros((2, 1100, 60), np.float32)
    images[:, 500:520, 20:30] = 1
    series = TiltSeries(images, [0.0, 10.0], poses=Poses.zeros(2))
    seen = AlignedImages(set_tilt_axis(series, 30.0))
    assert seen.shape == (2, 550, 30)
    whole = io.aligned_picture(seen.series, 1)
    assert seen[1] == pytest.approx(whole[::2, ::2], abs=1e-6)
    assert seen[:, 3, 4:6].shape == (2, 2)
    assert np.asarray(seen).shape == seen.shape
