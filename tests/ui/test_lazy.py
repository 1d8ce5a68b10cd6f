"""Opening a dock brings in neither torch nor the engine."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = """
import os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qtpy.QtWidgets import QApplication
application = QApplication([])
from napari.components import ViewerModel
from napari_inr_tomo.ui.docks.workflow import WorkflowDock
viewer = ViewerModel()
dock = WorkflowDock(viewer)
dock.attach()
heavy = [m for m in sys.modules if m.split(".")[0] == "torch" or m.endswith(".engine")]
assert not heavy, heavy
dock.session.close()
"""


def test_opening_the_workflow_imports_no_torch() -> None:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
