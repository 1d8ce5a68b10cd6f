"""Opening a dock, whichever, brings in neither torch nor the engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MANIFEST = Path(__file__).parents[2] / "src" / "napari_inr_tomo" / "napari.yaml"
CODE = """
import importlib, os, sys
import napari_inr_tomo
assert not {"napari", "numpy", "torch"} & set(sys.modules)
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from qtpy.QtWidgets import QApplication
application = QApplication([])
from napari.components import ViewerModel
from npe2 import PluginManifest
viewer = ViewerModel()
manifest = PluginManifest.from_file(sys.argv[1])
commands = {c.id: c.python_name for c in manifest.contributions.commands}
docks = []
for widget in manifest.contributions.widgets:
    module, name = commands[widget.command].split(":")
    docks.append(getattr(importlib.import_module(module), name)(viewer))
    docks[-1].attach()
assert len(docks) > 8
heavy = [m for m in sys.modules if m.split(".")[0] == "torch" or m.endswith(".engine")]
assert not heavy, heavy
docks[0].session.close()
"""


def test_no_dock_imports_torch_and_the_package_nothing_at_all() -> None:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(MANIFEST)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
