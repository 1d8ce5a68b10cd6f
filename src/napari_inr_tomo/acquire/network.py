"""The INR during an acquisition: one short run after the other, each from the last."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from napari_inr_tomo import runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries

LEAST_TILTS = 5
"""Used tilts before the first run."""
KEPT = 2
"""Runs kept; those before are superseded and are removed."""
POLL_S = 0.3


class Network:
    """Starts the next run as soon as the last has ended and there are new tilts.

    Nothing waits: a run that goes on is left alone, and what has come meanwhile is in
    the next one.
    """

    def __init__(self, folder: Path, config: ReconstructionConfig) -> None:
        self.folder, self.config = folder, config
        self.run, self._good = _taken_up(folder)
        self._number = 0
        self._tilts: tuple[str, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether a run goes on."""
        return self._status().active

    def _status(self) -> runs.RunStatus:
        """Return how the newest run stands; one that was deleted is none."""
        try:
            return runs.RunStatus() if self.run is None else self.run.status()
        except UserError:
            return runs.RunStatus()

    def advance(self, series: TiltSeries, tilts: tuple[str, ...]) -> str:
        """Start the next run if it is time; return a sentence about it, or nothing.

        tilts: what the used tilts are made of; a run is due when that has changed.
        """
        if self.busy or tilts == self._tilts or int(series.mask.sum()) < LEAST_TILTS:
            return ""
        said = self._ended()
        self._number += 1
        folder = self.folder / f"inr-{self._number:03d}"
        while folder.exists():
            self._number += 1
            folder = self.folder / f"inr-{self._number:03d}"
        self._tilts = tilts  # not again before something has changed
        try:
            run, how = self._made(folder, series)
            runs.launch(run)
        except UserError as error:
            self.run = None
            return f"{said}The INR could not go on. {error}"
        self.run = run
        self._remove_old()
        count = int(series.mask.sum())
        return f"{said}The INR {how} with {count} tilts in {folder.name}."

    def _made(self, folder: Path, series: TiltSeries) -> tuple[runs.RunFolder, str]:
        """Write the next run; return it, and whether it goes on or begins."""
        if self._good is None:
            return runs.create_run(folder, series, self.config), "begins"
        try:
            made = runs.continue_run(folder, series, self._good, self.config)
            return made, "goes on"
        except UserError as error:  # its settings are others, or its folder is gone
            made = runs.create_run(folder, series, self.config)
            why = f"begins anew ({self._good.path.name} is no start: {error.why})"
            self._good = None
            return made, why

    def _ended(self) -> str:
        """Take note of how the last run ended."""
        if self.run is None:
            return ""
        if self._status().has_result:
            self._good = self.run
            return ""
        return f"The run {self.run.path.name} ended without a result. "

    def _remove_old(self) -> None:
        kept = {self.run.path} if self.run else set()
        if self._good is not None:
            kept.add(self._good.path)
        own = sorted(self.folder.glob("inr-*"))
        for path in own[:-KEPT]:
            if path not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def words(self) -> str:
        """Return a sentence about the newest run, empty where there is none."""
        if self.run is None:
            return ""
        status = self._status()
        name = f"{self.folder.name}/{self.run.path.name}"
        if status.active:
            return f"The run {name} goes on by itself."
        if status.has_result:
            return f"The run {name} has the volume of the INR."
        return f"The run {name} ended without a result."

    def wait(self, ended: Callable[[], bool]) -> None:
        """Wait until no run goes on, or ``ended`` says to stop waiting."""
        while self.busy and not ended():
            time.sleep(POLL_S)


def _taken_up(folder: Path) -> tuple[runs.RunFolder | None, runs.RunFolder | None]:
    """Return the newest run that goes on, and the newest that has a result.

    An acquisition that is taken up again finds those of the command before.
    """
    known = [e for e in runs.list_runs(folder) if not e.problem and e.method == "inr"]

    def newest(right: Callable[[runs.RunStatus], bool]) -> runs.RunFolder | None:
        found = (runs.RunFolder(e.path) for e in known if right(e.status))
        return next(found, None)

    return newest(lambda status: status.active), newest(lambda s: s.has_result)
