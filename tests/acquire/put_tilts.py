"""What the tests of an acquisition share: tilts that are put into a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from napari_inr_tomo.acquire import Acquisition
from napari_inr_tomo.types import TiltSeries

ANGLES = np.arange(-50, 51, 10.0)
PATTERN = r"_([+-]?\d+\.?\d*)\.tif"


def put(folder: Path, series: TiltSeries, tilt: int, name: str = "") -> Path:
    path = folder / (name or f"t_{series.angles_deg[tilt]:+.1f}.tif")
    tifffile.imwrite(path, series.images[tilt])
    return path


def looked(acquisition: Acquisition) -> list[str]:
    """Look twice, so that what came has settled; return what the second look says."""
    acquisition.step()
    return acquisition.step()
