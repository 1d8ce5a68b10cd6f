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
START_S = 60.0
"""How long the process may take to show itself."""


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
        folder.state_file.unlink(missing_ok=True)
    process = acquire.start_process(folder, words)
    _children.append(process)
    return folder


_children: list[Any] = []
"""Processes that were started, kept so that they can be waited for."""


def follow(folder: AcquisitionFolder, stop: threading.Event) -> Iterator[News | None]:
    """Yield what is new until the acquisition ends; None, a place to quit at, else."""
    last: State | None = None
    silent_s = 0.0
    while not stop.is_set():
        _children[:] = [child for child in _children if child.poll() is None]
        alive = folder.alive
        state = folder.state()
        if state is not None and state != last:
            yield _news(folder, state, last)
            last = state
        elif last is not None and last.ended:
            return
        elif last is None and not alive and not folder.path.is_dir():
            yield News(_nothing(), problem=f"There is no folder {folder.path}.")
            return
        elif not alive and (last is not None or not _children or silent_s > START_S):
            yield News(last or _nothing(), problem=_last_words(folder))
            return
        else:
            yield None
        stop.wait(POLL_S)
        silent_s += POLL_S


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
