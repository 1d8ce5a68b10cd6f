"""Jobs in worker threads: who is told, and who is no longer there to be told."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QLabel

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.jobs import start_job


@pytest.mark.parametrize("good", [True, False], ids=["result", "error"])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_a_widget_that_was_closed_meanwhile_is_not_told(
    open_dock: Any, qtbot: Any, good: bool, closed: bool
) -> None:
    session = open_dock(TiltSeriesDock).session
    label, may_end, told = QLabel(), threading.Event(), []

    def work() -> str:
        may_end.wait(10)
        if good:
            return "done"
        raise UserError("It went wrong", "of this test", "Nothing")

    def write(result: Any) -> None:
        label.setText(str(result))
        told.append(result)

    start_job(session, "Working", work, done=write, failed=write, owner=label)
    if closed:
        with qtbot.waitSignal(label.destroyed):
            label.deleteLater()
    may_end.set()
    qtbot.waitUntil(lambda: session.busy is None)
    assert bool(told) is not closed
    assert good or "It went wrong" in str(notification_manager.records[-1].message)
    if not closed:
        label.deleteLater()
