"""Phantoms with exact projections, and simulated tilt series with known truth."""

from napari_inr_tomo.simulate.phantoms import PHANTOMS, Phantom, phantom
from napari_inr_tomo.simulate.series import Simulation, simulate_series

__all__ = ["PHANTOMS", "Phantom", "Simulation", "phantom", "simulate_series"]
