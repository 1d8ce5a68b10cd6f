"""Starting and following an acquisition: its folder is read in a worker thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_inr_tomo.types import TiltSeries, Volume

if TYPE_CHECKING:
    from napari_inr_tomo.acquire import AcquisitionFolder, State

POLL_S = 0.3


@dataclass(frozen=True, eq=False)
class News:
    """What has changed: always the state, series and volume only where they are new."""

    state: State
    series: TiltSeries | None = None
    volume: Volume | None = None
    problem: str = ""
    """Why the process is gone without having said that it ended."""


def begin(
    out: Path, series: TiltSeries | None, options: Sequence[str]
) -> AcquisitionFolder:
    """Start the process that watches (worker thread); return its folder.

    One that was ended is taken up again.
    series: whose preparation is done again with every new tilt, or None.
    """
    from napari_inr_tomo import acquire

    folder = acquire.AcquisitionFolder(out)
    folder.check_for(Path(options[0]))
    words = list(options)
    with folder.prepared():
        if series is not None:
            acquire.Recipe.of(series).save(folder.recipe)
            words += ["--recipe", str(folder.recipe)]
        folder.write_state(acquire.State(watched=str(Path(options[0]).absolute())))
    _children[folder.path] = acquire.start_process(folder, words)
    return folder


_children: dict[Path, Any] = {}
"""The process that was started for a folder, kept so that it can be waited for."""


def _starting(folder: AcquisitionFolder) -> bool:
    """Tell whether our process is there, maybe before it has shown itself."""
    child = _children.get(folder.path)
    return child is not None and child.poll() is None


def follow(folder: AcquisitionFolder, stop: threading.Event) -> Iterator[News | None]:
    """Yield what is new until the acquisition ends; None, a place to quit at, else."""
    last: State | None = None
    while not stop.is_set():
        alive = _starting(folder) or folder.alive
        state = folder.state()
        if state is not None and state != last:
            yield _news(folder, state, last)
            last = state
        elif last is not None and last.ended:
            return
        elif last is None and not alive and not folder.path.is_dir():
            yield News(_nothing(), problem=f"There is no folder {folder.path}.")
            return
        elif not alive:
            yield News(last or _nothing(), problem=_last_words(folder))
            return
        else:
            yield None
        stop.wait(POLL_S)


def _news(folder: AcquisitionFolder, state: State, last: State | None) -> News:
    if state.refresh == (0 if last is None else last.refresh):
        return News(state)
    volume = folder.volume(state.refresh) if state.volume else None
    return News(state, folder.series(state.refresh), volume)


def _nothing() -> State:
    from napari_inr_tomo.acquire import State

    return State()


def _last_words(folder: AcquisitionFolder) -> str:
    try:
        lines = folder.log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"The acquisition ended without a word. {last[:400]}".strip()
