"""What all docks have in common: scrolling body, current series, tidy end.

napari's dock never sends a closeEvent when its x is clicked: the widget only loses its
parent.  A dock connects when it gets a parent and disconnects when it loses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_inr_tomo.ui.controls import words
from napari_inr_tomo.ui.session import NO_SERIES, Session, session_of

if TYPE_CHECKING:
    import napari


FIT_MS = 100
LEAST_WIDTH = 330
BAR_MARGINS = 4
"""What the style of napari puts around a scroll bar, pixels."""


class Panel(QWidget):
    """The controls of one step; shown in a dock of its own or in the workflow.

    Subclasses build in ``build``, connect through ``listen``, and bring their controls
    into agreement with the session in ``refresh``.
    """

    title: ClassVar[str] = ""
    intro: ClassVar[str] = ""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._listening: list[tuple[Any, Any]] = []
        self.body = QVBoxLayout(self)
        self.body.setContentsMargins(2, 2, 6, 2)
        self.body.setSpacing(8)
        if self.intro:
            self.body.addWidget(words(self.intro, dim=True))
        self.build()
        self.body.addStretch(1)

    def build(self) -> None:
        """Make the controls."""

    def connections(self) -> list[tuple[Any, Any]]:
        """Return (psygnal or napari emitter, slot) pairs to hold while open."""
        session = self.session
        return [
            (session.layer_changed, self.refresh),
            (session.series_changed, self.refresh),
            (session.busy_changed, self.refresh),
        ]

    def refresh(self, *_: Any) -> None:
        """Bring the controls into agreement with the session."""

    def attach(self) -> None:
        """Connect to the session."""
        if not self._listening and self.session.viewer is not None:
            self._listening = self.connections()
            for emitter, slot in self._listening:
                emitter.connect(slot)
            self.refresh()

    def release(self) -> None:
        """Disconnect from the session; leave nothing behind."""
        for emitter, slot in self._listening:
            try:
                emitter.disconnect(slot)
            except (ValueError, KeyError):  # already gone with its owner
                continue
        self._listening = []


class SeriesPicker(QWidget):
    """Which tilt series the docks work on."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.box = QComboBox()
        self.box.setToolTip("The tilt series that all steps work on")
        self.box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.box.currentIndexChanged.connect(self._chosen)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(2, 0, 6, 0)
        layout.addWidget(QLabel("Tilt series"))
        layout.addWidget(self.box)
        self._layers: list[Any] = []

    def refresh(self, *_: Any) -> None:
        """List the tilt series that are open."""
        self._layers = self.session.series_layers()
        self.box.blockSignals(True)
        self.box.clear()
        self.box.addItems([layer.name for layer in self._layers])
        if not self._layers:
            self.box.addItem("none open")
        for index, layer in enumerate(self._layers):
            if layer is self.session.layer:
                self.box.setCurrentIndex(index)
        self.box.setEnabled(bool(self._layers))
        self.box.setToolTip(
            "The tilt series that all steps work on" if self._layers else NO_SERIES
        )
        self.box.blockSignals(False)

    def _chosen(self, index: int) -> None:
        if 0 <= index < len(self._layers):
            self.session.layer = self._layers[index]


class Dock(QWidget):
    """A dock widget around panels; the subclass says which."""

    panels: ClassVar[tuple[type[Panel], ...]] = ()

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.session = session_of(napari_viewer)
        self._attached = False
        self._made: dict[type[Panel], Panel] = {}
        self.picker = SeriesPicker(self.session)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 2, 6)
        layout.addWidget(self.picker)
        layout.addWidget(self.make_body())
        # expanding: napari then adds no stretch of its own under the body
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def minimumSizeHint(self) -> QSize:
        """Return what the controls need, and no less than can be read."""
        return super().minimumSizeHint().expandedTo(QSize(LEAST_WIDTH, 0))

    def make_body(self) -> QWidget:
        """Return the widget under the picker."""
        return scrolled(self.panel)

    @property
    def panel(self) -> Any:
        """The first panel."""
        return self.part(self.panels[0])

    @property
    def parts(self) -> list[Panel]:
        """All panels."""
        return [self.part(kind) for kind in self.panels]

    def part(self, kind: type[Panel]) -> Any:
        """Return the panel of a kind; it is made when first asked for."""
        if kind not in self._made:
            self._made[kind] = kind(self.session)
            if self._attached:
                self._made[kind].attach()
        return self._made[kind]

    def event(self, event: QEvent) -> bool:
        """Connect with a parent, let go without one."""
        if event.type() == QEvent.Type.ParentChange:
            self.attach() if self.parent() is not None else self.release()
        return super().event(event)

    def showEvent(self, event: Any) -> None:
        """Follow the run (again) while the window is open."""
        super().showEvent(event)
        self.attach()
        if self._attached:
            self.session.keys.bind(self.window())
        self.session.run.follow_again()
        QTimer.singleShot(0, self.session.fit_view)  # the canvas has become smaller

    def hideEvent(self, event: Any) -> None:
        """Stop following when the whole window has gone; the run goes on."""
        super().hideEvent(event)
        if not self.window().isVisible():
            self.session.run.detach()

    def attach(self) -> None:
        """Connect to the session."""
        if self._attached or self.session.viewer is None:
            return
        self._attached = True
        self.session.keys.dock_came()
        self.session.layer_changed.connect(self.picker.refresh)
        self.session.layers_changed.connect(self.picker.refresh)
        self.session.layers_changed.connect(self._fit_later)
        self.picker.refresh()
        for part in self._made.values():
            part.attach()

    def release(self) -> None:
        """Disconnect from the session."""
        if not self._attached:
            return
        self._attached = False
        self.session.keys.dock_went()
        for signal in (self.session.layer_changed, self.session.layers_changed):
            try:
                signal.disconnect(self.picker.refresh)
            except (ValueError, KeyError):
                continue
        self.session.layers_changed.disconnect(self._fit_later, missing_ok=True)
        for part in self._made.values():
            part.release()

    def _fit_later(self) -> None:
        """Fit the view once the canvas has its new size: controls and sliders came."""
        QTimer.singleShot(FIT_MS, self.session.fit_view)


class ScrolledPanel(QScrollArea):
    """A panel that scrolls up and down; it is never narrower than its controls."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        """Return the least width of the controls with the bar beside them."""
        least, panel = super().minimumSizeHint(), self.widget()
        if panel is not None:
            bar = self.verticalScrollBar().sizeHint().width() + BAR_MARGINS
            least.setWidth(panel.minimumSizeHint().width() + bar)
        return least

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """Take notice of controls that came or went."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return super().eventFilter(watched, event)


def scrolled(widget: QWidget | None = None) -> ScrolledPanel:
    """Return a widget in a scroll area: docks must fit small screens."""
    area = ScrolledPanel()
    if widget is not None:
        area.setWidget(widget)
    return area
