"""Colours that can be told from what is behind them, in napari's light theme too."""

from __future__ import annotations

import numpy as np
from qtpy.QtGui import QColor

TEXT_CONTRAST = 4.5
LINE_CONTRAST = 3.0
"""Least contrast of text and of lines.  Source: WCAG 2.1, 1.4.3 and 1.4.11."""


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, 0 to 1."""
    rgb = np.array(QColor(colour).getRgbF()[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(colour: str, behind: str) -> float:
    """Return the contrast of two colours, 1 to 21."""
    low, high = sorted((luminance(colour), luminance(behind)))
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, behind: str, least: float = LINE_CONTRAST) -> str:
    """Return a colour, as much darker or lighter as it takes to be seen."""
    target = 0.0 if luminance(behind) > 0.18 else 1.0
    rgb = np.array(QColor(colour).getRgbF()[:3])
    for share in np.linspace(0, 1, 41):
        mixed = QColor.fromRgbF(*((1 - share) * rgb + share * target)).name()
        if contrast(mixed, behind) >= least:
            return mixed
    return QColor.fromRgbF(target, target, target).name()


def theme_colours(name: str) -> tuple[str, str, str]:
    """Return background, text and secondary colour of a napari theme."""
    from napari.utils.theme import get_theme

    theme = get_theme(name)
    colours = theme.background, theme.text, theme.secondary
    return tuple(colour.as_hex("long") for colour in colours)
