"""The button that takes back the last step, for the docks that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_inr_tomo.ui.controls import ActionRow

if TYPE_CHECKING:
    from napari_inr_tomo.ui.session import Session


def undo_button(row: ActionRow, session: Session) -> QPushButton:
    """Add "Undo" for the current tilt series to a row."""
    return row.add("Undo", "Take back the last step on this tilt series", session.undo)


def bar_undo(row: ActionRow, session: Session, button: QPushButton) -> None:
    """Name the step an `undo_button` takes back, or grey it out with the reason.

    The last step may have been taken in another dock.
    """
    label = session.undo_label
    why = session.why_not_step() or (None if label else "Nothing to take back")
    button.setText("Undo" if why else f"Undo: {label}")
    row.bar(button, why)
