"""What napari's canvas shows: its slider and its scale bar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from step_helpers import done

from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.jobs import toggle_tilt
from napari_inr_tomo.ui.record import RunRecord
from napari_inr_tomo.ui.series_layer import series_layer_data, volume_layer_data
from napari_inr_tomo.ui.turns import idle


def add_volume(viewer: Any, planes: int, voxel_nm: float | None, **more: Any) -> Any:
    volume = Volume(np.zeros((planes, 24, 28), np.float32), voxel_nm)
    data, options, _ = volume_layer_data(volume)
    return viewer.add_image(data, **options, **more)


def steps(viewer: Any) -> list[float]:
    """Return where napari's slider can stand: what Qt shows, too."""
    slider = viewer.window._qt_viewer.dims.slider_widgets[0].slider
    assert slider.maximum() == viewer.dims.nsteps[0] - 1
    start, _, step = viewer.dims.range[0]
    return [start + step * k for k in range(viewer.dims.nsteps[0])]


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


def test_a_new_series_is_seen_alone(open_dock: Any, small_series: TiltSeries) -> None:
    """Selected before the others are hidden; the user's own layers stay."""
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    first = session.add_series(small_series)
    volume = add_volume(viewer, 24, small_series.pixel_size_nm)
    own = viewer.add_points(np.zeros((1, 2)))
    selected = []
    for layer in (first, volume):
        layer.events.visible.connect(
            lambda _: selected.append(viewer.layers.selection.active)
        )
    data, options, _ = series_layer_data(small_series.evolve(name="dropped"))
    second = viewer.add_image(data, **options)  # as when a file is dropped
    assert [layer.visible for layer in (first, volume, own, second)] == [
        *(False, False, True, True)
    ]
    assert selected == [second, second]
    assert session.layer is second
    viewer.layers.remove(second)
    assert session.layer is first
    assert first.visible  # rather than nothing
    volume.visible = True
    again = session.add_series(small_series)
    assert viewer.layers.selection == {again}
    assert not volume.visible


@pytest.mark.parametrize("pixel_nm", [0.7, None])
def test_the_slider_has_one_position_for_every_tilt_of_a_binned_series(
    open_dock: Any, small_series: TiltSeries, pixel_nm: float | None
) -> None:
    """A volume with the pixels of before is still there, hidden."""
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    series = small_series.evolve(pixel_size_nm=pixel_nm)
    layer = session.add_series(series)
    volume = add_volume(viewer, 90, pixel_nm, visible=False)
    step = pixel_nm or 1.0
    assert steps(viewer) == pytest.approx([step * k for k in range(25)])
    session.show_tilt(20)
    session.apply(layer, bin_images(series, 2), "Binning")
    step *= 2 if pixel_nm else 1
    assert steps(viewer) == pytest.approx([step * k for k in range(25)])
    assert session.shown_tilt() == 20  # and not the tenth
    session.undo()
    assert session.shown_tilt() == 20
    session.apply(layer, bin_images(series, 2), "Binning")
    volume.visible = True
    assert steps(viewer) == pytest.approx([(pixel_nm or 1.0) * k for k in range(90)])
    viewer.dims.set_point(0, 80 * (pixel_nm or 1.0))
    session.undo()
    volume.visible = False
    assert session.shown_tilt() == 20
    volume.visible = True
    assert viewer.dims.point[0] == pytest.approx(80 * (pixel_nm or 1.0))


def test_series_with_other_pixels_or_none_known_step_by_their_own_tilts(
    open_dock: Any, small_series: TiltSeries
) -> None:
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    layers = [
        session.add_series(small_series.evolve(pixel_size_nm=size))
        for size in (0.5, 2.0, None)
    ]
    for layer, step in zip(layers, (0.5, 2.0, 1.0), strict=True):
        session.show_alone(layer)
        assert steps(viewer) == pytest.approx([step * k for k in range(25)])


def test_other_layers_of_the_user_have_the_whole_slider(
    open_dock: Any, small_series: TiltSeries
) -> None:
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    session.add_series(small_series.evolve(pixel_size_nm=None))
    own = viewer.add_image(np.zeros((70, 5, 6)))
    assert len(steps(viewer)) == 70
    own.visible = False
    assert len(steps(viewer)) == 25
    own.visible = True
    session.layer.visible = False
    viewer.dims.set_point(0, 69)
    assert len(steps(viewer)) == 70
    assert viewer.dims.point[0] == 69


@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
@pytest.mark.parametrize("voxel_nm", [0.5, None])
def test_the_slice_looked_at_stays_where_the_live_volume_gets_finer_or_coarser(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, voxel_nm: float | None
) -> None:
    """A resumed run begins with coarse volumes in the layer of the finished one."""
    session, viewer = open_dock(TiltSeriesDock).session, open_dock.viewer
    session.add_series(small_series.evolve(pixel_size_nm=voxel_nm))
    layers, record = session.run.layers, RunRecord()
    record.shape_zyx, record.voxel_nm = (96, 96, 96), voxel_nm
    size, random = voxel_nm or 1.0, np.random.default_rng(0)
    layers.show_preview(random.random((32, 32, 32), np.float32), record)
    qtbot.waitUntil(idle, timeout=5000)
    viewer.dims.set_point(0, layers.volume.translate[0] + 20 * layers.volume.scale[0])
    for count in (48, 96, 32, 96, 48):
        before = viewer.dims.point[0]
        layers.show_preview(random.random((count,) * 3, np.float32), record)
        qtbot.waitUntil(idle, timeout=5000)
        qtbot.wait(100)  # Qt's slider answers in turns of its own
        assert len(steps(viewer)) == count
        half = 96 / count * size / 2
        assert viewer.dims.point[0] == pytest.approx(before, abs=half + 1e-3)
    assert viewer.dims.point[0] == pytest.approx(61 * size, abs=3 * size)
