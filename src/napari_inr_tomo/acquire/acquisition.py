"""The work of an acquisition: take in what has come, and bring all up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from napari_inr_tomo import io
from napari_inr_tomo.acquire.folder import AcquisitionFolder, State, TiltState
from napari_inr_tomo.acquire.network import Network
from napari_inr_tomo.acquire.quick import QuickMethod, quick_volume
from napari_inr_tomo.acquire.recipe import Recipe
from napari_inr_tomo.align import align_new_tilts
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.arrivals import Arrival, Look
from napari_inr_tomo.io.stack import ImageStack, clean_pixels
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.types import FloatArray, Poses, TiltSeries

_LEAST_TILTS = 2
_MOST_PROBLEMS = 50
_LOOK_THERE = "Check that it is the right folder, or leave out --once to wait"


@dataclass(frozen=True)
class Settings:
    """What is watched and what is done.

    watched: a folder with one file a tilt, or a stack that grows.  angles, pattern: see
    `napari_inr_tomo.io.watch`.  quick: method of the quick volume; none: no volume.
    inr: settings of the INR that goes on with every tilt; none: no INR.
    most: so many tilts are taken and no more; none: all.
    """

    watched: Path
    angles: str | None = None
    pattern: str | None = None
    recipe: Recipe = field(default_factory=Recipe)
    quick: QuickMethod | None = "sirt"
    inr: ReconstructionConfig | None = None
    most: int | None = None


@dataclass(eq=False)
class _Tilt:
    reduced: TiltSeries
    """The one image after the steps that are done once a tilt."""
    angle_deg: float
    pose: FloatArray | None = None
    correlation: float = np.nan
    note: str = ""


class Acquisition:
    """The tilts so far and everything that follows from them."""

    def __init__(self, settings: Settings, folder: AcquisitionFolder) -> None:
        self.settings, self.folder = settings, folder
        self._watch = io.watch(settings.watched, settings.angles, settings.pattern)
        self._tilts: dict[str, _Tilt] = {}
        self._network: Network | None = None
        if settings.inr is not None:
            self._network = Network(folder.runs, settings.inr)
        problems = settings.recipe.left_out
        watched = str(settings.watched.absolute())
        self.state = State(watched=watched, problems=problems)
        self.series: TiltSeries | None = None
        self._lost = ""
        self._unplaced: tuple[str, ...] = ()
        self._without = ""
        """The sentence about tilts without an angle that holds now."""
        self._too_many: list[str] = []
        self._due: list[str] = []
        """Tilts that were taken and are not in the series of the folder yet."""

    def __len__(self) -> int:
        return len(self._tilts)

    @property
    def full(self) -> bool:
        """Whether as many tilts are there as were asked for."""
        return self.settings.most is not None and len(self) >= self.settings.most

    def step(self) -> list[str]:
        """Look once and do what is due; return a line for everything that is new."""
        look = self._look()
        lines = list(look.problems)
        self._due += [
            name for arrival in look.arrived if (name := self._take(arrival, lines))
        ]
        kept = [text for text in self.state.problems if text != self._without]
        said = self._see_unplaced(look.unplaced)
        now = [self._without] if self._without else []
        changed = (*kept, *lines, *now)[-_MOST_PROBLEMS:]
        lines += said
        self.state = replace(self.state, waiting=look.waiting, problems=changed)
        if self._due:
            lines += self._refresh(self._due)
            self._due = []
        if self._network is not None and self.series is not None:
            lines += filter(None, [self._network.advance(self.series, self._used())])
            run = self._network.run
            self.state = replace(self.state, run="" if run is None else run.path.name)
        self.folder.write_state(self.state)
        return lines

    def _see_unplaced(self, names: tuple[str, ...]) -> list[str]:
        """Take note of tilts without an angle; return a line where that is news.

        What tells the angle may come after the image, so it is news at a second look.
        A first name alone is never plain, and another one is waited for.
        """
        before, self._unplaced = self._unplaced, names
        told = self.settings.angles or self.settings.pattern or len(self)
        late = [name for name in names if name in before]
        known, self._without = self._without, ""
        if late and (told or len(late) > 1):
            self._without = _without_angle(self.settings, self._unplaced)
        return [self._without] if self._without and not known else []

    def _look(self) -> Look:
        """Look once; what is watched may vanish for a while and come back."""
        name = self.settings.watched.name
        lost = self._lost
        try:
            look: Look = self._watch.poll()
        except UserError as error:
            self._lost = str(error)
            return Look((), (name,), () if lost == self._lost else (self._lost,))
        self._lost = ""
        if lost:
            back = f"{name} can be looked at again."
            look = replace(look, problems=(back, *look.problems))
        return look

    def _take(self, arrival: Arrival, lines: list[str]) -> str:
        """Keep a tilt after its first steps; return its name, or nothing."""
        known = {arrival.name, arrival.before} & set(self._tilts)
        if self.full and not known:
            self._too_many.append(arrival.name)
            return ""
        stack = clean_pixels(
            ImageStack(
                arrival.image[None],
                name=arrival.name,
                pixel_size_nm=arrival.pixel_size_nm,
            )
        )
        try:
            series = stack.with_angles(np.array([arrival.angle_deg]))
            reduced = self.settings.recipe.reduced(series)
        except UserError as error:
            lines.append(f"{arrival.name} is left out. {error}")
            return ""
        again = arrival.name in self._tilts
        note = "taken again" if again else ""
        if self._tilts.pop(arrival.before, None) is not None:
            note = f"was {arrival.before}"
        for name, other in self._tilts.items():
            if name != arrival.name and other.angle_deg == arrival.angle_deg:
                note = f"same angle as {name}"
        self._tilts[arrival.name] = _Tilt(reduced, arrival.angle_deg, note=note)
        return arrival.name

    def _refresh(self, taken: list[str]) -> list[str]:
        """Bring series and quick volume up to date; return a line a new tilt."""
        lines: list[str] = []
        number = self.state.refresh
        volume = False
        try:
            self.series = self._aligned()
            number += 1
            self.folder.write_series(number, self.series)
            volume = self._show_quick(self.series, number)
        except UserError as error:
            lines.append(str(error))
            volume = self.state.volume and number == self.state.refresh
        tilts = tuple(self._told(name) for name in self._tilts)
        problems = (*self.state.problems, *lines)[-_MOST_PROBLEMS:]
        self.state = replace(
            self.state, tilts=tilts, refresh=number, volume=volume, problems=problems
        )
        self.folder.write_state(self.state)
        self.folder.tidy(number)
        told = {tilt.name: _line(tilt, place) for place, tilt in enumerate(tilts, 1)}
        return [*(told[name] for name in taken if name in told), *lines]

    def _order(self) -> list[str]:
        return sorted(self._tilts, key=lambda name: self._tilts[name].angle_deg)

    def _aligned(self) -> TiltSeries:
        """Return all tilts so far, in the order of their angles, at their poses."""
        names = self._order()
        tilts = [self._tilts[name] for name in names]
        recipe = self.settings.recipe
        series = recipe.applied(_joined(tilts, self.settings.watched.stem))
        start = recipe.start_pose()
        rows = [start if tilt.pose is None else tilt.pose for tilt in tilts]
        series = series.evolve(poses=Poses.from_array(rows))
        new = [index for index, tilt in enumerate(tilts) if tilt.pose is None]
        if new and len(series) >= _LEAST_TILTS:
            series, heights = align_new_tilts(series, new)
            for index, height in zip(new, heights, strict=True):
                tilts[index].pose = series.start_poses.as_array()[index]
                tilts[index].correlation = float(height)
        return series

    def _show_quick(self, series: TiltSeries, number: int) -> bool:
        if self.settings.quick is None or series.mask.sum() < _LEAST_TILTS:
            return False
        self.folder.write_volume(number, quick_volume(series, self.settings.quick))
        return True

    def _used(self) -> tuple[str, ...]:
        """Return what the used tilts are made of, to see whether that has changed."""
        assert self.series is not None  # noqa: S101 - asked only then
        pairs = zip(self._order(), self.series.mask, strict=True)
        return tuple(
            f"{name} {id(self._tilts[name].reduced)}" for name, used in pairs if used
        )

    def _told(self, name: str) -> TiltState:
        tilt = self._tilts[name]
        used = True
        if self.series is not None and len(self.series) == len(self._tilts):
            used = bool(self.series.mask[self._order().index(name)])
        pose = np.zeros(4) if tilt.pose is None else tilt.pose
        note = tilt.note if used else "excluded by the recipe"
        return TiltState(
            name, tilt.angle_deg, float(pose[2]), float(pose[3]), used, note
        )

    def nothing_taken(self) -> UserError:
        """Return what there is to say where not one tilt has come."""
        what = f"No tilt was taken from {self.settings.watched}"
        if self._without:
            who, _, how = self._without.partition(": ")
            return UserError(what, who, how[0].upper() + how[1:-1])
        if self.state.problems:
            return UserError(what, self.state.problems[-1].rstrip("."), _LOOK_THERE)
        return UserError(what, "there is no image that is whole", _LOOK_THERE)

    def finish(self, wait: Callable[[], bool] | None = None) -> list[str]:
        """Write the aligned stack and say that it is over.

        wait: wait for the INR to have seen every tilt, until this returns True.
        """
        lines: list[str] = []
        network = self._network
        if network is not None and self.series is not None and wait is not None:
            while not wait():
                network.wait(wait)
                said = network.advance(self.series, self._used())
                if not said:
                    break
                lines.append(said)
                self.state = replace(
                    self.state, run="" if network.run is None else network.run.path.name
                )
                self.folder.write_state(self.state)
        if self._unplaced and not self._without:
            self._without = _without_angle(self.settings, self._unplaced)
            lines.append(self._without)
            problems = (*self.state.problems, self._without)
            self.state = replace(self.state, problems=problems)
        message = f"Ended with {len(self)} tilts."
        if self._too_many:
            message += f" {len(self._too_many)} more are there and were not taken."
        if self.series is not None and self.series.mask.any():
            written = io.write_series(self.folder.stack, self.series, overwrite=True)
            message += f" The aligned series is {written[0]}."
        if network is not None and network.run is not None:
            message += f" {network.words()}"
        self.state = replace(self.state, ended=True, waiting=(), message=message)
        self.folder.write_state(self.state)
        return [*lines, message]


def _without_angle(settings: Settings, names: tuple[str, ...]) -> str:
    """Return the sentence about tilts that are there, but have no angle."""
    kind = "file" if settings.watched.is_dir() else "image"
    who = f"1 {kind} carries" if len(names) == 1 else f"{len(names)} {kind}s carry"
    how = "give the angles (--angles), or where a name has them (--pattern)"
    if settings.angles:
        how = "the angles given have none for it; give those of all tilts"
    if settings.pattern:
        how = "the pattern finds none in its name; correct it"
    return f"{who} no angle, from {names[0]} on: {how}."


def _joined(tilts: list[_Tilt], name: str) -> TiltSeries:
    """Return single images as one series, their poses zero."""
    parts = [tilt.reduced for tilt in tilts]
    first = parts[0]
    valid = None
    if any(part.valid is not None for part in parts):
        valid = np.concatenate(
            [
                np.ones(part.images.shape, bool) if part.valid is None else part.valid
                for part in parts
            ]
        )
    return TiltSeries(
        images=np.concatenate([part.images for part in parts]),
        angles_deg=np.array([tilt.angle_deg for tilt in tilts]),
        used=np.concatenate([part.mask for part in parts]),
        valid=valid,
        pixel_size_nm=first.pixel_size_nm,
        name=name,
        angle_source="as the tilts came",
        history=first.history,
    )


def _line(tilt: TiltState, place: int) -> str:
    """Return what is said of a tilt; place: in the order of arrival, from 1."""
    note = f" ({tilt.note})" if tilt.note else ""
    return (
        f"tilt {place}: {tilt.angle_deg:g} degrees, {tilt.name}, shift "
        f"{tilt.dx_px:+.1f}, {tilt.dy_px:+.1f} px{note}"
    )


def run(
    settings: Settings,
    folder: AcquisitionFolder,
    ended: Callable[[], bool],
    poll_s: float = 1.0,
    tilts: int | None = None,
    once: bool = False,
) -> Iterator[str]:
    """Watch until it is over; yield a line for everything that happens.

    ended: asked again and again; True ends it and leaves the INR to itself.  A request
    in the folder does the same.  tilts: it is over after so many; once: after what is
    there now; both wait for the INR to have seen all of them.
    Raises `UserError` where the folder is in use or holds another acquisition, or where
    what is watched cannot be read.
    """
    folder.check_for(settings.watched)
    with folder.prepared():
        pass

    def over() -> bool:
        return ended() or folder.stop_request.exists()

    with FolderLock(folder.lock):
        acquisition = Acquisition(replace(settings, most=tilts), folder)
        looks, before = 0, list[str]()
        while not over():
            lines = _step(acquisition)
            if lines != before:  # a full disk is said once
                yield from lines
            looks, before = looks + 1, lines
            if once and looks > 1:
                break
            if acquisition.full:
                break
            _pause(poll_s, over)
        stopped = over()
        yield from acquisition.finish(None if stopped else over)
        folder.stop_request.unlink(missing_ok=True)
        if once and not stopped and not len(acquisition):
            raise acquisition.nothing_taken()


def _step(acquisition: Acquisition) -> list[str]:
    """Do a step; a disk that is full now may have room at the next one."""
    try:
        return acquisition.step()
    except OSError as error:
        why = error.strerror or str(error)
        return [f"The folder {acquisition.folder.path} cannot be written: {why}."]


def _pause(seconds: float, over: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not over() and time.monotonic() < until:
        time.sleep(min(0.1, seconds))
