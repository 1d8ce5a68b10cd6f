"""The cleaning steps in a row, with no setting to choose."""

from __future__ import annotations

from napari_inr_tomo.preprocess.background import subtract_background
from napari_inr_tomo.preprocess.intensity import check_views, normalise_tilts
from napari_inr_tomo.preprocess.outliers import mask_outliers
from napari_inr_tomo.types import TiltSeries


def prepare(series: TiltSeries) -> TiltSeries:
    """Return the series ready to be aligned.

    Hot pixels masked, doubtful views named, the background subtracted, the tilts
    brought to one intensity where the specimen stands alone in the field.
    Raises `UserError` as the steps do.
    """
    series = check_views(mask_outliers(series))
    return normalise_tilts(subtract_background(series), only_isolated=True)
