"""The background dock, rightly and wrongly used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from step_helpers import done, errors, scale_bar

from napari_inr_tomo.preprocess import background_device, background_settings
from napari_inr_tomo.preprocess.masks import decode_mask
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import background_choices
from napari_inr_tomo.ui.docks.background import NOTHING_TRIED, BackgroundDock
from napari_inr_tomo.ui.steps import forget_poses


def test_the_choices_are_all_that_the_fit_knows() -> None:
    """The window does not import the fit to build itself, so it has its own words."""
    offered, known = background_choices, background_settings
    assert tuple(offered.KINDS.values()) == known.KINDS
    assert set(offered.SPECIMENS.values()) == {*known.SPECIMENS, "none"}
    assert tuple(offered.DEVICES.values()) == known.DEVICES


def test_background_preview_then_all_tilts(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    session.show_tilt(12)
    panel.preview_button.click()
    done(qtbot, session)
    assert panel.mask_picture.shown
    assert panel.rest_picture.shown
    assert "Tilt 12 (0.0 deg)" in panel.numbers.text()
    assert np.array_equal(session.series.images, small_series.images)
    assert panel.negative.text() == ""
    panel.choices.degree_y.setValue(2)
    panel.apply_button.click()
    done(qtbot, session)
    assert session.series.history[-1].name == "subtract_background"
    share = (session.series.images < 0).mean()
    assert f"{share:.1%} of the pixels" in panel.negative.text()
    panel.undo_button.click()
    assert panel.negative.text() == ""
    assert np.array_equal(session.series.images, small_series.images)


def test_a_fit_that_was_tried_goes_with_the_pixels_it_was_tried_on(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    pictures = (panel.mask_picture, panel.fit_picture, panel.rest_picture)
    first = session.add_series(small_series)

    def tried() -> None:
        panel.preview_button.click()
        done(qtbot, session)

    tried()
    session.apply(first, forget_poses(small_series), "Forgetting the poses")
    assert all(picture.shown for picture in pictures)  # the pixels are the same
    session.add_series(small_series.evolve(images=small_series.images + 1))
    assert not any(picture.shown for picture in pictures)
    assert panel.numbers.text() == NOTHING_TRIED
    tried()
    panel.apply_button.click()
    done(qtbot, session)
    assert not any(picture.shown for picture in pictures)
    assert panel.numbers.text() == NOTHING_TRIED
    panel.preview_button.click()
    session.layer = first  # before the fit has come
    done(qtbot, session)
    assert not any(picture.shown for picture in pictures)


def test_painted_mask_is_used(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    panel.paint_button.click()
    assert panel.mask_box.currentText() == "Specimen mask"
    mask = open_dock.viewer.layers["Specimen mask"]
    mask.data[5:9, 6:12] = 1
    panel.preview_button.click()
    done(qtbot, session)
    assert panel.mask_picture._overlay[5:9, 6:12].all()
    bar = scale_bar(28, session.series.pixel_size_nm)
    pictures = (panel.mask_picture, panel.fit_picture, panel.rest_picture)
    assert {picture.scale_words for picture in pictures} == {bar}
    open_dock.viewer.layers.remove(mask)
    assert panel.mask_box.currentText() == "nothing"


def test_a_mask_painted_in_one_tilt_follows(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    panel.follow_button.click()
    mask = open_dock.viewer.layers["Specimen mask"]
    assert mask.data.shape == small_series.images.shape
    mask.data[3, 5:9, 6:12] = 1
    panel.choices.specimen.setCurrentText("only what is painted")
    session.show_tilt(12)
    panel.preview_button.click()
    done(qtbot, session)
    assert panel.mask_picture._overlay[5:9, 6:12].all()
    assert panel.mask_picture._overlay.sum() == 24
    panel.apply_button.click()
    done(qtbot, session)
    parameters = session.series.history[-1].parameters
    assert (parameters["follow_mask"], parameters["automatic"]) == (True, False)
    assert decode_mask(parameters["mask"]).sum() == 24


def test_choices_of_the_background_and_a_box_that_is_none(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    choices = panel.choices
    choices.specimen.setCurrentText("above a level")
    assert choices.level.isEnabled()
    assert not choices.threshold.isEnabled()
    choices.kind.setCurrentText("mean of a box")
    assert not choices.degree_y.isEnabled()
    for text, words in (("0, 4, x", "four whole numbers"), ("0,99,0,4", "not in the")):
        choices.box.setText(text)
        panel.apply_button.click()
        done(qtbot, session)
        assert words in errors()[-1]
        assert session.series is small_series
    choices.box.setText("0, 4, 2, 9")
    panel.apply_button.click()
    done(qtbot, session)
    rest = session.series.images[:, 0:4, 2:9].mean(axis=(1, 2))
    assert rest == pytest.approx(np.zeros(len(rest)), abs=1e-4)


def test_cleaning_buttons_leave_their_steps_and_can_be_undone(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    assert not panel.prepare_button.isEnabled()
    session.add_series(small_series)
    before = len(small_series.history)
    for button in (panel.hot_button, panel.views_button, panel.level_button):
        button.click()
        done(qtbot, session)
    names = [step.name for step in session.series.history[before:]]
    assert names == ["mask_outliers", "check_views", "normalise_tilts"]
    for _ in names:
        panel.undo_button.click()
    assert session.series is small_series
    panel.prepare_button.click()
    done(qtbot, session)
    assert session.series.history[-1].name == "normalise_tilts"


def test_the_device_is_chosen_for_all_tilts(
    open_dock: Any,
    qtbot: Any,
    small_series: TiltSeries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background_device, "card_works", lambda: False)
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    assert panel.choices.device.currentText() == "auto"
    panel.choices.device.setCurrentText("cuda")
    panel.apply_button.click()
    done(qtbot, session)
    assert session.series.history[-1].parameters["device"] == "cpu"
    assert "no graphics card" in " ".join(session.series.notices)
    panel.choices.kind.setCurrentText("mean of a box")
    assert not panel.choices.device.isEnabled()


@pytest.mark.parametrize("blocked", [(), (4,)])
def test_views_that_were_checked_are_told_also_where_none_is_doubtful(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, blocked: tuple[int, ...]
) -> None:
    from napari.utils.notifications import notification_manager

    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    images = np.array(small_series.images)
    images[list(blocked)] *= 0.2
    session.add_series(small_series.evolve(images=images))
    panel.views_button.click()
    done(qtbot, session)
    said = [record.message for record in notification_manager.records]
    if blocked:
        assert ["tilt 4" in words for words in said] == [True]
    else:
        assert ["in no tilt" in words for words in said] == [True]


def test_the_scale_bar_of_a_small_picture_leaves_its_specimen_free(qtbot: Any) -> None:
    from napari_inr_tomo.ui.controls import SlicePicture

    picture = SlicePicture("", 96)
    qtbot.addWidget(picture)
    picture.resize(96, 120)

    def drawn(pixel: tuple[float, str] | None) -> np.ndarray:
        grey = np.full((64, 64), 0.5, np.float32)
        picture.show_image(grey, "", limits=(0, 1), pixel=pixel)
        image = picture.picture.pixmap().toImage()
        rows, columns = range(image.height()), range(image.width())
        return np.array([[image.pixel(x, y) for x in columns] for y in rows])

    bare = drawn(None)
    for pixel in ((1.0, "px"), (17.995, "nm"), (0.05, "nm")):
        covered = drawn(pixel) != bare
        assert covered.any()
        assert covered.mean() < 0.1
        assert not covered[: round(0.8 * len(covered))].any()


def test_a_painted_layer_stays_chosen_under_another_name(
    open_dock: Any, qtbot: Any, small_series: TiltSeries
) -> None:
    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    panel.paint_button.click()
    mask = open_dock.viewer.layers["Specimen mask"]
    mask.data[5:9, 6:12] = 1
    mask.name = "needle"
    assert panel.mask_box.currentText() == "needle"
    panel.preview_button.click()
    done(qtbot, session)
    assert panel.mask_picture._overlay[5:9, 6:12].all()


@pytest.mark.parametrize("count", [5, 40])
def test_a_mask_of_another_number_of_tilts_is_one_sentence(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, count: int
) -> None:
    from napari.utils.notifications import notification_manager

    panel, session = open_dock(BackgroundDock).panel, open_dock.session
    session.add_series(small_series)
    shape = (count, *small_series.images.shape[1:])
    mask = open_dock.viewer.add_labels(np.ones(shape, np.uint8), name="other")
    panel.mask_box.setCurrentIndex(panel.mask_box.findText(mask.name))
    session.show_tilt(7)
    panel.preview_button.click()
    done(qtbot, session)
    said = notification_manager.records[-1].message
    assert "The mask does not belong to these images" in said
    assert f"it holds {count} images" in said
