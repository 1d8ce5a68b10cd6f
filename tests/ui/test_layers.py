"""Tilt series and volumes as layers, files dropped onto napari, samples, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from step_helpers import done

from napari_inr_tomo import io
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.mapped import MappedImages
from napari_inr_tomo.types import Poses, TiltSeries, Volume
from napari_inr_tomo.ui import readers, samples, steps, writers
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.docks.workflow import WorkflowDock
from napari_inr_tomo.ui.jobs import start_step
from napari_inr_tomo.ui.series_layer import (
    KEY,
    contrast,
    series_layer_data,
    series_of,
    set_series,
    volume_layer_data,
    volume_of,
)
from napari_inr_tomo.ui.session import REPLACED


def layer_of(data: Any) -> Any:
    from napari.layers import Layer

    return Layer.create(*data)


def test_series_becomes_a_layer_with_everything_known(small_series: TiltSeries) -> None:
    series = small_series.evolve(pixel_size_nm=0.7)
    layer = layer_of(series_layer_data(series))
    assert layer.axis_labels == ("tilt", "y", "x")
    assert layer.scale == pytest.approx([0.7] * 3)
    assert {str(unit) for unit in layer.units} == {"nanometer"}
    assert series_of(layer) is series


def test_unknown_pixel_size_is_not_invented(small_series: TiltSeries) -> None:
    series = small_series.evolve(pixel_size_nm=None)
    layer = layer_of(series_layer_data(series))
    assert {str(unit) for unit in layer.units} == {"pixel"}
    volume = volume_of(layer_of(volume_layer_data(Volume(np.ones((3, 4, 5))))))
    assert volume.voxel_nm is None


def test_pixels_changed_elsewhere_are_taken_over(small_series: TiltSeries) -> None:
    layer = layer_of(series_layer_data(small_series))
    layer.data = small_series.images * 2
    taken = series_of(layer)
    assert np.array_equal(taken.images, small_series.images * 2)
    assert taken.history[-1].name == "edited_in_napari"
    assert np.array_equal(taken.angles_deg, small_series.angles_deg)
    assert series_of(layer) is taken


def test_another_state_replaces_data_and_scale(small_series: TiltSeries) -> None:
    layer = layer_of(series_layer_data(small_series))
    smaller = TiltSeries(
        small_series.images[:, ::2, ::2] + 100,
        small_series.angles_deg,
        pixel_size_nm=2.0,
    )
    set_series(layer, smaller)
    assert series_of(layer) is smaller
    assert layer.data.shape == smaller.images.shape
    assert layer.scale == pytest.approx([2, 2, 2])
    assert layer.contrast_limits[0] >= 99


def test_contrast_leaves_out_hot_pixels() -> None:
    image = np.random.default_rng(0).random((50, 60))
    image[3, 4] = 1e6
    low, high = contrast(image)
    assert 0 <= low < high < 2
    assert contrast(np.zeros((4, 4))) == (0.0, 1.0)
    assert contrast(np.full((3, 3), np.nan)) == (0.0, 1.0)


def test_any_grey_3d_image_counts_as_a_volume_but_no_tilt_series(
    small_series: TiltSeries,
) -> None:
    from napari.layers import Image, Points

    plain = Image(np.ones((3, 4, 5)), scale=(2, 2, 2), units=("nm",) * 3)
    assert volume_of(plain).voxel_nm == 2
    assert volume_of(layer_of(series_layer_data(small_series))) is None
    assert volume_of(Image(np.ones((4, 5)))) is None
    assert volume_of(Points(np.ones((1, 3)))) is None


# files -------------------------------------------------------------------------


@pytest.fixture
def stack_file(tmp_path: Path, small_series: TiltSeries) -> Path:
    io.write_series(tmp_path / "stack.mrc", small_series)
    return tmp_path / "stack.mrc"


def test_stack_with_angles_opens_as_a_series(
    stack_file: Path, small_series: TiltSeries
) -> None:
    (data, options, kind), *more = readers.get_reader(str(stack_file))(str(stack_file))
    assert (kind, more) == ("image", [])
    series = options["metadata"][KEY]
    assert series.angles_deg == pytest.approx(small_series.angles_deg)
    assert series.pixel_size_nm == pytest.approx(small_series.pixel_size_nm)
    assert data.shape == small_series.images.shape


def test_stack_without_angles_opens_as_an_image_and_says_how(tmp_path: Path) -> None:
    import tifffile
    from napari.utils.notifications import notification_manager

    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.ones((5, 6, 7), np.uint16), photometric="minisblack")
    ((data, options, _),) = readers.get_reader(str(path))(str(path))
    assert data.shape == (5, 6, 7)
    assert isinstance(options["metadata"][KEY], Volume)
    assert "No tilt angles" in notification_manager.records[-1].message


def test_plain_pictures_are_left_to_napari(tmp_path: Path) -> None:
    import tifffile
    from PIL import Image

    flat, colour = tmp_path / "flat.tif", tmp_path / "colour.tif"
    tifffile.imwrite(flat, np.ones((6, 7), np.uint8))
    tifffile.imwrite(colour, np.ones((6, 7, 3), np.uint8), photometric="rgb")
    np.save(tmp_path / "flat.npy", np.ones((4, 5)))
    folder = tmp_path / "holiday"
    folder.mkdir()
    for index in range(3):
        Image.new("L", (6, 5)).save(folder / f"beach {index + 1}.png")
    for path in (flat, colour, tmp_path / "flat.npy", folder, tmp_path / "x.png"):
        assert readers.get_reader(str(path)) is None
    assert readers.get_reader([str(flat), str(colour)]) is None


def test_folder_of_images_named_by_angle_opens_as_a_series(tmp_path: Path) -> None:
    import tifffile

    folder = tmp_path / "tilts"
    folder.mkdir()
    for angle in (-20, 0, 20):
        tifffile.imwrite(
            folder / f"needle_{angle}deg.tif", np.full((5, 6), angle + 90, np.uint8)
        )
    ((_, options, _),) = readers.get_reader(str(folder))(str(folder))
    assert options["metadata"][KEY].angles_deg.tolist() == [-20, 0, 20]


def test_a_damaged_file_is_one_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "broken.mrc"
    path.write_bytes(b"not an MRC file")
    with pytest.raises(UserError):
        readers.get_reader(str(path))(str(path))


@pytest.mark.parametrize("suffix", [".mrc", ".tif", ".ome.zarr", ".npy"])
def test_volume_saved_from_napari_comes_back(tmp_path: Path, suffix: str) -> None:
    volume = Volume(np.random.default_rng(1).random((5, 6, 7)), 0.8, "thing")
    data, options, _ = volume_layer_data(volume)
    path = tmp_path / f"thing{suffix}"
    assert writers.write_image(str(path), data, options) == [str(path)]
    ((back, options, _),) = readers.get_reader(str(path))(str(path))
    assert np.allclose(back, volume.data)
    assert options["scale"] == pytest.approx((0.8,) * 3)


def test_series_saved_from_napari_keeps_its_angles(
    tmp_path: Path, small_series: TiltSeries
) -> None:
    moved = small_series.evolve(poses=Poses.from_axis(len(small_series), 3.0))
    data, options, _ = series_layer_data(moved)
    written = writers.write_image(str(tmp_path / "out.tif"), data, options)
    assert {Path(p).suffix for p in written} == {".tif", ".tlt", ".xf", ".json"}
    back = io.read_series(tmp_path / "out.tif")
    assert back.angles_deg == pytest.approx(small_series.angles_deg)


def test_the_file_a_series_was_read_from_is_not_saved_over(
    tmp_path: Path, small_series: TiltSeries
) -> None:
    path = tmp_path / "raw.mrc"
    io.write_series(path, small_series)
    before = path.read_bytes()
    ((data, options, _),) = readers.get_reader(str(path))(str(path))
    with pytest.raises(UserError, match="read as well"):
        writers.write_image(str(path), data, options)
    assert path.read_bytes() == before
    assert writers.write_image(str(tmp_path / "copy.mrc"), data, options)


def test_foreign_image_is_saved_with_its_own_scale(tmp_path: Path) -> None:
    attributes = {"name": "x", "scale": (3.0, 3.0, 3.0), "units": ("nm",) * 3}
    writers.write_image(str(tmp_path / "x.mrc"), np.ones((3, 4, 5)), attributes)
    assert io.read_volume(tmp_path / "x.mrc").voxel_nm == pytest.approx(3.0)


def test_samples_are_tilt_series() -> None:
    from napari_inr_tomo.simulate.samples import SAMPLES

    for name in SAMPLES:
        made = getattr(samples, name.replace("-", "_"))
        assert callable(made)
    ((_, options, _),) = samples.chiral()
    assert isinstance(options["metadata"][KEY], TiltSeries)


# through napari ------------------------------------------------------------------


def test_manifest_offers_everything(plugin: Any) -> None:
    manifest = plugin.get_manifest("napari-inr-tomo")
    offered = manifest.contributions
    steps = [w.command.split(".")[1] for w in offered.widgets]
    assert len(steps) == len({w.display_name for w in offered.widgets}) == 16
    in_workflow = [panel.__module__.split(".")[-1] for panel in WorkflowDock.panels]
    assert [step for step in steps if step in in_workflow] == in_workflow
    assert steps[0] == "workflow"
    assert steps[1:9] == [
        *("tilt_series", "angles", "scan_drift", "background", "alignment", "shifts"),
        *("reconstruction", "monitor"),
    ]
    assert len(offered.sample_data) == 7
    for command in offered.commands:
        assert callable(plugin.commands.get(command.id))


def test_dropped_file_and_sample_open_in_the_viewer(
    make_napari_viewer: Any, plugin: Any, stack_file: Path
) -> None:
    viewer = make_napari_viewer()
    viewer.open(stack_file, plugin="napari-inr-tomo")
    viewer.open_sample("napari-inr-tomo", "sea-mine")
    assert [layer.axis_labels[0] for layer in viewer.layers] == ["tilt", "tilt"]
    assert viewer.layers.extent.units is not None  # consistent over all layers


def test_volume_is_saved_through_napari(
    make_napari_viewer: Any, plugin: Any, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.ones((4, 5, 6), np.float32), name="volume")
    viewer.layers.save(str(tmp_path / "out.mrc"), plugin="napari-inr-tomo")
    assert io.read_volume(tmp_path / "out.mrc").data.shape == (4, 5, 6)


def test_replaced_images_of_another_shape_bar_every_step_until_opened_anew(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    layer = session.add_series(small_series)
    layer.data = np.ones((25, 12, 14), np.float32)
    assert session.why_not_step() == REPLACED
    assert REPLACED in panel.summary_row.reason_text
    open_dock.viewer.layers.selection.active = layer
    panel.angles.setText("-60:60:5")
    panel.convert_button.click()
    done(qtbot, session)
    assert session.layer is not layer
    assert session.series.images.shape == (25, 12, 14)
    assert session.why_not_step() is None


def test_pixels_that_are_no_numbers_do_not_count(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    """Of a layer, and of a series changed by another program."""
    panel, session = open_dock(TiltSeriesDock).panel, open_dock.session
    images = np.array(small_series.images)
    images[3, 5, 5], images[7] = np.nan, np.inf
    open_dock.viewer.add_image(images)
    panel.angles.setText("-60:60:5")
    panel.convert_button.click()
    done(qtbot, session)
    layer = session.add_series(small_series)
    layer.data = images
    start_step(session, "Aligning", steps.cross_correlation, {})
    done(qtbot, session)
    for series in map(series_of, session.series_layers()):
        assert np.isfinite(series.images).all()
        assert np.isfinite(series.start_poses.as_array()).all()
        assert np.flatnonzero(~series.mask).tolist() == [7]
        assert not series.valid[3, 5, 5]
        assert any("without a number" in notice for notice in series.notices)


def test_a_run_shown_without_its_series_is_shown_whole(
    open_dock: Any, qtbot: Any
) -> None:
    open_dock(TiltSeriesDock)
    viewer = open_dock.viewer
    volume = Volume(np.ones((24, 24, 28), np.float32), 2.0)
    data, options, _ = volume_layer_data(volume)
    viewer.add_image(data, **options)
    qtbot.wait(300)
    zoom = viewer.scene.camera.zoom
    viewer.reset_view()
    assert viewer.scene.camera.zoom == zoom


def test_a_new_stack_is_shown_whole_and_a_chosen_view_is_kept(
    open_dock: Any, small_series: TiltSeries
) -> None:
    session, viewer = open_dock.session, open_dock.viewer
    session.add_series(small_series)
    whole = viewer.scene.camera.zoom
    viewer.scene.camera.zoom = 5 * whole
    session.fit_view()
    assert viewer.scene.camera.zoom == 5 * whole
    session.add_series(small_series)
    assert viewer.scene.camera.zoom == whole


@pytest.mark.scenario(26)
@pytest.mark.viewer
def test_a_stack_on_the_disk_is_shown_image_by_image(
    make_napari_viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever napari asks of it, it is never read whole."""
    stored = np.arange(9 * 20 * 30, dtype=np.int16).reshape(9, 20, 30)
    stored.tofile(tmp_path / "stored")
    mapped = np.memmap(tmp_path / "stored", np.int16, "r", shape=stored.shape)
    series = TiltSeries(MappedImages(mapped), np.linspace(-60, 60, 9))

    def whole(*_: Any, **__: Any) -> None:
        raise AssertionError("read whole")

    monkeypatch.setattr(MappedImages, "__array__", whole)
    viewer = make_napari_viewer()
    data, options, kind = series_layer_data(series)
    layer = getattr(viewer, f"add_{kind}")(data, **options)
    assert layer.data is series.images
    for tilt in (0, 8):
        viewer.dims.set_point(0, tilt)
        layer.refresh()
        assert np.array_equal(np.asarray(layer._slice.image.raw), stored[tilt])
    assert series_of(layer) is series
    assert layer.get_value((3, 4, 5)) is not None
