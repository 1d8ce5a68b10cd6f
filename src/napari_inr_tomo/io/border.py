"""The border to the file system: whatever goes wrong there becomes a `UserError`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOMEM
from pathlib import Path

import psutil

from napari_inr_tomo.errors import UserError

_TEXT_LIMIT = 20_000_000
# Deflate cannot shrink by more than a factor of 1032: a larger claim is a damaged
# header, not a well compressed image.
_LARGEST_COMPRESSION = 2000

_NM = {
    "pm": 1e-3,
    "picometer": 1e-3,
    "a": 0.1,
    "å": 0.1,
    "ang": 0.1,
    "angstrom": 0.1,
    "angstroms": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometers": 1.0,
    "nanometre": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "inch": 2.54e7,
    "m": 1e9,
    "meter": 1e9,
    "metre": 1e9,
}
_DEGREES = {"deg", "degs", "degree", "degrees", "°", "º"}
_RADIANS = {"rad", "rads", "radian", "radians"}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every exception of a file library into one `UserError` about ``path``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(
            f"{path.name} does not exist",
            f"there is nothing at {path}",
            "Check the name and the folder",
        ) from error
    except PermissionError as error:
        raise UserError(
            f"{path.name} cannot be opened",
            "its permissions do not allow reading it, or another program writes it",
            "Wait for that, change the permissions, or copy the file to a folder of "
            "yours",
        ) from error
    except MemoryError as error:
        raise too_large(path) from error
    except Exception as error:
        raise UserError(
            f"{path.name} cannot be read",
            f"it is damaged, incomplete or of another kind ({describe(error)})",
            "Copy the file again from its origin, or open it in the program that "
            "wrote it and export it as MRC or TIFF",
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn every exception while writing ``path`` into one `UserError`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(
            f"{path.name} cannot be written",
            f"it, or its folder {path.parent}, is protected, or another program has it "
            "open",
            "Close what shows it (here, that may be a layer), change the permissions, "
            "or choose another name",
        ) from error
    except Exception as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", 0) == ENOMEM:
            raise UserError(
                "There is not enough memory",
                f"{path.name} could not be written for want of it",
                "Close other programs and try again, or use a computer with more of it",
            ) from error
        raise UserError(
            f"{path.name} cannot be written",
            f"writing to {path.parent} failed ({describe(error)})",
            "Check that the folder exists, may be written to and has room, "
            "or choose another one",
        ) from error


def describe(error: BaseException) -> str:
    """Return one short line about an exception of a library."""
    text = " ".join(str(error).split()).rstrip(".")
    kind = type(error).__name__
    return f"{kind}: {text[:160]}" if text else kind


def too_large(path: Path) -> UserError:
    """Return the error for a file that does not fit in memory."""
    return UserError(
        f"{path.name} is too large for this computer",
        "its images do not fit in the memory",
        "Bin the stack before opening it, or use a computer with more memory",
    )


def damaged(path: Path, why: str) -> UserError:
    """Return the error for a file whose parts contradict each other."""
    return UserError(
        f"{path.name} is damaged or incomplete",
        why,
        "Copy the file again from its origin; if it is complete there, "
        "export it anew from the program that wrote it",
    )


def not_a_stack(path: Path, shape: tuple[int, ...]) -> UserError:
    """Return the error for a file that holds no (tilt, y, x) array."""
    lengths = " x ".join(str(n) for n in shape)
    if len(shape) == 2:
        return UserError(
            f"{path.name} is a single image",
            f"it holds {lengths} pixels, and a tilt series is many images",
            "Put the images of all tilts into one folder and open the folder",
        )
    return UserError(
        f"{path.name} is not a tilt series",
        f"its shape is {lengths or 'a single number'}, and a tilt series has the "
        "three axes tilt, y and x",
        "Export the tilt series alone as a stack of grey-scale images",
    )


def need_file(path: Path) -> None:
    """Raise `UserError` unless ``path`` is a file that is not empty."""
    if not path.exists():
        raise FileNotFoundError(path)
    if not path.is_file():
        raise UserError(
            f"{path.name} is not a file",
            "it is a folder or a device",
            "Choose the file of the stack itself",
        )
    if path.stat().st_size == 0:
        raise damaged(path, "the file is empty: it holds 0 bytes")


def read_text(path: Path) -> str:
    """Return a small text file's content, as UTF-16, UTF-8 or else Latin-1."""
    what_to_do = "Choose the text file itself: one line per tilt, columns of numbers"
    with reading(path):
        need_file(path)
        if path.stat().st_size > _TEXT_LIMIT:
            raise UserError(
                f"{path.name} is no list of angles, shifts or poses",
                f"it holds {path.stat().st_size} bytes, far more than those take",
                what_to_do,
            )
        data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):  # "Unicode text" of Excel
        with reading(path):
            return data.decode("utf-16")
    if b"\0" in data:
        raise UserError(f"{path.name} cannot be read", "it is not text", what_to_do)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def check_memory(path: Path, count: int, stored: int | None = None) -> None:
    """Raise `UserError` if ``count`` bytes cannot be meant or cannot be held.

    stored: bytes the images take in the file where it may be compressed, or None.
    """
    if stored is not None and count > _LARGEST_COMPRESSION * max(stored, 1):
        raise damaged(
            path,
            f"its header promises {count} bytes of pixels, which the {stored} bytes "
            "of the file cannot hold",
        )
    if count > psutil.virtual_memory().total:
        raise too_large(path)


def to_nm(value: float, unit: str) -> float | None:
    """Return a length in nm, or None if the unit or the value means nothing."""
    factor = _NM.get(_plain(unit))
    length = float(value) * factor if factor else math.nan
    return length if math.isfinite(length) and length > 0 else None


def is_degrees(unit: str) -> bool:
    """Return whether a unit of a file means degrees ("deg", "[deg]", "degrees")."""
    return _plain(unit) in _DEGREES


def is_radians(unit: str) -> bool:
    """Return whether a unit of a file means radians ("rad", "[rad]", "radians")."""
    return _plain(unit) in _RADIANS


def _plain(unit: str) -> str:
    text = unit.replace("\\u00B5", "µ").strip().strip("[]()").replace("_", "")
    # micro sign and Angstrom sign have twins in Unicode
    return text.replace("\u03bc", "\u00b5").replace("\u212b", "\u00c5").strip().lower()


def square_pixel(
    x_nm: float | None, y_nm: float | None
) -> tuple[float | None, str | None]:
    """Return the pixel size in nm, and a sentence if x and y contradict each other."""
    if x_nm is None or y_nm is None:
        return x_nm or y_nm, None
    if abs(x_nm - y_nm) > 0.01 * max(x_nm, y_nm):
        return None, (
            f"The pixels are not square ({x_nm:.6g} nm in x, {y_nm:.6g} nm in y): "
            "the pixel size is taken as unknown."
        )
    return x_nm, None
