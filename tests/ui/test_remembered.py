"""Last folder and last settings, through napari's settings of the plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui import remembered
from napari_inr_tomo.ui.controls import PathEdit
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock
from napari_inr_tomo.ui.run_control import RunControl

KEPT = """
from napari_inr_tomo.ui import remembered
print(remembered.recall("folder"))
remembered.remember("folder", "/some/where")
"""


def test_it_lasts_until_napari_is_opened_again(tmp_path: Path) -> None:
    environment = os.environ | {
        "NAPARI_CONFIG": str(tmp_path / "settings.yaml"),
        "QT_QPA_PLATFORM": "offscreen",
    }
    said = [
        subprocess.run(
            [sys.executable, "-c", KEPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["", "/some/where"]


def test_dialogs_begin_in_the_last_folder(
    qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    stack = tmp_path / "data" / "stack.mrc"

    def opened(parent: Any, title: str, start: str) -> tuple[str, str]:
        begun.append(start)
        return str(stack), ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", staticmethod(opened))
    monkeypatch.setattr(QFileDialog, "getSaveFileName", staticmethod(opened))
    edit = PathEdit("file", "")
    qtbot.addWidget(edit)
    edit._browse()
    assert edit.text() == str(stack)
    edit.setText("")
    edit._browse()
    remembered.ask_new_file(edit, "Save", "volume.mrc")
    assert begun == ["", str(stack.parent), str(stack.parent / "volume.mrc")]


def test_a_dialog_that_is_given_up_changes_nothing(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = staticmethod(lambda *_: "")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", nothing)
    edit = PathEdit("folder", "")
    qtbot.addWidget(edit)
    edit.setText("as it was")
    edit._browse()
    assert edit.text() == "as it was"
    assert remembered.recall("folder") == ""


def test_method_and_preset_are_those_last_started(
    open_dock: Any,
    qtbot: Any,
    small_series: TiltSeries,
    last_used: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RunControl, "begin", lambda *_: None)
    first = open_dock(ReconstructionDock).panel
    open_dock.session.add_series(small_series)
    first.choose("inr", "preview")
    first.start()
    second = ReconstructionDock(open_dock.viewer)
    qtbot.addWidget(second)
    assert second.panel.config().preset == "preview"
    last_used["last"].method = "a method of a later version"
    third = ReconstructionDock(open_dock.viewer)
    qtbot.addWidget(third)
    assert third.panel.config().preset == "fast"
