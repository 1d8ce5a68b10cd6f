"""Files in and out: tilt series, angles, poses, volumes.

Bad files end in one `UserError`; doubtful ones open with a sentence in ``notices``.
Arrays keep the order of the file: the first stored row is row 0.
"""

from napari_inr_tomo.io.angles import parse_angles, read_angles, write_tlt
from napari_inr_tomo.io.border import release
from napari_inr_tomo.io.check import check_file
from napari_inr_tomo.io.mask import read_mask
from napari_inr_tomo.io.poses import read_poses, write_poses
from napari_inr_tomo.io.read import SERIES_SUFFIXES, read_images, read_series
from napari_inr_tomo.io.series import SERIES_OUT_SUFFIXES, write_series
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.io.volume import VOLUME_SUFFIXES, read_volume, write_volume
from napari_inr_tomo.io.xf import read_xf, write_xf

__all__ = [
    "SERIES_OUT_SUFFIXES",
    "SERIES_SUFFIXES",
    "VOLUME_SUFFIXES",
    "ImageStack",
    "check_file",
    "parse_angles",
    "read_angles",
    "read_images",
    "read_mask",
    "read_poses",
    "read_series",
    "read_volume",
    "read_xf",
    "release",
    "write_poses",
    "write_series",
    "write_tlt",
    "write_volume",
    "write_xf",
]
