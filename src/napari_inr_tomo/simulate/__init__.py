"""Phantoms with exact projections, and simulated tilt series with known truth."""

from napari_inr_tomo.simulate.phantoms import PHANTOMS, Phantom, phantom
from napari_inr_tomo.simulate.samples import (
    SAMPLES,
    fetch_needle,
    sample,
    sample_simulation,
)
from napari_inr_tomo.simulate.scans import SimulatedScans, simulate_scans
from napari_inr_tomo.simulate.series import Simulation, simulate_series

__all__ = [
    "PHANTOMS",
    "SAMPLES",
    "Phantom",
    "SimulatedScans",
    "Simulation",
    "fetch_needle",
    "phantom",
    "sample",
    "sample_simulation",
    "simulate_scans",
    "simulate_series",
]
