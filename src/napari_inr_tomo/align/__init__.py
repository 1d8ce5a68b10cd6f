"""Alignment of a tilt series: only the poses change, the pixels never.

Every step leaves one line in the history with its parameters and results.
"""

from napari_inr_tomo.align.chain import ALIGNMENTS, STEPS, align
from napari_inr_tomo.align.common_line import CommonLine, find_common_line
from napari_inr_tomo.align.correlation import align_cross_correlation
from napari_inr_tomo.align.frame import current_axis, set_tilt_axis
from napari_inr_tomo.align.line import align_common_line
from napari_inr_tomo.align.mass import align_center_of_mass
from napari_inr_tomo.align.preview import (
    SlicePreview,
    SlicePreviewer,
    preview_slices,
    tilt_picture,
)
from napari_inr_tomo.align.projections import align_projections
from napari_inr_tomo.align.search import (
    AxisEstimate,
    align_tilt_axis,
    find_tilt_axis,
)

__all__ = [
    "ALIGNMENTS",
    "STEPS",
    "AxisEstimate",
    "CommonLine",
    "SlicePreview",
    "SlicePreviewer",
    "align",
    "align_center_of_mass",
    "align_common_line",
    "align_cross_correlation",
    "align_projections",
    "align_tilt_axis",
    "current_axis",
    "find_common_line",
    "find_tilt_axis",
    "preview_slices",
    "set_tilt_axis",
    "tilt_picture",
]
