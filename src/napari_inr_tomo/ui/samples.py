"""File > Open Sample: simulated tilt series, and a real one that is downloaded."""

from __future__ import annotations

from napari_inr_tomo.ui.series_layer import LayerData, series_layer_data


def sea_mine() -> list[LayerData]:
    """Ball with spikes, misaligned, noisy, with a background."""
    return _simulated("sea-mine")


def chiral() -> list[LayerData]:
    """Body that differs from its mirror image."""
    return _simulated("chiral")


def ellipsoids() -> list[LayerData]:
    """A few ellipsoids."""
    return _simulated("ellipsoids")


def porous() -> list[LayerData]:
    """Body with pores."""
    return _simulated("porous")


def lattice() -> list[LayerData]:
    """Balls on a lattice, like atoms."""
    return _simulated("lattice")


def needle() -> list[LayerData]:
    """Layered needle."""
    return _simulated("needle")


def real_needle() -> list[LayerData]:
    """Real needle, 91 tilts over 180 degrees; downloaded once, checked, cached."""
    from napari.utils.notifications import show_info

    from napari_inr_tomo import io
    from napari_inr_tomo.simulate.samples import fetch_needle

    show_info("The needle (1 MB) is downloaded the first time it is opened.")
    return [series_layer_data(io.read_series(fetch_needle()))]


def _simulated(name: str) -> list[LayerData]:
    from napari_inr_tomo.simulate.samples import sample

    return [series_layer_data(sample(name))]
