"""Preprocessing: pure steps from a tilt series to a tilt series.

Every step leaves one line in the history with all its parameters.
"""

from napari_inr_tomo.preprocess.background import (
    BackgroundFit,
    fit_background,
    subtract_background,
)
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
from napari_inr_tomo.preprocess.passes import (
    merge_series,
    separate_passes,
    set_passes,
    sort_tilts,
)
from napari_inr_tomo.preprocess.resize import (
    bin_images,
    fourier_downsample,
    reduce_mask,
)
from napari_inr_tomo.preprocess.scan_drift import ScanDrift, correct_scan_drift
from napari_inr_tomo.preprocess.scan_series import correct_series_drift, drift_of_tilt
from napari_inr_tomo.preprocess.slab import Slab, cut_slab
from napari_inr_tomo.preprocess.views import exclude_views, include_views

__all__ = [
    "KINDS",
    "SPECIMENS",
    "BackgroundFit",
    "ScanDrift",
    "Slab",
    "bernstein_basis",
    "bin_images",
    "check_views",
    "correct_scan_drift",
    "correct_series_drift",
    "cut_slab",
    "drift_of_tilt",
    "exclude_views",
    "fit_background",
    "flip_handedness",
    "follow_tilts",
    "fourier_downsample",
    "include_views",
    "mask_outliers",
    "merge_series",
    "normalise_tilts",
    "reduce_mask",
    "prepare",
    "separate_passes",
    "set_angles",
    "set_passes",
    "set_pixel_size",
    "sort_tilts",
    "subtract_background",
]
