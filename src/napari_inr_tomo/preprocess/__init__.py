"""Preprocessing: pure steps from a tilt series to a tilt series.

Every step leaves one line in the history with all its parameters.
"""

from napari_inr_tomo.preprocess.background import (
    BackgroundFit,
    fit_background,
    subtract_background,
)
from napari_inr_tomo.preprocess.bernstein import bernstein_basis
from napari_inr_tomo.preprocess.resize import bin_images, fourier_downsample
from napari_inr_tomo.preprocess.views import exclude_views, include_views

__all__ = [
    "BackgroundFit",
    "bernstein_basis",
    "bin_images",
    "exclude_views",
    "fit_background",
    "fourier_downsample",
    "include_views",
    "subtract_background",
]
