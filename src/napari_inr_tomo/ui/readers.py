"""Opening files by dropping them onto napari.

A stack with known tilt angles becomes a tilt series.  Plain pictures, and folders of
them, are left to napari's own reader; a three-dimensional stack without angles opens
as an image, with a word on how to give the angles.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import Volume
from napari_inr_tomo.ui.jobs import tell
from napari_inr_tomo.ui.series_layer import (
    FILE,
    LayerData,
    series_layer_data,
    volume_layer_data,
)

ANGLES_FIRST = (".st", ".ali", ".mrc", ".emd")
MICROSCOPE = (".dm3", ".dm4", ".ser", ".emi", ".hspy", ".bcf")
GENERIC = (".tif", ".tiff", ".npy", ".h5", ".hdf5")
VOLUMES = (".rec", ".zarr")

Reader = Callable[..., list[LayerData]]


def get_reader(path: str | list[str]) -> Reader | None:
    """Return a reader for a path, or None where napari's own should open it."""
    if not isinstance(path, str):
        return None
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix in VOLUMES:
        return read_volume
    if place.is_dir():
        if (place / "run.json").is_file():
            return read_run
        return read_stack if _folder_has_angles(place) else None
    if suffix in (*ANGLES_FIRST, *MICROSCOPE):
        return read_stack
    if suffix in GENERIC and _is_stack(place, suffix):
        return read_stack
    return None


def read_stack(path: str, **_: Any) -> list[LayerData]:
    """Return a tilt series, or a plain image where no angles are known."""
    from napari.utils.notifications import show_info

    from napari_inr_tomo import io

    place = Path(path)
    stack = io.read_images(place)
    if stack.angles_deg is not None:
        series = stack.with_angles()
        tell(series.notices)
        return [_from(place, series_layer_data(series))]
    volume = Volume(stack.images, stack.pixel_size_nm, place.stem)
    if place.suffix.lower() == ".npy":  # its voxel size stands beside it
        volume = io.read_volume(place)
    if not _is_volume(place, volume):
        show_info(
            f"No tilt angles were found for {place.name}, so it opened as an image. If "
            "it is a tilt series, type the angles in Plugins > Electron tomography > "
            "Open tilt series and press 'From layer', or put an angle file (.rawtlt "
            ".tlt .mdoc) beside it."
        )
    return [_from(place, volume_layer_data(volume, place.stem))]


def read_volume(path: str, **_: Any) -> list[LayerData]:
    """Return a volume."""
    from napari_inr_tomo import io

    return [volume_layer_data(io.read_volume(Path(path)))]


def read_run(path: str, **_: Any) -> list[LayerData]:
    """Return the finished volume of a run folder."""
    from napari_inr_tomo import io, runs

    try:
        result = runs.RunFolder(Path(path)).result()
    except UserError as error:
        raise UserError(
            error.what,
            error.why,
            "Open it in Plugins > Electron tomography > Monitor reconstruction with "
            "'Open run folder...' to follow or resume it",
        ) from None
    name = f"volume of {Path(path).name}"
    return [volume_layer_data(io.read_volume(result), name)]


def _from(file: Path, data: LayerData) -> LayerData:
    """Let a layer say what it was read from, which no output may replace."""
    data[1]["metadata"][FILE] = str(file.absolute())
    return data


def _folder_has_angles(folder: Path) -> bool:
    from napari_inr_tomo.io.folder import angles_from_names

    files = [p for p in folder.iterdir() if p.is_file() and p.name[0] != "."]
    kinds = {p.suffix.lower() for p in files}
    if kinds & set(MICROSCOPE):
        return True
    pictures = [p.stem for p in files if p.suffix.lower() in (".tif", ".tiff", ".png")]
    if len(pictures) < 2:
        return False
    beside = kinds & {".rawtlt", ".tlt", ".mdoc"}
    return bool(beside) or angles_from_names(pictures) is not None


def _is_stack(path: Path, suffix: str) -> bool:
    """Tell whether a file of a common format holds three-dimensional grey images."""
    try:
        if suffix in (".tif", ".tiff"):
            import tifffile

            with tifffile.TiffFile(path) as file:
                axes = file.series[0].axes
                return len(file.series[0].shape) == 3 and "S" not in axes
        if suffix == ".npy":
            import numpy as np

            return np.load(path, mmap_mode="r", allow_pickle=False).ndim == 3
    except (OSError, ValueError, IndexError):
        return True  # let the reader say in words what is wrong
    return True


def _is_volume(path: Path, volume: Volume) -> bool:
    """Tell whether a file says that it is a volume: MRC by its space group 1."""
    if path.suffix.lower() == ".npy":
        return volume.voxel_nm is not None
    if path.suffix.lower() != ".mrc":
        return False
    with open(path, "rb") as handle:
        handle.seek(88)
        word = handle.read(4)
    return word in (b"\x01\0\0\0", b"\0\0\0\x01")
