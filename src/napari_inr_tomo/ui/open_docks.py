"""Opening the docks from one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_inr_tomo.ui.dock import Dock, Panel
    from napari_inr_tomo.ui.session import Session


def show_dock(session: Session, kind: type[Dock]) -> Any:
    """Bring the dock of a kind to the front, or open it beside the others."""
    window = session.viewer.window
    for widget in window.dock_widgets.values():
        if type(widget) is kind:
            raise_dock(widget)
            return widget
    dock = kind(session.viewer)
    others = bool(window.dock_widgets)
    window.add_dock_widget(dock, name=kind.panels[0].title, tabify=others)
    raise_dock(dock)
    return dock


def show_panel(session: Session, panel: type[Panel], dock: type[Dock]) -> Any:
    """Show a panel: in an open workflow if it is a step of it, else in its own dock."""
    from napari_inr_tomo.ui.docks.workflow import WorkflowDock

    for widget in session.viewer.window.dock_widgets.values():
        if isinstance(widget, WorkflowDock) and panel in widget.panels:
            part = widget.part(panel)
            widget.go(widget.panels.index(panel))
            raise_dock(widget)
            return part
    return show_dock(session, dock).panel


def raise_dock(widget: Any) -> None:
    """Show the tab a dock's widget is in."""
    from qtpy.QtWidgets import QDockWidget

    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    if parent is not None:
        parent.show()
        parent.raise_()
