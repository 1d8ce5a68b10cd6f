"""Excluding views."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import exclude_views, include_views
from napari_inr_tomo.types import TiltSeries

SERIES = TiltSeries(np.zeros((5, 4, 6)), [20, -20, 0, 10, -10])


def test_exclusion_adds_up_and_can_be_undone():
    series = exclude_views(exclude_views(SERIES, [2]), [0, 2])
    assert series.mask.tolist() == [False, True, False, True, True]
    assert len(series) == 5
    assert series.reference == 3  # the one nearest 0 was excluded
    assert include_views(series, [2]).mask.tolist() == [False, True, True, True, True]
    assert [step.to_json() for step in series.history] == [
        {"name": "exclude_views", "parameters": {"tilts": [2]}},
        {"name": "exclude_views", "parameters": {"tilts": [0, 2]}},
    ]
    assert SERIES.mask.all()


@pytest.mark.parametrize("tilts", [[5], [-1], [0, 1, 2, 3]])
def test_impossible_exclusions_are_refused(tilts):
    with pytest.raises(UserError):
        exclude_views(SERIES, tilts)
