"""What is drawn can be seen in either theme."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.ui import colours
from napari_inr_tomo.ui.plots import SHOWN_COLOUR, Plot


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("colour", ["#f0e442", "#e69f00", "#3b9ddd", "#101018"])
def test_a_readable_colour_has_the_contrast(theme: str, colour: str) -> None:
    behind = colours.theme_colours(theme)[0]
    for least in (colours.LINE_CONTRAST, colours.TEXT_CONTRAST):
        found = colours.readable(colour, behind, least)
        assert colours.contrast(found, behind) >= least
    if colours.contrast(colour, behind) > 4.6:
        assert colours.readable(colour, behind) == colour


def test_black_on_white_has_the_contrast_of_the_standard() -> None:
    assert colours.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colours.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_lines_follow_a_change_of_theme(qtbot: Any) -> None:
    plot = Plot("x", "y")
    qtbot.addWidget(plot)
    plot.set_line("one", np.arange(3), np.arange(3), SHOWN_COLOUR)
    plot.set_theme("light")
    drawn = plot._lines["one"].opts["pen"].color().name()
    behind = colours.theme_colours("light")[0]
    assert colours.contrast(drawn, behind) >= colours.LINE_CONTRAST
    plot.set_theme("dark")
    assert plot._lines["one"].opts["pen"].color().name() == SHOWN_COLOUR
