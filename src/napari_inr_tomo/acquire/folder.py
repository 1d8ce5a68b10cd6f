"""The acquisition folder: what one process writes and windows and terminals read.

``state.json`` says how it stands and is replaced atomically after every change; big
things are files that it names with a number, so a reader never mixes two states.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from napari_inr_tomo import atomic, lock
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import other_files
from napari_inr_tomo.npz import read_npz
from napari_inr_tomo.types import Poses, Step, TiltSeries, Volume

SCHEMA = 1
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile)


@dataclass(frozen=True)
class TiltState:
    """One tilt of the list: file, angle, shift against its neighbour, what to know."""

    name: str
    angle_deg: float
    dx_px: float = 0.0
    dy_px: float = 0.0
    used: bool = True
    note: str = ""


@dataclass(frozen=True)
class State:
    """How an acquisition stands.

    tilts: in the order of arrival.  waiting: files that are not whole yet, or whose
    angle is unknown.  problems: sentences.  refresh: number of the series and the
    volume that are in the folder, 0 for none.  volume: whether there is one.
    run: name of the newest INR run in the folder ``runs``, or empty.  ended: the last
    tilt has come, or it was stopped.  message: one sentence.
    """

    watched: str = ""
    tilts: tuple[TiltState, ...] = ()
    waiting: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    refresh: int = 0
    volume: bool = False
    run: str = ""
    ended: bool = False
    message: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> State:
        """Build it; raises KeyError, TypeError or ValueError."""
        if value["schema"] != SCHEMA:
            raise ValueError(f"its schema is {value['schema']!r}")
        fields = {name: value[name] for name in vars(cls())}
        fields["tilts"] = tuple(TiltState(**tilt) for tilt in value["tilts"])
        for name in ("waiting", "problems"):
            fields[name] = tuple(str(text) for text in value[name])
        return cls(**fields)


class AcquisitionFolder:
    """The files of one acquisition; reading never raises on what is just replaced."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder).absolute()

    @property
    def state_file(self) -> Path:
        """How it stands."""
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        """Held by the process that watches."""
        return self.path / "lock"

    @property
    def stop_request(self) -> Path:
        """An empty file asks the process to end."""
        return self.path / "stop"

    @property
    def recipe(self) -> Path:
        """The recipe a window has written, see `Recipe.save`."""
        return self.path / "recipe.json"

    @property
    def log(self) -> Path:
        """Output of a process that a window has started."""
        return self.path / "acquire.log"

    @property
    def runs(self) -> Path:
        """Folder of the INR runs."""
        return self.path / "runs"

    @property
    def stack(self) -> Path:
        """The aligned series, written at the end."""
        return self.path / "series.mrc"

    def quick(self, refresh: int) -> Path:
        """Return the quick volume of a state, (z, y, x) .npz."""
        return self.path / f"volume-{refresh:05d}.npz"

    def images(self, refresh: int) -> Path:
        """Return the series of a state, .npz."""
        return self.path / f"series-{refresh:05d}.npz"

    @property
    def alive(self) -> bool:
        """Whether a process watches."""
        return lock.holder(self.lock) is not None

    def check_for(self, watched: Path) -> None:
        """Raise `UserError` where it holds, or would write into, something else."""
        taken = {self.path.resolve(), self.stack.resolve()}
        if Path(watched).resolve() in taken:
            raise UserError(
                f"The results cannot be written to {self.path}",
                "that is what is watched, and they would be taken for tilts",
                "Choose another folder for the results",
            )
        state = self.state()
        others = other_files(self.stack)
        if others or (state is None and self.stack.exists()):
            raise UserError(
                f"The folder {self.path} holds another tilt series",
                f"{', '.join(others) or self.stack.name} in it would be replaced",
                "Choose another folder for the results",
            )
        if state is not None and not _same(state.watched, Path(watched)):
            raise UserError(
                f"The folder {self.path} holds another acquisition",
                f"that of {state.watched}",
                "Choose another folder for the results",
            )

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Make the folder for a process that is to watch, no stop asked for.

        Within it an ``OSError`` becomes a `UserError` about the folder; another is
        raised where another process watches into it.
        """
        if self.alive:
            raise UserError(
                f"The folder {self.path} is in use",
                "another acquisition writes to it",
                "Stop that one, or choose another folder",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.stop_request.unlink(missing_ok=True)
            yield
        except OSError as error:
            a_file = isinstance(error, FileExistsError | NotADirectoryError)
            raise UserError(
                f"The folder {self.path} cannot be written",
                "there is a file of that name"
                if a_file
                else error.strerror or str(error),
                "Choose another folder for the results",
            ) from None

    def request_stop(self) -> None:
        """Ask the process to end; what is there is kept."""
        self.stop_request.touch()

    def state(self) -> State | None:
        """Return how it stands, None where nothing readable is there."""
        try:
            text = self.state_file.read_text(encoding="utf-8")
            return State.from_json(json.loads(text))
        except _UNREADABLE:
            return None

    def write_state(self, state: State) -> None:
        """Write how it stands."""
        value = {"schema": SCHEMA} | asdict(replace(state))
        atomic.write_json(self.state_file, value)

    def write_series(self, refresh: int, series: TiltSeries) -> None:
        """Write the series of a state."""
        about = {
            "pixel_size_nm": series.pixel_size_nm,
            "name": series.name,
            "angle_source": series.angle_source,
            "history": [step.to_json() for step in series.history],
            "notices": list(series.notices),
        }
        arrays: dict[str, np.ndarray] = {
            "images": series.images,
            "angles_deg": series.angles_deg,
            "poses": series.start_poses.as_array(),
            "used": series.mask,
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        }
        if series.valid is not None:
            arrays["valid"] = series.valid
        _write(self.images(refresh), arrays)

    def series(self, refresh: int) -> TiltSeries | None:
        """Return the series of a state, None where another has taken its place."""
        try:
            arrays = read_npz(self.images(refresh))
            about = json.loads(arrays["about"].tobytes())
            history = tuple(Step.from_json(step) for step in about.pop("history"))
            return TiltSeries(
                arrays["images"],
                arrays["angles_deg"],
                Poses.from_array(arrays["poses"]),
                arrays["used"],
                arrays.get("valid"),
                history=history,
                notices=tuple(about.pop("notices")),
                **about,
            )
        except (*_UNREADABLE, UserError):
            return None

    def write_volume(self, refresh: int, volume: Volume) -> None:
        """Write the quick volume of a state."""
        size = np.array(volume.voxel_nm or np.nan)
        _write(self.quick(refresh), {"data": volume.data, "voxel_nm": size})

    def volume(self, refresh: int) -> Volume | None:
        """Return the quick volume of a state, None where another took its place."""
        try:
            arrays = read_npz(self.quick(refresh))
            data, size = arrays["data"], float(arrays["voxel_nm"])
            return Volume(data, size if size > 0 else None, "quick volume")
        except (*_UNREADABLE, UserError):
            return None

    def tidy(self, refresh: int) -> None:
        """Remove the series and volumes that are not of the last two states.

        An acquisition that is taken up again counts anew, below those of before.
        """
        for pattern, kept in (
            ("series-*.npz", self.images),
            ("volume-*.npz", self.quick),
        ):
            for path in self.path.glob(pattern):
                if path not in (kept(refresh - 1), kept(refresh)):
                    atomic.removed(path)  # or the next time, where it is read just now


def _same(name: str, path: Path) -> bool:
    """Tell whether a name that was kept is this path; Windows takes any case for it."""
    return os.path.normcase(name) == os.path.normcase(path.absolute())


def _write(path: Path, arrays: Mapping[str, Any]) -> None:
    with atomic.replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)
