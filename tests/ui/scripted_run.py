"""A run whose worker does as a test says, and a dock that follows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo import events, io, planes, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.types import Poses, TiltSeries, Volume
from napari_inr_tomo.ui.run_control import RunState

LONG_MS = 60_000


class Worker:
    """A worker that does as it is told: the test writes its events and files."""

    def __init__(self, folder: Path, series: TiltSeries) -> None:
        from napari_inr_tomo.lock import FolderLock

        if not (folder / "run.json").exists():
            config = ReconstructionConfig.from_preset("preview")
            runs.create_run(folder, series, config)
        self.run = runs.RunFolder(folder)
        self.series = series
        self.count = len(series)
        self.writer = EventWriter(self.run.paths.events)
        self.lock = FolderLock(self.run.paths.lock)
        self.lock.__enter__()
        _, rows, columns = series.images.shape
        self.shape = (rows, rows, columns)
        self.say(
            events.Started(
                method="inr",
                ranks=1,
                device="cpu",
                pid=1,
                tilts=self.count,
                shape_zyx=self.shape,
                voxel_nm=1.0,
                total=10,
            )
        )
        self.say(events.Phase(name="rays"))

    def say(self, event: events.Event) -> None:
        self.writer.write(event)

    def epoch(self, step: int) -> None:
        self.say(
            events.Epoch(
                step=step,
                total=10,
                phase="rays",
                loss=1 / step,
                holdout=1.5 / step,
                elapsed_s=step,
                eta_s=75.0,
            )
        )

    def answer(self, epoch: int, value: float) -> list[planes.Plane]:
        """Answer the request for slices that waits; every sample is ``value``."""
        request = planes.SliceRequest.take(self.run.paths.slice_request)
        assert request is not None
        images = [np.full(p.shape, value, np.float32) for p in request.planes]
        planes.write_slices(self.run.paths.preview_slices, images)
        self.say(
            events.Slices(step=epoch, name=request.name, file="previews/slices.npz")
        )
        return list(request.planes)

    def answer_until(
        self, qtbot: Any, done: Callable[[], bool], epoch: int, value: float
    ) -> list[planes.Plane]:
        """Answer every request, as a run does, until it is done; return the last.

        The window asks again where something else changed while it waited.
        """
        last: list[planes.Plane] = []

        def look() -> bool:
            if self.run.paths.slice_request.exists():
                last[:] = self.answer(epoch, value)
            return done()

        qtbot.waitUntil(look, timeout=LONG_MS)
        return last

    def poses(
        self,
        axis_deg: float,
        residual: np.ndarray | None = None,
        found: Poses | None = None,
    ) -> None:
        if residual is None:
            residual = np.full(self.count, 0.5)
        if found is None:
            found = Poses.from_axis(self.count, axis_deg, 1.0, -2.0)
        io.write_poses(
            self.run.paths.preview_poses,
            self.series.angles_deg,
            found,
            self.series.mask,
            residual=residual,
        )
        self.say(events.PosesUpdated(step=1, file="previews/poses.csv"))

    def preview(self, value: float, shape: tuple[int, int, int]) -> None:
        data = np.linspace(0, value, int(np.prod(shape)), dtype=np.float32)
        np.save(self.run.paths.preview_volume, data.reshape(shape))
        self.preview_done(shape)

    def preview_done(self, shape: tuple[int, int, int]) -> None:
        zoom = self.shape[0] / shape[0]
        self.say(
            events.Preview(
                step=1, file="previews/volume.npy", shape_zyx=shape, voxel_px=zoom
            )
        )

    def finish(self, stopped: bool = False) -> None:
        volume = Volume(np.ones(self.shape, np.float32), 1.0)
        io.write_volume(self.run.paths.result_volume, volume)
        paths = self.run.paths
        io.write_poses(
            paths.result_poses,
            self.series.angles_deg,
            Poses.from_axis(self.count, 5.0),
            self.series.mask,
        )
        paths.record.write_text("{}")
        paths.complete.write_text('{"sha256": {}}')
        self.say(events.Finished(step=10, elapsed_s=12.0, stopped=stopped))
        self.end()

    def end(self) -> None:
        self.writer.close()
        self.lock.__exit__(None, None, None)


def follow(open_dock: Any, qtbot: Any, worker: Worker, kind: type) -> Any:
    panel, session = open_dock(kind).panel, open_dock.session
    session.run.open(worker.run.path)
    qtbot.waitUntil(lambda: session.run.state is RunState.RUNNING, timeout=LONG_MS)
    return panel
