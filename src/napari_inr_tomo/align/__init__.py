"""Alignment of a tilt series: only the poses change, the pixels never.

Every step leaves one line in the history with its parameters and results.
"""

from napari_inr_tomo.align.arriving import align_new_tilts
from napari_inr_tomo.align.by_hand import (
    Comparison,
    compare_tilts,
    in_order,
    neighbour,
    shift_by_hand,
)
from napari_inr_tomo.align.chain import ALIGNMENTS, STEPS, align, check_contents
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
from napari_inr_tomo.align.transfer import set_poses, use_alignment

__all__ = [
    "ALIGNMENTS",
    "STEPS",
    "AxisEstimate",
    "CommonLine",
    "Comparison",
    "SlicePreview",
    "SlicePreviewer",
    "align",
    "align_center_of_mass",
    "align_common_line",
    "align_cross_correlation",
    "align_new_tilts",
    "align_projections",
    "align_tilt_axis",
    "compare_tilts",
    "current_axis",
    "find_common_line",
    "find_tilt_axis",
    "in_order",
    "neighbour",
    "preview_slices",
    "set_poses",
    "set_tilt_axis",
    "tilt_picture",
    "shift_by_hand",
    "use_alignment",
    "check_contents",
]
