"""The buttons that act on the open run, for the docks that have them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_inr_tomo.ui.controls import ActionRow
from napari_inr_tomo.ui.remembered import ask_folder

if TYPE_CHECKING:
    from napari_inr_tomo.ui.dock import Panel
    from napari_inr_tomo.ui.run_control import RunControl
    from napari_inr_tomo.ui.session import Session


def stop_buttons(row: ActionRow, run: RunControl) -> tuple[QPushButton, QPushButton]:
    """Add "Stop and keep" and "Cancel" for a run to a row."""
    stop = row.add(
        "Stop and keep",
        "End early and keep the result reached so far; 'Resume' goes on from there",
        lambda: run.request("stop"),
    )
    cancel = row.add(
        "Cancel",
        "End without a result; the last checkpoint stays and can be resumed",
        lambda: run.request("cancel"),
    )
    return stop, cancel


def again_buttons(row: ActionRow, panel: Panel) -> tuple[QPushButton, QPushButton]:
    """Add "Resume" and "Open run folder..." to a row of a panel."""
    resume = row.add(
        "Resume",
        "Go on from the last checkpoint of the open run folder, with the settings it "
        "was started with",
        panel.session.run.resume,
    )
    open_folder = row.add(
        "Open run folder...",
        "Follow a run that is going on, or look at one that has ended",
        lambda: ask_run_folder(panel),
    )
    return resume, open_folder


def bar_again(
    row: ActionRow, session: Session, resume: QPushButton, open_folder: QPushButton
) -> None:
    """Grey the buttons of `again_buttons` out, with the reason."""
    busy = f"Busy: {session.busy}" if session.busy else None
    row.bar(resume, busy or session.run.why_not_resume())
    row.bar(open_folder, session.run.why_not_open())


def ask_run_folder(panel: Panel) -> None:
    """Ask for a run folder and follow it."""
    path = ask_folder(panel, "Open a run folder")
    if path:
        panel.session.run.open(Path(path))
