"""The implicit neural representation: field, poses, ray rendering, losses.

Everything here takes tensors and returns tensors; one rank, no files, no events.
"""

from napari_inr_tomo.inr.box import Box
from napari_inr_tomo.inr.fields import Field, build_field
from napari_inr_tomo.inr.losses import pixel_loss, total_variation
from napari_inr_tomo.inr.muon import Muon
from napari_inr_tomo.inr.poses import LearnedPoses
from napari_inr_tomo.inr.rendering import Rays, render

__all__ = [
    "Box",
    "Field",
    "LearnedPoses",
    "Muon",
    "Rays",
    "build_field",
    "pixel_loss",
    "render",
    "total_variation",
]
