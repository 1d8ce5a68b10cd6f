"""A queue: runs of one series that differ in one setting, done one after another.

A queue folder holds one run folder for every value, ``queue.json`` that names them, and
a lock while a process works through them.  The process is on its own: it outlives
whoever asked for the queue, and one that was killed is taken up again.  A run folder
that is deleted while it waits is passed over.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_inr_tomo import atomic, lock
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.hardware import visible_gpus
from napari_inr_tomo.runs.folder import RunFolder, create_run
from napari_inr_tomo.runs.launching import ENGINE, launch
from napari_inr_tomo.runs.status import RunStatus
from napari_inr_tomo.runs.variations import Variation
from napari_inr_tomo.types import TiltSeries

SCHEMA = 1
POLL_S = 0.3
UNFINISHED = ("created", "interrupted")
"""States of runs that are still to be done."""


@dataclass(frozen=True)
class QueuedRun:
    """One run of a queue: its folder, what is special in it, and how it stands.

    status: None where the folder is gone or damaged; problem: why it was not started.
    """

    path: Path
    label: str
    status: RunStatus | None = None
    problem: str = ""

    @property
    def words(self) -> str:
        """How it stands, in a word."""
        if self.problem:
            return "not started"
        if self.status is None:
            return "deleted"
        return "waiting" if self.status.state == "created" else self.status.state


class QueueFolder:
    """The folder of a queue; raises `UserError` where it is none."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder).absolute()
        try:
            value = json.loads((self.path / "queue.json").read_text(encoding="utf-8"))
            if value["schema"] != SCHEMA:
                raise ValueError(f"its schema is {value['schema']!r}")
            self.key = str(value["key"])
            self._runs = tuple((str(r["name"]), str(r["label"])) for r in value["runs"])
            if any(Path(name).name != name for name, _ in self._runs):
                raise ValueError("a name leads out of it")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"The queue {self.path} cannot be read",
                " ".join(str(error).split()) or type(error).__name__,
                "Give a folder that inr-tomo queue has made",
            ) from None

    @property
    def lock(self) -> Path:
        """Held by the process that works through it."""
        return self.path / "lock"

    @property
    def log(self) -> Path:
        """Output of a process that a window has started."""
        return self.path / "queue.log"

    @property
    def cancel_request(self) -> Path:
        """An empty file asks the process to end; the runs keep their checkpoints."""
        return self.path / "cancel"

    @property
    def alive(self) -> bool:
        """Whether a process works through it."""
        return lock.holder(self.lock) is not None

    def request_cancel(self) -> None:
        """Start no further run, and cancel those that go on."""
        self.cancel_request.touch()

    def runs(self) -> list[QueuedRun]:
        """Return all runs in order, with how they stand."""
        problems = self._problems()
        found = []
        for name, label in self._runs:
            path = self.path / name
            try:
                status = RunFolder(path).status()
            except UserError:
                found.append(QueuedRun(path, label))
                continue
            said = problems.get(name, "") if status.state == "created" else ""
            found.append(QueuedRun(path, label, status, said))
        return found

    def _problems(self) -> dict[str, str]:
        try:
            text = (self.path / "problems.json").read_text(encoding="utf-8")
            return {str(name): str(why) for name, why in json.loads(text).items()}
        except (OSError, ValueError, AttributeError):
            return {}

    def note_problem(self, path: Path, why: str) -> None:
        """Keep why a run was not started."""
        problems = self._problems() | {path.name: why}
        atomic.write_json(self.path / "problems.json", problems)

    def forget_problems(self) -> None:
        """Let every run be tried again."""
        (self.path / "problems.json").unlink(missing_ok=True)


def is_queue(folder: Path) -> bool:
    """Tell whether a folder holds a queue."""
    return (Path(folder) / "queue.json").is_file()


def create_queue(
    folder: Path,
    series: TiltSeries,
    variations: Sequence[Variation],
    source_name: str | None = None,
) -> QueueFolder:
    """Make a queue folder with a run folder for every variation; start nothing.

    Raises `UserError` where the folder exists or a run cannot be made; then it is gone.
    """
    folder = Path(folder).absolute()
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"The queue {folder} cannot be made",
            "it exists already"
            if isinstance(error, FileExistsError)
            else error.strerror or str(error),
            "Choose another folder",
        ) from None
    try:
        runs = []
        for number, variation in enumerate(variations, 1):
            name = f"{number:02d}-{variation.name}"
            create_run(folder / name, series, variation.config, source_name=source_name)
            runs.append({"name": name, "label": variation.label})
        value = {"schema": SCHEMA, "key": variations[0].key, "runs": runs}
        atomic.write_json(folder / "queue.json", value)
    except BaseException:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
        raise
    return QueueFolder(folder)


def default_places(config: ReconstructionConfig) -> int:
    """Return how many runs of a queue go on at once: one per GPU, one on a CPU."""
    alone = config.compute.processes is not None or config.compute.device == "cpu"
    return 1 if alone else max(1, visible_gpus())


def work_through(
    queue: QueueFolder,
    places: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
    module: str | None = None,
) -> Iterator[str]:
    """Do the runs that are not done yet; yield a line for everything that happens.

    places: runs at once; where more than one, each has one process, on a card of its
    own where there are cards.  cancelled: asked again and again; True, like a request
    in the folder, starts no further run and cancels those that go on.  A run that fails
    or cannot be started is said, and the next has its turn.  module: see `launch`.
    Raises `UserError` where another process is at it.
    """
    with lock.FolderLock(queue.lock):
        queue.cancel_request.unlink(missing_ok=True)
        queue.forget_problems()
        cards = _cards() if places > 1 else []
        free = list(range(places))
        going: dict[Path, int] = {}
        asked = False
        tried: set[Path] = set()
        while True:
            over = cancelled() or queue.cancel_request.exists()
            runs = queue.runs()
            for run in runs:  # begun by a process that was killed
                active = run.status is not None and run.status.active
                if active and run.path not in going and free:
                    going[run.path] = free.pop(0)
                    yield f"{run.label}: goes on in {run.path.name}"
            if over and not asked:
                asked = True
                for path in going:
                    RunFolder(path).request("cancel")
            for run in runs:
                if run.path in going and not (run.status and run.status.active):
                    free.append(going.pop(run.path))
                    yield f"{run.label}: {_end(run)}"
            due = [r for r in runs if _due(r) and r.path not in tried]
            while due and free and not over:
                run, place = due.pop(0), free.pop(0)
                tried.add(run.path)
                why = _start(run, place, places, cards, module)
                if why:
                    queue.note_problem(run.path, why)
                    free.insert(0, place)
                    yield f"{run.label}: not started. {why}"
                else:
                    going[run.path] = place
                    yield f"{run.label}: begins in {run.path.name}"
            if not going and (over or not due):
                break
            time.sleep(POLL_S)
        queue.cancel_request.unlink(missing_ok=True)


def _due(run: QueuedRun) -> bool:
    return run.status is not None and run.status.state in UNFINISHED


def _end(run: QueuedRun) -> str:
    if run.status is None:
        return "deleted"
    status = run.status
    parts: list[str] = [status.state]
    if status.loss is not None:
        parts.append(f"loss {status.loss:.4g}")
    if status.holdout is not None:
        parts.append(f"hold-out {status.holdout:.4g}")
    if status.elapsed_s:
        parts.append(f"{status.elapsed_s:.0f} s")
    if status.message and (status.reason or not status.has_result):
        parts.append(status.message)
    return ", ".join(parts)


def _start(
    run: QueuedRun, place: int, places: int, cards: Sequence[str], module: str | None
) -> str:
    """Launch a run; return why it could not be, or nothing."""
    extra = {"CUDA_VISIBLE_DEVICES": cards[place % len(cards)]} if cards else None
    processes = 1 if places > 1 else None
    try:
        launch(RunFolder(run.path), processes, module=module or ENGINE, extra=extra)
    except (UserError, OSError) as error:
        return " ".join(str(error).split())
    return ""


def _cards() -> list[str]:
    """Return the names CUDA has for the cards that may be used."""
    count = visible_gpus()
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return [str(number) for number in range(count)]
    return [name.strip() for name in chosen.split(",")][:count]
