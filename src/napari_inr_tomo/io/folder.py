"""A folder of images, one file per tilt; angles from the file names where they are.

The names are believed only where the pattern is plain for every file: "-36deg",
SerialEM's "name_012_-36.0", the letters n/m (minus) and p (plus), or a signed number.
A running number is never taken for an angle.  A typesetter's minus is one, and so is a
dash where it can be nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angles import read_angles
from napari_inr_tomo.io.border import damaged, reading
from napari_inr_tomo.io.mrc import read_mrc_image
from napari_inr_tomo.io.stack import ImageStack
from napari_inr_tomo.io.tiff import read_tiff_image
from napari_inr_tomo.types import FloatArray

_TIFF = (".tif", ".tiff")
_MRC = (".mrc", ".st", ".ali")
_PICTURES = (*_TIFF, ".png")
_MICROSCOPE = (".dm3", ".dm4", ".ser", ".emi", ".bcf")
SINGLE_SUFFIXES = (*_PICTURES, *_MRC, *_MICROSCOPE)
"""Names of files that may hold the image of one tilt (`read_image`)."""

_VALUE = r"\d+(?:[.]\d+)?"
_SAME_DEG = 0.25
_MINUS = "\u2212"
_SIGN = rf"[+{_MINUS}-]"
_DASH = re.compile(r"(?<!\d)\u2013(?=\d)")
_PATTERNS = (
    # ..._-36.0deg, n36deg, 36 degrees
    re.compile(
        rf"(?P<sign>{_SIGN}|(?<![A-Z])[nmp](?=\d))?(?P<value>{_VALUE})[ _]?(?:deg|°)",
        re.I,
    ),
    # SerialEM: name_012_-36.0, maybe with a date after it
    re.compile(rf"_\d{{3,}}_(?P<sign>{_SIGN})?(?P<value>\d+\.\d+)(?=_|$)"),
    # name_n36, name-p36.5, m36
    re.compile(rf"(?:^|[_\s-])(?P<sign>[nmp])(?P<value>{_VALUE})(?=[_\s-]|$)", re.I),
    # the same, and a zero without a letter
    re.compile(
        r"(?:^|[_\s-])(?:(?P<sign>[nmp])(?=\d))?(?P<value>(?:(?<=[nmp])"
        r"\d+(?:[.]\d+)?)|0+(?:[.]0+)?)(?=[_\s-]|$)",
        re.I,
    ),
    # name_-36, name_+36.5, name_0 at the end
    re.compile(rf"(?:^|[_\s])(?P<sign>{_SIGN})?(?P<value>{_VALUE})$"),
)


def read_folder(folder: Path) -> ImageStack:
    """Read a folder of images of one kind, one per tilt.

    Sorted by angle where the file names or the files hold it, else naturally by name.
    Raises `UserError` if the folder holds no images, several kinds, or several sizes.
    """
    with reading(folder):
        paths = _image_files(folder)
        images: list[NDArray[Any]] = []
        sizes: list[float | None] = []
        tilts: list[float | None] = []
        for path in paths:
            image, size, tilt = read_image(path)
            if images and image.shape != images[0].shape:
                raise UserError(
                    f"The images in {folder.name} differ in size",
                    f"{paths[0].name} has {_size(images[0])} pixels and {path.name} "
                    f"has {_size(image)}",
                    "Keep only the images of one tilt series in the folder",
                )
            if tilt is None:
                tilt = _tilt_beside(path)
            images.append(image)
            sizes.append(size)
            tilts.append(tilt)
    angles = angles_from_names([path.stem for path in paths])
    source = "file names"
    if angles is None and all(tilt is not None for tilt in tilts):
        angles = np.array([float(tilt or 0.0) for tilt in tilts])
        source = "stage tilt of every file"
    order = np.arange(len(paths))
    if angles is not None:
        order = np.argsort(angles, kind="stable")
        angles = angles[order]
    doubts = []
    if len(set(sizes)) > 1:
        doubts.append("The pixel size differs between the files; it is not used.")
    first, last = paths[order[0]].name, paths[order[-1]].name
    return ImageStack(
        np.stack([images[i] for i in order]),
        name=folder.name,
        angles_deg=angles,
        angle_source=source if angles is not None else "",
        pixel_size_nm=sizes[0] if len(set(sizes)) == 1 else None,
        doubts=tuple(doubts),
        files=tuple(paths[i].name for i in order),
        facts=(f"{len(paths)} files, from {first} to {last}.",),
    )


def _tilt_beside(path: Path) -> float | None:
    """Return the angle in the .mdoc that SerialEM writes beside every image, if any."""
    beside = path.with_name(f"{path.name}.mdoc")
    if not beside.is_file():
        return None
    try:
        found = read_angles(beside)
    except UserError:
        return None
    return float(found[0]) if len(found) == 1 else None


def angles_from_names(stems: list[str]) -> FloatArray | None:
    """Return the angles in file names without suffix, or None if they are not plain.

    Returns (file,) float64 degrees in the order given.
    """
    stems = [_DASH.sub("-", stem) for stem in stems]
    for pattern in _PATTERNS:
        found = [list(pattern.finditer(stem)) for stem in stems]
        if not all(found):
            continue
        last = [matches[-1] for matches in found]
        values = np.array([_signed(match) for match in last])
        signs = {match["sign"] or "" for match in last}
        if np.abs(values).max() > 180 or len(np.unique(values)) < 2:
            continue
        if _hyphenated(last) or (
            pattern in _PATTERNS[2:] and _is_running(values, last, signs)
        ):
            continue
        return values
    return None


def angles_against_names(files: Sequence[str], angles_deg: FloatArray) -> list[str]:
    """Return a sentence where the names of the files say other angles than these.

    files: their names in the order of the images; angles_deg: (file,) given by hand.
    Names that are not plain speak up only where a signed number in them, at one place
    in all, takes just these values in another order.
    """
    stems = [_DASH.sub("-", Path(name).stem).replace(_MINUS, "-") for name in files]
    if len(stems) != len(angles_deg):
        return []
    plain = angles_from_names(stems)
    columns = _signed_columns(stems) if plain is None else [plain]
    for values in columns:
        apart = np.abs(values - angles_deg)
        same = np.abs(np.sort(values) - np.sort(angles_deg)).max() <= _SAME_DEG
        if apart.max() > _SAME_DEG and (same or plain is not None):
            tilt = int(np.argmax(apart > _SAME_DEG))
            return [
                f"The file names say other tilt angles than those given: {files[tilt]} "
                f"has {angles_deg[tilt]:g} degrees now. The angles follow the order of "
                "the files; --angles names takes them from plain names, and "
                "--angles names:REGEX from any."
            ]
    return []


def _signed_columns(stems: list[str]) -> list[FloatArray]:
    """Return the numbers at every place of the names where some are negative."""
    found = [re.findall(rf"(?<![A-Za-z0-9])[+-]?{_VALUE}", stem) for stem in stems]
    if len({len(numbers) for numbers in found}) != 1:
        return []
    table = np.array(found, np.float64).T
    return [column for column in table if (column < 0).any()]


def image_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the images in a folder, in the order `read_folder` has them.

    A folder that is read by the stage tilt in its files is sorted by name here.
    Raises `UserError` if there is no such folder or no images are in it.
    """
    with reading(folder):
        paths = _image_files(folder)
    angles = angles_from_names([path.stem for path in paths])
    order = range(len(paths)) if angles is None else np.argsort(angles, kind="stable")
    return tuple(paths[int(i)].name for i in order)


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Return a key that sorts "tilt2" before "tilt10"."""
    return [
        (0, int(part)) if part.isdigit() else (1, part.lower())
        for part in re.split(r"(\d+)", name)
        if part
    ]


def _signed(match: re.Match[str]) -> float:
    sign = -1.0 if (match["sign"] or "").lower() in ("-", _MINUS, "n", "m") else 1.0
    return sign * float(match["value"]) + 0.0


def _hyphenated(matches: list[re.Match[str]]) -> bool:
    """Return whether every minus sign may be a hyphen ("tilt-36")."""
    return all(
        match["sign"] == "-" and match.string[: match.start("sign")][-1:].isalnum()
        for match in matches
    )


def _is_running(
    values: FloatArray, matches: list[re.Match[str]], signs: set[str]
) -> bool:
    """Return whether the numbers may be a running index instead of angles."""
    if any("." in match["value"] for match in matches):
        return False
    if signs == {""}:
        return True
    one_sided = bool((values >= 0).all() or (values <= 0).all())
    return one_sided and bool(np.allclose(np.diff(np.sort(values)), 1))


def _image_files(folder: Path) -> list[Path]:
    known = [
        path
        for path in _files(folder)
        if path.suffix.lower() in (*_PICTURES, *_MICROSCOPE)
    ]
    kinds = Counter(_kind(path) for path in known)
    if ".emi" in kinds:
        known = [path for path in known if _kind(path) != ".ser"]
        kinds.pop(".ser", None)
    if not known:
        known = [path for path in _files(folder) if path.suffix.lower() in _MRC]
        kinds = Counter(_kind(path) for path in known)
    if not known:
        raise UserError(
            f"There are no images in the folder {folder.name}",
            "a tilt series as a folder holds one .tif, .png, .mrc or .dm3 file a tilt",
            "Choose the folder that holds the images, or the file of the stack",
        )
    if len(kinds) > 1:
        raise UserError(
            f"The folder {folder.name} holds images of several kinds",
            ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())),
            "Keep only the images of one tilt series in the folder",
        )
    if len(known) == 1:
        raise UserError(
            f"The folder {folder.name} holds a single image file",
            "a folder is read as one file per tilt",
            f"Open {known[0].name} itself if it is a stack",
        )
    return sorted(known, key=lambda path: natural_key(path.name))


def _files(folder: Path) -> list[Path]:
    entries = (path for path in folder.iterdir() if not path.name.startswith("."))
    return [path for path in entries if path.is_file()]


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return ".tif" if suffix in _TIFF else suffix


def read_image(path: Path) -> tuple[NDArray[Any], float | None, float | None]:
    """Return a file's only image (y, x), its pixel size in nm and its tilt in degrees.

    The last two are None where the file does not say.
    """
    suffix = path.suffix.lower()
    if suffix in _MICROSCOPE:
        from napari_inr_tomo.io.formats import read_microscope_image

        return read_microscope_image(path)
    if suffix in _TIFF:
        return *read_tiff_image(path), None
    if suffix in _MRC:
        return read_mrc_image(path)
    from skimage.io import imread

    with reading(path):
        image = np.asarray(imread(path))
    if image.ndim == 3 and image.shape[-1] in (3, 4):
        raise UserError(
            f"{path.name} is a colour image",
            "a tilt series is made of grey values",
            "Export the original detector images in grey values",
        )
    if image.ndim != 2 or 0 in image.shape:
        raise damaged(path, f"its shape is {image.shape}")
    return image, None, None


def _size(image: NDArray[Any]) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
