"""One line of the images against the tilt, and what a volume makes of it."""

from __future__ import annotations

from typing import Any

from superqt.utils import qdebounced

from napari_inr_tomo.ui.controls import ActionRow, form, group, number, tick, words
from napari_inr_tomo.ui.dock import Dock, Panel
from napari_inr_tomo.ui.jobs import toggle_tilt
from napari_inr_tomo.ui.latest import Latest
from napari_inr_tomo.ui.series_layer import place_words
from napari_inr_tomo.ui.session import NO_SERIES
from napari_inr_tomo.ui.sinogram_view import SinogramView
from napari_inr_tomo.ui.sinograms import Sinogram, sinogram
from napari_inr_tomo.ui.volume_picker import VolumePicker

LEAVE_OUT, TAKE_BACK = "Leave out this tilt", "Take this tilt back"
WITHOUT = "There is no volume to compare with."
OUTSIDE = "it lies outside of all images."
OTHER_SIZE = "The volume is of another size than the images."


class SinogramPanel(Panel):
    """Follow the specimen through the tilts, as measured and as computed."""

    title = "Sinogram"
    intro = (
        "Every point runs along a smooth curve. A kink is a tilt out of place, a dark "
        "or bright line a tilt of other brightness, a curve that ends is shadowed. "
        "Click a line to look at its tilt."
    )

    def build(self) -> None:
        """Make the controls."""
        box, layout = group("Line")
        self.place = number(
            0,
            -8192,
            8192,
            "Where the line crosses the tilt axis, pixels from the centre",
            " px",
            1.0,
            1,
        )
        self.follow = tick(
            "Follow the poses",
            "The line lies across the axis of every tilt and moves with its shift; "
            "else it is the same column of pixels in every image",
            True,
        )
        self.volume_box = VolumePicker(self.session, "The volume that is projected")
        fields = form()
        fields.addRow("Along axis", self.place)
        fields.addRow("Volume", self.volume_box)
        layout.addLayout(fields)
        layout.addWidget(self.follow)
        self.view = SinogramView()
        layout.addWidget(self.view)
        self.state = words()
        layout.addWidget(self.state)
        self.row = ActionRow()
        self.out_button = self.row.add(
            LEAVE_OUT,
            "Leave the dashed tilt out of everything that follows, or take it back; it "
            "stays in the stack",
            self.leave_out,
        )
        layout.addWidget(self.row)
        self.body.addWidget(box)
        self._work = Latest(self, self._computed, self._failed)
        self._later = qdebounced(self.compute, timeout=60, parent=self)
        self.place.valueChanged.connect(self._later)
        self.follow.toggled.connect(self._later)
        self.volume_box.currentIndexChanged.connect(self._later)
        self.view.clicked.connect(self._clicked)

    def connections(self) -> list[tuple[Any, Any]]:
        """Follow series, run and napari's slider."""
        session, viewer = self.session, self.session.viewer
        return [
            *super().connections(),
            (session.layers_changed, self.refresh),
            (session.layer_changed, self._later),
            (session.series_changed, self._later),
            (session.run.updated, self._updated),
            (viewer.dims.events.point, self._slider_moved),
            (viewer.events.theme, self._theme),
        ]

    def attach(self) -> None:
        """Connect, and show what there is."""
        super().attach()
        self._theme()
        self.compute()

    def release(self) -> None:
        """Let go."""
        super().release()
        self._work.forget()

    def compute(self) -> None:
        """Make the sinogram in a worker."""
        session, series = self.session, self.session.series
        if series is None or session.closed:
            self._work.forget()
            self.view.show_sinogram(None)
            return
        table = session.run.newest_poses()
        poses = series.start_poses if table is None else table.poses()
        shown = self.volume_box.shown()
        if shown is not None and shown.shape_zyx[1:] != series.images.shape[1:]:
            shown = None
        self._work.ask(
            sinogram,
            series.images,
            series.angles_deg,
            series.mask,
            poses,
            self.place.value(),
            self.follow.isChecked(),
            shown,
        )

    def _computed(self, result: Sinogram) -> None:
        series = self.session.series
        if series is None or len(result.tilts) != len(series):
            return
        nm = series.pixel_size_nm
        self.view.show_sinogram(result, nm)
        self.view.show_tilt(self.session.shown_tilt())
        place = place_words(self.place.value(), nm)
        if result.outside:
            said = OUTSIDE
        elif result.share is not None:
            said = f"residual {100 * result.share:.1f} % of the images (rms)."
        else:
            none = self.volume_box.volume() is None
            said = WITHOUT if none else OTHER_SIZE
        self.state.setText(f"Line at {place} along the axis; {said}")

    def _failed(self, error: Exception) -> None:
        self.state.setText(f"The sinogram could not be made: {error}")

    def _updated(self, update: Any) -> None:
        if update.preview is not None or update.result or update.poses is not None:
            self.volume_box.refresh()
            self._later()

    def _clicked(self, tilt: int) -> None:
        self.session.show_tilt(tilt)
        self.view.show_tilt(tilt)
        self.refresh()

    def _slider_moved(self, *_: Any) -> None:
        layer = self.session.layer
        if layer is not None and layer.visible:
            self.view.show_tilt(self.session.shown_tilt())
            self.refresh()

    def leave_out(self) -> None:
        """Leave the shown tilt out of the current series, or take it back."""
        toggle_tilt(self.session)

    def _theme(self, *_: Any) -> None:
        if self.session.viewer is not None:
            self.view.set_theme(self.session.viewer.theme)

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with series and layers."""
        session, series = self.session, self.session.series
        self.volume_box.refresh()
        none = NO_SERIES if series is None else session.why_not_step()
        out = series is not None and not series.mask[session.shown_tilt() or 0]
        self.out_button.setText(TAKE_BACK if out else LEAVE_OUT)
        self.row.bar(self.out_button, none)
        if series is None:
            self.view.show_sinogram(None)
            self.state.setText("")


class SinogramDock(Dock):
    """Dock: sinograms."""

    panels = (SinogramPanel,)
