"""Open a tilt series, whatever its format: the one way from a file into the program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angles import ANGLE_SUFFIXES, Angles
from napari_inr_tomo.io.border import reading
from napari_inr_tomo.io.folder import read_folder
from napari_inr_tomo.io.formats import MICROSCOPE_SUFFIXES, read_microscope
from napari_inr_tomo.io.hdf5 import read_hdf5
from napari_inr_tomo.io.mrc import read_mrc
from napari_inr_tomo.io.npy import read_npy
from napari_inr_tomo.io.sidecar import add_sidecars
from napari_inr_tomo.io.stack import ImageStack, clean_pixels
from napari_inr_tomo.io.tiff import read_tiff
from napari_inr_tomo.types import Step, TiltSeries

_READERS = {
    ".mrc": read_mrc,
    ".st": read_mrc,
    ".ali": read_mrc,
    ".rec": read_mrc,
    ".mrcs": read_mrc,
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".emd": read_hdf5,
    ".npy": read_npy,
    **dict.fromkeys(MICROSCOPE_SUFFIXES, read_microscope),
}
SERIES_SUFFIXES: tuple[str, ...] = tuple(_READERS)


def read_series(path: str | Path, angles: Angles | None = None) -> TiltSeries:
    """Open a tilt series from a file or a folder of images.

    angles: a file, "start:stop:step" (stop included where it fits) or numbers, in
    degrees.  They go before angles from the file, and those before a side-car
    (.rawtlt .tlt .mdoc .csv .txt).  ``angle_source`` says which were used; those given
    here are in the history as well, so that it can be done again.
    Images are (tilt, y, x) float32 in the order of the file.
    Raises `UserError` if the file is damaged, holds no stack, or no angles are known.
    """
    series = read_images(path).with_angles(angles)
    if angles is None:
        return series
    given = {"angles_deg": series.angles_deg.tolist(), "source": series.angle_source}
    return series.evolve(Step("set_angles", given))


def read_images(path: str | Path) -> ImageStack:
    """Open the images of a tilt series, with or without angles.

    For a window in which the angles can be typed: ``.with_angles("-60:60:2")`` then
    makes the tilt series.  Raises `UserError` if the file is damaged or no stack.
    """
    path = Path(path)
    if path.name in ("", ".."):  # a folder that one is in has a name, and side-cars
        path = path.resolve()
    with reading(path):
        stack = _reader(path)(path)
        return clean_pixels(add_sidecars(stack, path))


def _reader(path: Path) -> Callable[[Path], ImageStack]:
    if path.is_dir():
        if path.name.endswith(".zarr"):
            raise UserError(
                f"{path.name} is a volume",
                "OME-Zarr is written for reconstructions, not for tilt series",
                "Choose the file of the tilt series",
            )
        return read_folder
    suffix = path.suffix.lower()
    if suffix in _READERS:
        return _READERS[suffix]
    if not path.exists():
        raise FileNotFoundError(path)
    if suffix in ANGLE_SUFFIXES:
        raise UserError(
            f"{path.name} holds angles, not images",
            f"a {suffix} file goes with a stack",
            "Open the stack, and give this file as its angles if it is not beside it",
        )
    raise UserError(
        f"{path.name} is not a known format",
        f"its name ends in {suffix or 'nothing'}",
        f"Use one of {' '.join(SERIES_SUFFIXES)} or a folder of images",
    )
