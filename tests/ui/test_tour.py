"""Pictures of the window that a program takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_inr_tomo.ui.docks.monitor import MonitorDock
from napari_inr_tomo.ui.tour import Tour


@pytest.mark.parametrize("open_dock", ["shown"], indirect=True)
def test_no_notification_lies_on_a_picture(open_dock: Any, tmp_path: Path) -> None:
    from napari._qt.dialogs.qt_notification import NapariQtNotification

    dock = open_dock(MonitorDock)
    window = dock.window()
    note = NapariQtNotification("dark", "warning", parent=window.centralWidget())
    closed: list[bool] = []
    note.destroyed.connect(lambda: closed.append(True))
    note.show()
    note.timer_stop()  # as a pointer does that rests on it
    tour = object.__new__(Tour)
    tour.dock, tour.folder = dock, tmp_path
    tour.wait(most_s=0.2)
    assert note.isVisible()
    tour.take("picture")
    assert closed or not note.isVisible()
    assert (tmp_path / "picture.png").is_file()
