"""Classical reconstruction (torch): projector, SIRT, FBP, TV and the visual hull."""

from napari_inr_tomo.classic.projector import Projector, projector_bytes

__all__ = ["Projector", "projector_bytes"]
