"""Tooltips are the docstrings of the settings."""

from __future__ import annotations

from typing import Any

import pytest

from napari_inr_tomo.config import ReconstructionConfig, ScheduleSettings
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.tips import tip


def test_a_tip_is_the_docstring_in_one_line() -> None:
    wanted = ScheduleSettings.model_fields["visits"].description
    assert tip("inr.schedule.visits") == " ".join(wanted.split())
    with pytest.raises(KeyError):
        tip("inr.schedule.no_such_setting")


def test_the_settings_of_the_dock_say_what_the_config_says(open_dock: Any) -> None:
    panel = open_dock(ReconstructionDock).panel
    described = ReconstructionConfig.model_fields["seed"].description
    assert panel.seed.toolTip() == described
    for control in (panel.depth, panel.device, panel.processes, panel.poses):
        assert control.toolTip()
