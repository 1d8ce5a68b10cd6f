"""Following a run folder: merging, ends, nothing lost."""

from __future__ import annotations

import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo import events, io, runs
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.types import Poses, TiltSeries, Volume
from napari_inr_tomo.ui import live
from napari_inr_tomo.ui.record import RunRecord


@pytest.fixture
def run(tmp_path: Path, small_series: TiltSeries) -> runs.RunFolder:
    config = ReconstructionConfig.from_preset("preview", method="sirt")
    return runs.create_run(tmp_path / "run", small_series, config)


def started(run: runs.RunFolder, **more: Any) -> events.Started:
    _, rows, columns = run.spec.shape
    values: dict[str, Any] = {
        "method": "sirt",
        "ranks": 1,
        "device": "cpu",
        "pid": 1,
        "tilts": len(run.spec.angles_deg),
        "shape_zyx": (rows, rows, columns),
        "total": 9,
    }
    return events.Started(**(values | more))


def epoch(step: int, phase: str = "SIRT", **more: Any) -> events.Epoch:
    return events.Epoch(
        step=step, total=9, phase=phase, loss=1 / step, elapsed_s=step, **more
    )


def write(run: runs.RunFolder, *said: events.Event) -> None:
    with closing(EventWriter(run.paths.events)) as writer:
        for event in said:
            writer.write(event)


def collect(run: runs.RunFolder, live_on: bool = True) -> list[live.LiveUpdate]:
    flag, stop = threading.Event(), threading.Event()
    if live_on:
        flag.set()
    return [u for u in live.follow(run, flag, stop) if u is not None]


def finish(run: runs.RunFolder) -> np.ndarray:
    volume = np.random.default_rng(0).random((24, 24, 28), np.float32)
    io.write_volume(run.paths.result_volume, Volume(volume, 2.0))
    count = len(run.spec.original_angles_deg)
    poses = Poses.from_axis(count, 3.0)
    io.write_poses(
        run.paths.result_poses, run.spec.original_angles_deg, poses, np.ones(count)
    )
    run.paths.complete.write_text('{"sha256": {}}')
    return volume


def test_all_losses_arrive_and_only_the_newest_volume(run: runs.RunFolder) -> None:
    np.save(run.paths.preview_volume, np.full((4, 5, 6), 7, np.float32))
    preview = events.Preview(
        step=1, file="previews/volume.npy", shape_zyx=(4, 5, 6), voxel_px=2
    )
    losses = [epoch(step) for step in range(1, 6)]
    write(run, started(run), *losses, preview, preview, events.Cancelled(step=5))
    updates = collect(run)
    assert [e.step for u in updates for e in u.epochs] == [1, 2, 3, 4, 5]
    assert sum(u.preview is not None for u in updates) == 1
    assert isinstance(updates[-1].end, events.Cancelled)


def test_no_volumes_are_read_while_live_updates_are_off(run: runs.RunFolder) -> None:
    np.save(run.paths.preview_volume, np.zeros((4, 5, 6), np.float32))
    preview = events.Preview(
        step=1, file="previews/volume.npy", shape_zyx=(4, 5, 6), voxel_px=2
    )
    write(run, started(run), preview, epoch(1), events.Cancelled(step=1))
    updates = collect(run, live_on=False)
    assert all(u.preview is None for u in updates)
    assert [e.step for u in updates for e in u.epochs] == [1]


def test_a_preview_that_is_gone_is_no_error(run: runs.RunFolder) -> None:
    preview = events.Preview(
        step=1, file="previews/none.npy", shape_zyx=(4, 5, 6), voxel_px=2
    )
    write(run, started(run), preview, events.Cancelled(step=1))
    assert collect(run)[-1].preview is None


def test_the_end_brings_result_and_poses(run: runs.RunFolder) -> None:
    volume = finish(run)
    write(run, started(run), epoch(9), events.Finished(step=9, elapsed_s=1.0))
    last = collect(run)[-1]
    assert np.array_equal(last.result.data, volume)
    assert last.result.voxel_nm == pytest.approx(2.0)
    assert last.poses["z3_deg"] == pytest.approx(np.full(len(last.poses), 3.0))


def test_an_end_without_its_result_is_a_failure_in_words(run: runs.RunFolder) -> None:
    write(run, started(run), events.Finished(step=9, elapsed_s=1.0))
    end = collect(run)[-1].end
    assert isinstance(end, events.Failed)
    assert "no result" in end.what


def test_a_run_that_died_silently_is_noticed(
    run: runs.RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STATUS_S", 0.0)
    write(run, started(run), epoch(1))
    end = collect(run)[-1].end
    assert isinstance(end, events.Failed)
    assert "Resume" in end.do


def test_the_end_before_a_resume_is_no_end(run: runs.RunFolder) -> None:
    write(run, started(run), events.Cancelled(step=1))
    with FolderLock(run.paths.lock):  # the workers of the resumed run
        following = live.follow(run, threading.Event(), threading.Event())
        assert next(following).end is None
        write(run, started(run, resumed_at=1), events.Cancelled(step=2))
        update = next(u for u in following if u is not None)
    assert update.end.step == 2


def test_a_folder_that_has_gone_is_the_end(
    run: runs.RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STATUS_S", 0.0)
    write(run, started(run), epoch(1))
    with FolderLock(run.paths.lock):
        following = live.follow(run, threading.Event(), threading.Event())
        assert next(following).end is None
        shutil.rmtree(run.path)
        end = [update for update in following if update is not None][-1].end
    assert isinstance(end, events.Failed)
    assert "is not there any more" in end.what


def test_a_torn_last_line_waits(run: runs.RunFolder) -> None:
    write(run, started(run), epoch(1))
    flag, stop = threading.Event(), threading.Event()
    following = live.follow(run, flag, stop)
    assert [e.step for e in next(following).epochs] == [1]
    line = events.encode(events.Cancelled(step=1, seq=2))
    with open(run.paths.events, "ab") as handle:
        handle.write(line[:9])
    assert next(following) is None
    with open(run.paths.events, "ab") as handle:
        handle.write(line[9:])
    assert isinstance(next(following).end, events.Cancelled)


def test_stop_ends_the_following(run: runs.RunFolder) -> None:
    write(run, started(run), epoch(1))
    stop = threading.Event()
    following = live.follow(run, threading.Event(), stop)
    next(following)
    stop.set()
    assert list(following) == []


def record_of(*updates: live.LiveUpdate) -> RunRecord:
    record = RunRecord()
    for update in updates:
        record.take(update)
    return record


def test_record_keeps_one_curve_a_phase_and_parts_of_an_epoch() -> None:
    said = [epoch(1, "start"), epoch(2, "start")]
    rays = [epoch(1, "rays", position=0.5), epoch(1, "rays", position=1.0)]
    record = record_of(
        live.LiveUpdate(epochs=said),
        live.LiveUpdate(phase="rays"),
        live.LiveUpdate(epochs=[*rays, epoch(2, "rays", holdout=0.3)]),
    )
    assert record.curves["start"].steps == [1, 2]
    assert record.curves["rays"].steps == [0.5, 1.0, 2]
    assert record.curves["rays"].holdouts[-1] == 0.3
    assert np.isnan(record.curves["rays"].holdouts[0])
    assert record.share == pytest.approx(2 / 9)


def test_record_cuts_the_curve_back_where_a_run_resumes(run: runs.RunFolder) -> None:
    record = record_of(
        live.LiveUpdate(started=started(run), epochs=[epoch(s) for s in (1, 2, 3)]),
        live.LiveUpdate(started=started(run, resumed_at=2), epochs=[epoch(3)]),
    )
    assert record.curves["SIRT"].steps == [1, 2, 3]


def test_a_folder_of_a_resumed_run_tells_the_same_as_who_followed_it(
    run: runs.RunFolder,
) -> None:
    """Opened later, all starts are read at once."""
    first = [epoch(step) for step in (1, 2, 3, 4, 5)]
    stopped = events.Finished(step=5, elapsed_s=6.0, stopped=True)
    again = [epoch(step) for step in (4, 5, 6, 7)]
    write(run, started(run), *first, stopped, started(run, resumed_at=3), *again)
    write(run, events.Finished(step=7, elapsed_s=9.0))
    finish(run)
    record = record_of(*collect(run))
    assert record.curves["SIRT"].steps == [1, 2, 3, 4, 5, 6, 7]
    assert record.time_words == "Ran for 15 s"
    assert record.elapsed_s == run.status().elapsed_s
    assert record.finished_all


def test_a_resumed_network_keeps_the_curve_of_its_start(run: runs.RunFolder) -> None:
    inr = {"method": "inr", "total": 300}
    start = [epoch(step, "classical start") for step in (1, 50, 100)]
    rays = [epoch(step, "rays") for step in (1, 2, 3)]
    record = record_of(
        live.LiveUpdate(started=started(run, **inr), epochs=start),
        live.LiveUpdate(phase="rays"),
    )
    assert (record.total, record.share) == (300, 0)
    record.take(live.LiveUpdate(epochs=rays))
    record.take(live.LiveUpdate(started=started(run, resumed_at=2, **inr)))
    assert record.curves["classical start"].steps == [1, 50, 100]
    assert record.curves["rays"].steps == [1, 2]


def test_the_time_of_all_starts_counts(run: runs.RunFolder) -> None:
    earlier = epoch(3).model_copy(update={"elapsed_s": 50.0})
    first = live.LiveUpdate(started=started(run), epochs=[earlier])
    record = record_of(first, live.LiveUpdate(started=started(run)))
    now = epoch(4).model_copy(update={"elapsed_s": 5.0, "eta_s": 8.0})
    record.take(live.LiveUpdate(epochs=[now]))
    assert record.time_words == "Running for 55 s, about 8 s left"
    end = events.Finished(step=9, elapsed_s=20.0)
    record.take(live.LiveUpdate(end=end))
    assert record.time_words == "Ran for 1 min 10 s"


def test_what_is_left_of_a_first_step_is_not_said_of_the_run(
    run: runs.RunFolder,
) -> None:
    begin = started(run).model_copy(update={"method": "inr"})
    record = record_of(live.LiveUpdate(started=begin))
    record.take(live.LiveUpdate(epochs=[epoch(1, "classical start", eta_s=4.0)]))
    assert record.time_words.endswith("about 4 s left of this step")
    record.take(live.LiveUpdate(epochs=[epoch(1, "rays", eta_s=4.0)]))
    assert record.time_words.endswith("about 4 s left")


def test_pose_table_reads_an_empty_residual_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "poses.csv"
    io.write_poses(path, [-3.0, 0, 4], Poses.from_axis(3, 2.0), [1, 0, 1])
    table = live.read_pose_table(path)
    assert np.isnan(table["residual"]).all()
    assert table["used"].tolist() == [True, False, True]
    assert table["z1_deg"].tolist() == [-2.0] * 3


def claims(path: Path, shape: tuple[int, ...]) -> None:
    """A .npy file whose header claims this shape, with 64 bytes behind it."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with open(path, "wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        handle.write(bytes(64))


@pytest.mark.scenario(13, 35)
@pytest.mark.parametrize(
    "shape",
    [(1 << 20, 1 << 20, 1 << 10), (1 << 12, 1 << 10, 1 << 10), (16,)],
)
def test_a_preview_that_claims_too_much_is_told_and_followed_past(
    run: runs.RunFolder, shape: tuple[int, ...]
) -> None:
    """It is told once, no memory is taken, and the losses still come."""
    import tracemalloc

    run.paths.make_folders()
    claims(run.paths.preview_volume, shape)
    file = "previews/volume.npy"
    preview = events.Preview(step=1, file=file, shape_zyx=(4, 4, 4), voxel_px=1.0)
    told: set[str] = set()
    tracemalloc.start()
    first = live.merge(run.path, [epoch(1), preview], told)
    second = live.merge(run.path, [epoch(2), preview], told)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first.preview is None
    assert [warning.what for warning in first.warnings] == [
        "previews/volume.npy of this run cannot be shown"
    ]
    assert second.warnings == []
    assert (len(first.epochs), len(second.epochs)) == (1, 1)
    assert most < 5_000_000


@pytest.mark.scenario(35)
def test_a_file_without_memory_for_it_is_told(
    run: runs.RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise MemoryError

    monkeypatch.setattr(live, "read_slices", full)
    slices = events.Slices(step=1, name="x", file="previews/slices.npz")
    update = live.merge(run.path, [slices])
    assert update.slices is None
    assert "claims more than the memory holds" in update.warnings[0].why
