"""Every dock opens, and says why it cannot work without a tilt series."""

from __future__ import annotations

from typing import Any

import pytest

from napari_inr_tomo.ui.docks.alignment import AlignmentDock
from napari_inr_tomo.ui.docks.background import BackgroundDock
from napari_inr_tomo.ui.docks.export import ExportDock
from napari_inr_tomo.ui.docks.monitor import MonitorDock
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.docks.workflow import WorkflowDock

DOCKS = (
    TiltSeriesDock,
    BackgroundDock,
    AlignmentDock,
    ReconstructionDock,
    MonitorDock,
    ExportDock,
    WorkflowDock,
)


SHOWN = pytest.mark.parametrize("open_dock", ["shown"], indirect=True)


@SHOWN
@pytest.mark.parametrize("kind", DOCKS)
def test_opens_empty_and_every_greyed_out_button_says_why(
    open_dock: Any, kind: type
) -> None:
    from qtpy.QtWidgets import QPushButton

    from napari_inr_tomo.ui.controls import ActionRow

    dock = open_dock(kind)
    rows = dock.findChildren(ActionRow)
    assert rows
    for row in rows:
        barred = [b for b in row.findChildren(QPushButton) if not b.isEnabled()]
        assert bool(barred) == bool(row.reason_text)
        for button in barred:
            assert button.toolTip().split(".")[0] in row.reason_text
