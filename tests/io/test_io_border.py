"""Units of lengths at the border, and pixels that are not square."""

from __future__ import annotations

import math

import pytest

from napari_inr_tomo.io.border import square_pixel, to_nm

METRES = {
    "pm": 1e-12,
    "picometer": 1e-12,
    "A": 1e-10,
    "\u00c5": 1e-10,
    "\u212b": 1e-10,  # the sign Angstrom, a twin of the letter
    "Angstroms": 1e-10,
    "nm": 1e-9,
    "nanometre": 1e-9,
    "um": 1e-6,
    "\u00b5m": 1e-6,
    "\u03bcm": 1e-6,  # the Greek letter, a twin of the micro sign
    "microns": 1e-6,
    "mm": 1e-3,
    "cm": 1e-2,
    "inch": 0.0254,
    "[m]": 1.0,
    "metre": 1.0,
}


@pytest.mark.parametrize("unit", METRES)
def test_lengths_come_out_in_nanometres(unit: str) -> None:
    assert to_nm(2.5, unit) == pytest.approx(2.5 * METRES[unit] * 1e9)


@pytest.mark.parametrize(
    ("value", "unit"),
    [(1, ""), (1, "px"), (1, "1/nm"), (0, "nm"), (-1, "nm"), (math.inf, "nm")],
)
def test_what_is_no_length_has_none(value: float, unit: str) -> None:
    assert to_nm(value, unit) is None


def test_pixels_are_square_to_a_hundredth() -> None:
    assert square_pixel(2.0, 2.01) == (2.0, None)
    for x, y in ((2.0, 2.03), (2.03, 2.0)):
        size, doubt = square_pixel(x, y)
        assert size is None
        assert doubt is not None
        assert "not square" in doubt
    assert square_pixel(None, 3.0) == (3.0, None)
    assert square_pixel(3.0, None) == (3.0, None)
    assert square_pixel(None, None) == (None, None)
