"""What napari's canvas shows: its slider and its scale bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from step_helpers import done

from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.jobs import toggle_tilt
from napari_inr_tomo.ui.series_layer import volume_layer_data


def test_the_slider_is_named_after_what_is_shown(
    open_dock: Any, small_series: TiltSeries
) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    stack = session.add_series(small_series)
    data, options, _ = volume_layer_data(
        Volume(np.zeros((24, 24, 28), np.float32), small_series.pixel_size_nm)
    )
    volume = viewer.add_image(data, **options)
    stack.visible = False
    assert viewer.dims.axis_labels[0] == "z"
    stack.visible, volume.visible = True, False
    assert viewer.dims.axis_labels[0] == "tilt"
    volume.data = np.ones((24, 24, 28), np.float32)  # napari names the axes again
    assert viewer.dims.axis_labels[0] == "tilt"
    volume.visible = True  # it lies on top
    assert viewer.dims.axis_labels[0] == "z"
    viewer.layers.move(0, 2)
    stack.visible = False
    stack.visible = True
    assert viewer.dims.axis_labels[0] == "tilt"
    viewer.layers.remove(volume)
    assert viewer.dims.axis_labels[0] == "tilt"


def test_a_series_with_other_pixels_begins_at_its_own_reference(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    for size_nm in (None, 18.0):
        series = small_series.evolve(pixel_size_nm=size_nm)
        session.add_series(series)
        assert session.shown_tilt() == series.reference
        rows = [series.reference]
        qtbot.waitUntil(lambda r=rows: panel.selected_tilts() == r, timeout=5000)


@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
@pytest.mark.parametrize(("pixel_nm", "unit"), [(0.5, "nm"), (None, "pixel")])
def test_the_canvas_has_a_scale_bar(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, pixel_nm: Any, unit: str
) -> None:
    dock = open_dock(TiltSeriesDock)
    bar = open_dock.viewer.canvas.overlays.scale_bar
    dock.session.add_series(small_series.evolve(pixel_size_nm=pixel_nm))
    canvas = open_dock.viewer.window._qt_viewer.canvas
    (drawn,) = canvas._viewer_overlay_to_visual[bar]
    qtbot.waitUntil(lambda: drawn.node.text.text.endswith(unit), timeout=5000)
    assert drawn.node.visible
    bar.visible = False  # by the user: it stays so
    dock.session.add_series(small_series)
    assert not bar.visible


def test_the_slider_returns_to_the_tilt_and_the_slice_that_were_left(
    open_dock: Any, small_series: TiltSeries
) -> None:
    """A slice far down a volume is no tilt of a short series: nothing would be seen."""
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    series = small_series.evolve(pixel_size_nm=0.5)
    stack = session.add_series(series)
    session.show_tilt(3)
    data = np.random.default_rng(0).random((90, 24, 28), np.float32)
    made, options, _ = volume_layer_data(Volume(data, 0.5))
    volume = viewer.add_image(made, **options)
    assert viewer.dims.point[0] == pytest.approx(0.5 * 44.5, abs=0.3)  # the middle
    viewer.dims.set_point(0, 0.5 * 80)
    volume.visible = False
    assert session.shown_tilt() == 3
    session.show_tilt(5)
    stack.visible = False
    volume.visible = True
    assert viewer.dims.point[0] == pytest.approx(0.5 * 80)
    other = session.add_series(series.evolve(images=series.images + 1))
    assert other.visible
    assert session.shown_tilt() == series.reference


def test_behind_a_volume_the_tilt_is_the_one_that_was_left_and_comes_forward(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    stack = session.add_series(small_series)
    session.show_tilt(3)
    data, options, _ = volume_layer_data(Volume(np.ones((90, 24, 28), np.float32), 1.0))
    viewer.add_image(data, **options)
    viewer.dims.set_point(0, 70.0)
    assert session.shown_tilt() == 3
    toggle_tilt(session)  # of a tilt that nobody sees: it is shown first
    assert session.on_top() == "tilt"
    assert session.shown_tilt() == 3
    assert session.series.mask[3]
    toggle_tilt(session)
    done(qtbot, session)
    assert not session.series.mask[3]
    viewer.layers[1].visible = True
    session.show_tilt(8)
    assert session.on_top() == "tilt"
    assert session.shown_tilt() == 8
    assert stack.visible


def test_a_volume_that_replaces_a_removed_one_is_cut_through_its_middle(
    open_dock: Any, small_series: TiltSeries
) -> None:
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    session.add_series(small_series)
    data, options, _ = volume_layer_data(Volume(np.ones((90, 24, 28), np.float32), 1.0))
    viewer.add_image(data, **options)
    viewer.dims.set_point(0, 80.0)
    viewer.layers.remove(viewer.layers[1])  # napari moves the slider to the last tilt
    viewer.add_image(data, **options)
    assert viewer.dims.point[0] == pytest.approx(44.5, abs=0.6)
