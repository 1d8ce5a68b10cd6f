"""Tilts as they arrive: a folder that fills, or a stack that grows, looked at again.

A file counts once its size and time have stayed the same from one look to the next and
it can be read; until then it is waited for.  One that stays as it is and cannot be read
is named once, and looked at again when it changes, or every time while it may not even
be opened.  A file that gets another name is
the same tilt; one that is taken away after it was read stays a tilt.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angles import Angles, read_angles
from napari_inr_tomo.io.expected import ExpectedAngles
from napari_inr_tomo.io.folder import SINGLE_SUFFIXES, natural_key, read_image
from napari_inr_tomo.io.read import SERIES_SUFFIXES, read_images
from napari_inr_tomo.io.sidecar import angle_files
from napari_inr_tomo.types import FloatArray


@dataclass(frozen=True, eq=False)
class Arrival:
    """One tilt that is there, whole.

    name: of its file, or of the stack with its number.  image: (y, x) in the file's
    intensity units.  angle_deg: degrees.  pixel_size_nm: nm, or None where unknown.
    before: name under which the same file has arrived already, or empty.
    """

    name: str
    image: NDArray[Any]
    angle_deg: float
    pixel_size_nm: float | None = None
    before: str = ""


@dataclass(frozen=True, eq=False)
class Look:
    """What one look found.

    arrived: tilts that are new, or whose file was written anew; waiting: names of files
    that are not whole yet or whose angle is not known yet; problems: sentences, each
    said once; unplaced: those of ``waiting`` that are whole and have no angle.
    """

    arrived: tuple[Arrival, ...] = ()
    waiting: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()


Stamp = tuple[int, int]


@dataclass
class _File:
    stamp: Stamp | None = None
    settled: bool = False
    """It was read, or found unreadable, at this stamp."""
    held: bool = False
    """It may not be opened, at this stamp; that was said."""
    image: NDArray[Any] | None = None
    size_nm: float | None = None
    tilt: float | None = None
    whole: bool = False
    before: str = ""
    """The name it had when it was taken."""


def watch(path: Path, angles: Angles | None = None, pattern: str | None = None) -> Any:
    """Return a `FolderWatch` or a `StackWatch`; ``poll()`` looks once.

    angles: as `given_angles` takes them, in the order in which the tilts arrive.
    pattern: a regular expression whose first group is the angle in the name of a file;
    the same as ``names:REGEX``.  Raises `UserError` where neither can be understood.
    """
    path = Path(path)
    if path.is_dir():
        return FolderWatch(path, ExpectedAngles.of(angles, pattern, in_folder=True))
    if path.suffix.lower() not in SERIES_SUFFIXES:
        raise UserError(
            f"{path.name} cannot be watched",
            "it is neither a folder that exists nor the name of a stack",
            f"Give the folder, or a stack ({' '.join(SERIES_SUFFIXES)})",
        )
    if pattern:
        raise UserError(
            "A pattern cannot be used with a stack",
            f"it is about the names of files, and {path.name} is one file",
            "Give the angles, or a folder with one file a tilt",
        )
    return StackWatch(path, ExpectedAngles.of(angles, None, in_folder=False).in_order)


class FolderWatch:
    """A folder with one file a tilt (.tif .png .mrc .dm3 .dm4 ...).

    The angle is the one that is expected, else it comes from the .mdoc beside the file,
    the file itself, or all names together as `read_folder` takes them; the last needs
    two files at least.  The first tilt says how large the images are: an overview that
    lies there before it, without an angle, does not.
    """

    def __init__(self, folder: Path, expected: ExpectedAngles) -> None:
        self.folder, self._expected = folder, expected
        self._files: dict[str, _File] = {}
        self._shape: tuple[int, ...] | None = None
        self._angles: dict[str, float] = {}

    def poll(self) -> Look:
        """Look once; raises `UserError` where the folder cannot be read."""
        problems: list[str] = []
        present = self._present()
        self._follow_names(present)
        changing = [path.name for path in present if not self._settle(path, problems)]
        ready = [name for name, file in self._files.items() if file.image is not None]
        arrived, unknown = [], []
        for name in sorted(ready, key=natural_key):
            file = self._files[name]
            assert file.image is not None  # noqa: S101 - so it was chosen
            try:
                self._check_shape(name, file.image.shape)
            except UserError as error:  # it came before the first tilt
                file.image, file.whole = None, False
                problems.append(str(error))
                continue
            angle = self._angle(name, file)
            if angle is None:
                unknown.append(name)
                continue
            self._shape = file.image.shape
            self._angles[name] = angle
            arrived.append(Arrival(name, file.image, angle, file.size_nm, file.before))
            file.image, file.before = None, ""
        waiting = (*changing, *unknown)
        return Look(tuple(arrived), waiting, tuple(problems), tuple(unknown))

    def _present(self) -> list[Path]:
        try:
            entries = [entry for entry in os.scandir(self.folder) if entry.is_file()]
        except OSError as error:
            raise UserError(
                f"The folder {self.folder} cannot be looked at",
                error.strerror or str(error),
                "Check that it is there and may be read",
            ) from None
        found = [
            Path(entry.path)
            for entry in entries
            if Path(entry.name).suffix.lower() in SINGLE_SUFFIXES
            and not entry.name.startswith(".")
        ]
        kinds = {path.suffix.lower() for path in found}
        if ".emi" in kinds:
            found = [path for path in found if path.suffix.lower() != ".ser"]
        return sorted(found, key=lambda path: natural_key(path.name))

    def _follow_names(self, present: list[Path]) -> None:
        """Recognise renamed files by size and time, and forget those never taken."""
        here = {path.name for path in present}
        gone = [name for name in self._files if name not in here]
        for path in present:
            stamp = None if path.name in self._files else _stamp(path)
            old = next((n for n in gone if stamp and self._files[n].stamp == stamp), "")
            if not old:
                continue
            gone.remove(old)
            file = self._files[path.name] = self._files.pop(old)
            file.settled = False  # read again: its angle may be another one
            if old in self._angles:
                angle, file.before = self._angles.pop(old), old
                if self._expected.in_order is not None:
                    self._angles[path.name] = angle
        for name in gone:
            if name not in self._angles:
                del self._files[name]

    def _settle(self, path: Path, problems: list[str]) -> bool:
        """Read a file that has stopped changing; False while it is waited for."""
        file = self._files.setdefault(path.name, _File())
        stamp = _stamp(path)
        if stamp is None or stamp != file.stamp or stamp[0] == 0:
            file.stamp, file.settled, file.held = stamp, False, False
            return False
        if file.settled:
            return True
        try:
            image, file.size_nm, file.tilt = read_image(path)
            if _stamp(path) != stamp:
                return False
            self._check_shape(path.name, image.shape)
        except UserError as error:
            if _held(error):
                problems += [str(error)] * (not file.held)
                file.held = True
                return False
            file.settled, file.whole = True, False
            problems.append(str(error))
            return True
        file.settled = file.whole = True
        file.image = np.array(image)
        return True

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if self._shape is not None and shape != self._shape:
            raise UserError(
                f"{name} is left out",
                f"it has {shape[1]} x {shape[0]} pixels and the first tilt "
                f"{self._shape[1]} x {self._shape[0]}",
                "Keep the images of one tilt series in the folder",
            )

    def _angle(self, name: str, file: _File) -> float | None:
        if name in self._angles:  # the same tilt, taken again
            return self._angles[name]
        given = self._expected.in_order
        if given is not None:
            count = len(self._angles)
            return float(given[count]) if count < len(given) else None
        beside = self.folder / f"{name}.mdoc"
        if beside.is_file() and not self._expected.only_names:
            try:
                return float(read_angles(beside)[0])
            except (UserError, IndexError):
                return None  # it may be written just now
        if file.tilt is not None and not self._expected.only_names:
            return file.tilt
        names = [other for other, known in self._files.items() if known.whole]
        return self._expected.in_name(name, names)


class StackWatch:
    """A stack that grows: the rows after those already taken are new.

    Angles are those given, in the file, or in the side-car beside it; a side-car that
    is behind is waited for, one that is ahead is used as far as there are images.
    """

    def __init__(self, path: Path, angles_deg: FloatArray | None = None) -> None:
        self.path, self._given = path, angles_deg
        self._file = _File()
        self._taken = 0
        self._said = ""

    def poll(self) -> Look:
        """Look once; the stack need not be there yet."""
        stamp = _stamp(self.path)
        name = self.path.name
        if stamp is None or stamp != self._file.stamp or stamp[0] == 0:
            self._file = replace(self._file, stamp=stamp, settled=False)
            return Look(waiting=(name,))
        if self._file.settled:
            return Look()
        try:
            images, angles, size_nm = self._read()
        except UserError as error:
            self._file.settled = not _held(error)
            said, self._said = self._said, str(error)
            waiting = (name,) if _held(error) else ()
            return Look((), waiting, () if said == str(error) else (str(error),))
        if _stamp(self.path) != stamp:
            return Look(waiting=(name,))
        known = min(len(images), 0 if angles is None else len(angles))
        self._file.settled = known == len(images)
        arrived = []
        for row in range(self._taken, known):
            assert angles is not None  # noqa: S101 - known counts them
            angle = float(angles[row])
            arrived.append(
                Arrival(f"{name}[{row}]", np.array(images[row]), angle, size_nm)
            )
        self._taken = max(self._taken, known)
        missing = tuple(f"{name}[{row}]" for row in range(known, len(images)))
        return Look(tuple(arrived), missing, unplaced=missing)

    def _read(self) -> tuple[Any, FloatArray | None, float | None]:
        try:
            stack = read_images(self.path)
        except UserError as error:
            if self.path.suffix.lower() not in SINGLE_SUFFIXES:
                raise
            try:  # the first image of what is going to be a stack
                image, size_nm, tilt = read_image(self.path)
            except UserError:
                raise error from error.__cause__
            own = None if tilt is None else np.array([tilt])
            return image[None], self._angles_beside(own), size_nm
        return (
            stack.images,
            self._angles_beside(stack.angles_deg),
            stack.pixel_size_nm,
        )

    def _angles_beside(self, own: FloatArray | None) -> FloatArray | None:
        if self._given is not None:
            return self._given
        if own is not None:
            return own
        for file in angle_files(self.path):
            try:
                return read_angles(file)
            except UserError:
                continue
        return None


def _held(error: UserError) -> bool:
    """Tell whether a file may not be opened: its writer may have it to itself still."""
    return isinstance(error.__cause__, PermissionError)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
