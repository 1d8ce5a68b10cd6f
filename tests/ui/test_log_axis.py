"""Numbers at a logarithmic axis: round, few, and none on another."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.ui.log_axis import LogAxis, log_ticks


@pytest.mark.parametrize(
    ("low", "high"),
    [(-3.2, -2.4), (-3.0, -1.2), (-5.0, 0.5), (-0.01, 0.01), (-20.0, 3.0)],
)
def test_ticks_are_few_in_range_and_apart(low: float, high: float) -> None:
    ticks = log_ticks(low, high)
    assert 2 <= len(ticks) <= 10
    assert all(low <= tick <= high for tick in ticks)
    assert np.diff(ticks).min() > 0.04 * (high - low)


def test_numbers_within_a_decade_are_evenly_spaced() -> None:
    numbers = 10.0 ** np.array(log_ticks(np.log10(0.0007), np.log10(0.0041)))
    assert numbers == pytest.approx([0.001, 0.002, 0.003, 0.004])


def test_numbers_are_written_in_full(qtbot: object) -> None:
    axis = LogAxis("left")
    axis.setLogMode(y=True)
    assert axis.tickStrings([np.log10(0.0015), 0.0], 1.0, 1.0) == ["0.0015", "1"]
