"""Removing the smooth background, with a preview on the shown tilt."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QComboBox, QHBoxLayout

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui import steps
from napari_inr_tomo.ui.background_choices import BackgroundChoices
from napari_inr_tomo.ui.controls import (
    ActionRow,
    SlicePicture,
    form,
    group,
    tick,
    words,
)
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import start_job, start_step
from napari_inr_tomo.ui.series_layer import contrast, picture_pixel, space
from napari_inr_tomo.ui.undoing import bar_undo, undo_button

UNPAINTED = "nothing"
MASK_NAME = "Specimen mask"
NOTHING_TRIED = "Nothing tried yet: 'Try on this tilt' shows the fit here."


class BackgroundPanel(Panel):
    """Fit a smooth polynomial outside the specimen and subtract it."""

    title = "Background"
    intro = (
        "A smooth surface is fitted to each image outside the specimen and subtracted. "
        "Try it on the shown tilt before applying it to all."
    )

    def build(self) -> None:
        """Make the controls."""
        self._tried: np.ndarray | None = None
        """The images whose fit is shown."""
        self._build_beam()
        box, layout = group("Fit")
        self.choices = BackgroundChoices()
        layout.addWidget(self.choices)
        self.mask_box = QComboBox()
        self.mask_box.setToolTip(
            "What else not to fit: what is painted in a Labels layer. Where it has one "
            "image per tilt, tilts without paint take theirs from the painted ones"
        )
        fields = form()
        fields.addRow("Painted", self.mask_box)
        layout.addLayout(fields)
        self.row = ActionRow()
        self.preview_button = self.row.add(
            "Try on this tilt",
            "Fit the shown tilt and show mask, fit and what is left",
            self.preview,
        )
        self.paint_button = self.row.add(
            "Paint mask",
            "Add a Labels layer: what is painted over (the specimen) is not fitted, in "
            "all tilts",
            self.paint_mask,
        )
        self.follow_button = self.row.add(
            "Paint per tilt",
            "Add a Labels layer with one image per tilt: paint in a few of them, the "
            "mask follows in those between",
            lambda: self.paint_mask(per_tilt=True),
        )
        layout.addWidget(self.row)
        self.body.addWidget(box)
        self._build_preview()

    def _build_beam(self) -> None:
        box, layout = group("Detector and beam")
        self.thickness = tick(
            "slab", "For Normalise: a slab that fills the field, thicker with the tilt"
        )
        self.beam_row = ActionRow(most=2)
        self.prepare_button = self.beam_row.add(
            "Clean automatically",
            "Hot pixels, doubtful views, background and brightness of the tilts, one "
            "after the other",
            lambda: start_step(self.session, "Cleaning", steps.prepare),
        )
        self.hot_button = self.beam_row.add(
            "Hot pixels",
            "Find hot and dead pixels; they do not count from then on",
            lambda: start_step(self.session, "Finding hot pixels", steps.mask_outliers),
        )
        self.views_button = self.beam_row.add(
            "Check views",
            "Name the tilts where something blocks the beam or the intensity jumps",
            self.check_views,
        )
        self.level_button = self.beam_row.add(
            "Normalise",
            "Scale all tilts to one total intensity; subtract the background first",
            lambda: start_step(
                self.session,
                "Normalising",
                steps.normalise,
                self.thickness.isChecked(),
            ),
        )
        self.beam_row.add_widget(self.thickness)
        layout.addWidget(self.beam_row)
        self.body.addWidget(box)

    def check_views(self) -> None:
        """Name the doubtful views; say so where there are none."""
        from napari.utils.notifications import show_info

        def say(checked: Any) -> None:
            found = checked.history[-1].parameters
            if not (found["blocked_tilts"] or found["jump_tilts"]):
                show_info("Check views: in no tilt is the beam blocked, none jumps.")

        start_step(self.session, "Checking views", steps.check_views, after=say)

    def _build_preview(self) -> None:
        box, layout = group("This tilt")
        pictures = QHBoxLayout()
        self.mask_picture = SlicePicture("The image; orange: specimen, not fitted", 96)
        self.fit_picture = SlicePicture("The fitted background", 96)
        self.rest_picture = SlicePicture("Image minus background", 96)
        for picture in (self.mask_picture, self.fit_picture, self.rest_picture):
            pictures.addWidget(picture, 1)
        layout.addLayout(pictures)
        self.numbers = words()
        layout.addWidget(self.numbers)
        self.negative = words(dim=True)
        layout.addWidget(self.negative)
        self.apply_row = ActionRow()
        self.apply_button = self.apply_row.add(
            "Subtract from all tilts",
            "Fit and subtract the background of every tilt",
            self.apply,
        )
        layout.addWidget(self.apply_row)
        self.undo_row = ActionRow()
        self.undo_button = undo_button(self.undo_row, self.session)
        layout.addWidget(self.undo_row)
        self.body.addWidget(box)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow the Labels layers as well."""
        return [*super().connections(), (self.session.layers_changed, self.refresh)]

    def preview(self) -> None:
        """Fit the shown tilt in a worker."""
        series, tilt = self.session.series, self.session.shown_tilt()
        if series is None or tilt is None:
            return
        self.session.show_tilts()
        image = np.array(series.images[tilt])
        settings = self._settings()
        if settings is None:
            return

        def done(fit: Any) -> None:
            now = self.session.series
            if now is not None and now.images is series.images:
                self._tried = series.images
                self._show(image, fit, tilt, float(series.angles_deg[tilt]))

        start_job(
            self.session,
            "Fitting the background",
            steps.fit_background,
            series,
            tilt,
            self.choices.degrees,
            self._mask(),
            settings,
            done=done,
            owner=self,
        )

    def apply(self) -> None:
        """Subtract the background of all tilts in a worker."""
        settings = self._settings()
        if settings is None:
            return
        start_step(
            self.session,
            "Subtracting the background",
            steps.subtract_background,
            self.choices.degrees,
            self._mask(),
            settings | self.choices.series_settings,
        )

    def _settings(self) -> dict[str, Any] | None:
        """Return the settings of the fit, or None where they are wrong, and say so."""
        try:
            return self.choices.settings
        except UserError as error:
            from napari.utils.notifications import show_error

            show_error(str(error))
            return None

    def paint_mask(self, per_tilt: bool = False) -> None:
        """Add an empty Labels layer over the stack, to paint on."""
        series, viewer = self.session.series, self.session.viewer
        if series is None:
            return
        self.session.show_tilts()
        axes = ("tilt", "y", "x") if per_tilt else ("y", "x")
        labels = viewer.add_labels(
            np.zeros(series.images.shape[-len(axes) :], np.uint8),
            name=MASK_NAME,
            opacity=0.5,
            **space(series.pixel_size_nm, axes),
        )
        labels.mode = "paint"
        labels.brush_size = max(3, max(series.images.shape[1:]) // 20)
        index = self.mask_box.findText(labels.name)
        self.mask_box.setCurrentIndex(max(index, 0))

    def _mask(self) -> np.ndarray | None:
        """Return the painted mask, (y, x) or (tilt, y, x), or None."""
        layer = self.mask_box.currentData()
        if layer is None or layer not in self.session.viewer.layers:
            return None
        return np.asarray(layer.data) != 0

    def _show(self, image: np.ndarray, fit: Any, tilt: int, angle: float) -> None:
        limits, series = contrast(image), self.session.series
        pixel = picture_pixel(None if series is None else series.pixel_size_nm)
        self.mask_picture.show_image(image, "mask", limits, fit.mask, pixel)
        self.fit_picture.show_image(fit.background, "fit", pixel=pixel)
        outside = fit.residual[~fit.mask]
        spread = float(np.std(outside)) if outside.size else 0.0
        self.rest_picture.show_image(fit.residual, "left over", pixel=pixel)
        notice = f"\n{fit.notice}" if getattr(fit, "notice", "") else ""
        self.numbers.setText(
            f"Tilt {tilt} ({angle:.1f} deg): background {fit.background.min():.3g} to "
            f"{fit.background.max():.3g}; left outside the specimen: spread "
            f"{spread:.3g}; specimen {100 * fit.mask.mean():.0f} % of the image"
            f"{notice}"
        )

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the session."""
        viewer, chosen = self.session.viewer, self.mask_box.currentData()
        layers = [] if viewer is None else viewer.layers
        painted = [x for x in layers if type(x).__name__ == "Labels"]
        self.mask_box.blockSignals(True)
        self.mask_box.clear()
        self.mask_box.addItem(UNPAINTED)
        for number, layer in enumerate(painted, 1):
            self.mask_box.addItem(layer.name, layer)
            if layer is chosen:
                self.mask_box.setCurrentIndex(number)
        self.mask_box.blockSignals(False)
        why = self.session.why_not_step()
        for button in (self.preview_button, self.paint_button, self.follow_button):
            self.row.bar(button, why)
        for button in (
            self.prepare_button,
            self.hot_button,
            self.views_button,
            self.level_button,
        ):
            self.beam_row.bar(button, why)
        self.apply_row.bar(self.apply_button, why)
        bar_undo(self.undo_row, self.session, self.undo_button)
        self.negative.setText(steps.negative_in_words(self.session.series))
        self._forget_old()
        if not self.mask_picture.shown:
            self.numbers.setText("" if why else NOTHING_TRIED)

    def _forget_old(self) -> None:
        """Take a fit away that was tried on pixels that are no longer there."""
        series = self.session.series
        if self._tried is not None and (
            series is None or series.images is not self._tried
        ):
            self._tried = None
            self.numbers.setText("")
            for picture in (self.mask_picture, self.fit_picture, self.rest_picture):
                picture.clear()


class BackgroundDock(Dock):
    """Dock: remove the background."""

    panels = (BackgroundPanel,)
