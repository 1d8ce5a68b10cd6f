"""A logarithmic axis for small plots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph


class LogAxis(pyqtgraph.AxisItem):
    """A logarithmic axis whose numbers do not lie on one another."""

    def tickValues(self, low: float, high: float, size: float) -> Any:
        """Return [(spacing, powers of ten at which a number stands)]."""
        if not self.logMode:
            return super().tickValues(low, high, size)
        return [(1.0, log_ticks(low, high))]

    def tickStrings(self, values: Any, scale: float, spacing: float) -> list[str]:
        """Return the numbers themselves."""
        if not self.logMode:
            return list(super().tickStrings(values, scale, spacing))
        return [f"{10**value:.3g}" for value in values]


def log_ticks(low: float, high: float) -> list[float]:
    """Return the powers of ten (their exponents) of some round numbers in a range.

    Evenly spaced numbers within a decade, 1 2 5 up to three, else powers of ten.
    """
    if high - low < 1:
        start, end = 10.0**low, 10.0**high
        rough = (end - start) / 4
        power = 10.0 ** np.floor(np.log10(rough))
        step = power * next(f for f in (1, 2, 5, 10) if f * power >= rough)
        numbers = step * np.arange(np.ceil(start / step), np.floor(end / step) + 1)
        return [float(np.log10(n)) for n in numbers if n > 0]
    decades = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    if high - low <= 3:
        ticks = [d + float(np.log10(f)) for d in decades for f in (1, 2, 5)]
    else:
        ticks = [float(d) for d in list(decades)[:: int((high - low) // 6) + 1]]
    return [t for t in ticks if low <= t <= high]
