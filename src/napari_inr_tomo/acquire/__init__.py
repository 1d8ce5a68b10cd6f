"""Reconstructing while the tilts are still being taken.

One process watches a folder or a growing stack, does with every new tilt what was done
to earlier series, refreshes a quick volume, and lets the network go on.  It works in an
acquisition folder that windows and terminals read (`AcquisitionFolder`).
"""

from napari_inr_tomo.acquire.acquisition import Acquisition, Settings, run
from napari_inr_tomo.acquire.folder import AcquisitionFolder, State, TiltState
from napari_inr_tomo.acquire.launching import start_process
from napari_inr_tomo.acquire.quick import QUICK_METHODS
from napari_inr_tomo.acquire.recipe import Recipe

__all__ = [
    "QUICK_METHODS",
    "Acquisition",
    "AcquisitionFolder",
    "Recipe",
    "Settings",
    "State",
    "TiltState",
    "run",
    "start_process",
]
