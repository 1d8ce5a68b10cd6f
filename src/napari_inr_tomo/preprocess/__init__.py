"""Preprocessing: pure steps from a tilt series to a tilt series.

Every step leaves one line in the history with all its parameters.
"""

from napari_inr_tomo.preprocess.background import fit_background, subtract_background
from napari_inr_tomo.preprocess.background_fit import BackgroundFit
from napari_inr_tomo.preprocess.background_settings import KINDS, SPECIMENS
from napari_inr_tomo.preprocess.bernstein import bernstein_basis
from napari_inr_tomo.preprocess.chain import prepare
from napari_inr_tomo.preprocess.facts import (
    flip_handedness,
    set_angles,
    set_pixel_size,
)
from napari_inr_tomo.preprocess.intensity import check_views, normalise_tilts
from napari_inr_tomo.preprocess.masks import follow_tilts
from napari_inr_tomo.preprocess.outliers import mask_outliers
from napari_inr_tomo.preprocess.resize import bin_images, fourier_downsample
from napari_inr_tomo.preprocess.slab import Slab, cut_slab
from napari_inr_tomo.preprocess.views import exclude_views, include_views

__all__ = [
    "KINDS",
    "SPECIMENS",
    "BackgroundFit",
    "Slab",
    "bernstein_basis",
    "bin_images",
    "check_views",
    "cut_slab",
    "exclude_views",
    "fit_background",
    "flip_handedness",
    "follow_tilts",
    "fourier_downsample",
    "include_views",
    "mask_outliers",
    "normalise_tilts",
    "prepare",
    "set_angles",
    "set_pixel_size",
    "subtract_background",
]
