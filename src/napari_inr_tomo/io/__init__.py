"""Files in and out: tilt series, angles, poses, volumes.

Bad files end in one `UserError`; doubtful ones open with a sentence in ``notices``.
Arrays keep the order of the file: the first stored row is row 0.
"""

from napari_inr_tomo.io.alignment import (
    ALIGNMENT_OUT_SUFFIXES,
    ALIGNMENT_SUFFIXES,
    read_alignment,
    recorded_alignment,
    tomviz_turns_rows,
    write_alignment,
)
from napari_inr_tomo.io.angle_spec import AngleSpec, angles_by_name, given_angles
from napari_inr_tomo.io.angle_words import angle_order, describe_angles
from napari_inr_tomo.io.angles import parse_angles, read_angles, write_tlt
from napari_inr_tomo.io.arrivals import Arrival, FolderWatch, Look, StackWatch, watch
from napari_inr_tomo.io.beside import (
    check_apart,
    check_replaced,
    other_files,
    read_beside,
    series_files,
)
from napari_inr_tomo.io.check import check_file, says_volume
from napari_inr_tomo.io.folder import image_names
from napari_inr_tomo.io.mask import read_mask
from napari_inr_tomo.io.poses import read_poses, write_poses
from napari_inr_tomo.io.read import SERIES_SUFFIXES, read_images, read_series
from napari_inr_tomo.io.series import SERIES_OUT_SUFFIXES, aligned_picture, write_series
from napari_inr_tomo.io.stack import ImageStack, clean_series, doubts_about
from napari_inr_tomo.io.volume import VOLUME_SUFFIXES, read_volume, write_volume
from napari_inr_tomo.io.xf import read_xf, write_xf

__all__ = [
    "ALIGNMENT_OUT_SUFFIXES",
    "ALIGNMENT_SUFFIXES",
    "SERIES_OUT_SUFFIXES",
    "SERIES_SUFFIXES",
    "VOLUME_SUFFIXES",
    "AngleSpec",
    "ImageStack",
    "aligned_picture",
    "angle_order",
    "angles_by_name",
    "Arrival",
    "FolderWatch",
    "Look",
    "StackWatch",
    "check_apart",
    "check_file",
    "check_replaced",
    "clean_series",
    "describe_angles",
    "doubts_about",
    "given_angles",
    "image_names",
    "other_files",
    "parse_angles",
    "read_alignment",
    "read_angles",
    "read_beside",
    "read_images",
    "read_mask",
    "read_poses",
    "read_series",
    "read_volume",
    "read_xf",
    "recorded_alignment",
    "says_volume",
    "series_files",
    "tomviz_turns_rows",
    "write_alignment",
    "watch",
    "write_poses",
    "write_series",
    "write_tlt",
    "write_volume",
    "write_xf",
]
