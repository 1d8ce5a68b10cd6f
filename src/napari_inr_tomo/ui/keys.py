"""The keys of the window: one table, from which they are bound and the docs written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_inr_tomo.ui.session import Session


@dataclass(frozen=True)
class Key:
    """A key (as Qt writes it), what it does in words, and the function that does it."""

    key: str
    words: str
    act: Callable[[Session], Any]


def _workflow(session: Session) -> Any:
    """Return the workflow dock, opened if it was not."""
    from napari_inr_tomo.ui.docks.workflow import WorkflowDock
    from napari_inr_tomo.ui.open_docks import show_dock

    return show_dock(session, WorkflowDock)


def _step(number: int, session: Session) -> None:
    _workflow(session).go(number)


def _turn(by: int, session: Session) -> None:
    dock = _workflow(session)
    dock.go(dock.step + by)


def _closer(title: str, session: Session) -> Any:
    from napari_inr_tomo.ui.docks.monitor import open_closer

    return open_closer(session, title).panel


def _undo(session: Session) -> None:
    if session.undo_label is not None and session.why_not_step() is None:
        session.undo()


def _leave_out(session: Session) -> None:
    from napari_inr_tomo.ui.jobs import toggle_tilt

    toggle_tilt(session)


def _switch(session: Session) -> None:
    """Show the volume where the tilts are shown, and the other way round."""
    layers = session.run.layers
    volume = layers.volume is not None and layers.volume.visible
    layers.show_only("stack" if volume else "volume")


def _flicker(session: Session) -> None:
    panel = _closer("Check tilts", session)
    panel.flicker_button.click()


KEYS = (
    Key("Alt+N", "The next step of the workflow", partial(_turn, 1)),
    Key("Alt+B", "The step before", partial(_turn, -1)),
    Key("Alt+1", "Step Tilt series", partial(_step, 0)),
    Key("Alt+2", "Step Background", partial(_step, 1)),
    Key("Alt+3", "Step Alignment", partial(_step, 2)),
    Key("Alt+4", "Step Reconstruction", partial(_step, 3)),
    Key("Alt+5", "Step Monitor", partial(_step, 4)),
    Key("Alt+6", "Step Export", partial(_step, 5)),
    Key("Alt+I", "Slices", partial(_closer, "Slices")),
    Key("Alt+K", "Check tilts", partial(_closer, "Check tilts")),
    Key("Alt+G", "Sinogram", partial(_closer, "Sinogram")),
    Key("Alt+O", "Compare", partial(_closer, "Compare")),
    Key("Alt+R", "Runs", partial(_closer, "Runs")),
    Key("Alt+J", "Switch between the volume and the tilts", _switch),
    Key("Alt+X", "Leave the shown tilt out, or take it back", _leave_out),
    Key("Alt+Y", "Flicker between measured and computed", _flicker),
    Key("Alt+Z", "Take back the last step on the tilt series", _undo),
)


class Keys:
    """The keys of one window, bound while a dock of the plugin is open in it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.shortcuts: list[Any] = []
        self._docks = 0

    def dock_came(self) -> None:
        """Count a dock that is open."""
        self._docks += 1

    def dock_went(self) -> None:
        """Let go of the keys with the last dock."""
        self._docks -= 1
        if self._docks <= 0:
            self.release()

    def bind(self, window: Any) -> None:
        """Bind all keys in a main window, once."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtWidgets import QMainWindow, QShortcut

        if self.shortcuts or not isinstance(window, QMainWindow):
            return
        for key in KEYS:
            shortcut = QShortcut(QKeySequence(key.key), window)
            shortcut.activated.connect(partial(self._pressed, key))
            self.shortcuts.append(shortcut)

    def _pressed(self, key: Key) -> None:
        if self.session.viewer is not None:
            key.act(self.session)

    def release(self) -> None:
        """Unbind all keys."""
        for shortcut in self.shortcuts:
            try:
                shortcut.setEnabled(False)
                shortcut.setParent(None)
                shortcut.deleteLater()
            except RuntimeError:  # gone with its window
                continue
        self.shortcuts = []
