"""Making run folders, reading them, and refusing what cannot work."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo import atomic, lock
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.events import (
    Cancelled,
    Epoch,
    Failed,
    Finished,
    Phase,
    Started,
    Warned,
)
from napari_inr_tomo.journal import EventWriter
from napari_inr_tomo.layout import write_complete, write_record
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.runs import RunFolder, create_run, launch
from napari_inr_tomo.runs import status as status_module
from napari_inr_tomo.types import TiltSeries

CONFIG = ReconstructionConfig.from_preset("preview")
Usage = namedtuple("Usage", "total used free")


def started(total: int = 9) -> Started:
    return Started(
        method="inr",
        ranks=2,
        device="cpu",
        pid=1,
        tilts=6,
        shape_zyx=(9, 9, 13),
        total=total,
    )


def test_a_series_goes_in_and_comes_out(run: RunFolder, series: TiltSeries) -> None:
    back = run.series()
    keep = [0, 1, 2, 4, 5, 6]
    assert np.array_equal(back.images, series.images[keep])
    assert np.array_equal(back.angles_deg, series.angles_deg[keep])
    expected = series.start_poses.take(keep).as_array()
    assert np.array_equal(back.start_poses.as_array(), expected)
    assert back.valid is None
    assert back.pixel_size_nm == 0.7
    assert back.history == series.history
    assert not back.images.flags.writeable
    assert isinstance(back.images.base, np.memmap)
    assert run.spec.tilts.tolist() == keep
    assert run.config.method == "sirt"
    assert run.status().state == "created"
    run.verify_input()
    angles, poses, used = run.poses()
    assert np.array_equal(angles, series.angles_deg)
    assert np.array_equal(poses.as_array(), series.start_poses.as_array())
    assert used.tolist() == series.mask.tolist()


def test_nan_and_masked_pixels_do_not_count(tmp_path: Path, series: TiltSeries) -> None:
    images = series.images.copy()
    images[0, 2, 3], images[5, 8, 12] = np.nan, np.inf
    valid = np.ones(images.shape, bool)
    valid[6, 0, 1] = False
    run = create_run(tmp_path / "r", series.evolve(images=images, valid=valid), CONFIG)
    back = run.series()
    assert back.valid is not None
    assert (back.images[~back.valid] == 0).all()
    assert np.array_equal(back.images[back.valid], images[series.mask][back.valid])
    bad = {tuple(map(int, index)) for index in np.argwhere(~back.valid)}
    assert bad == {(0, 2, 3), (4, 8, 12), (5, 0, 1)}
    assert valid.sum() == valid.size - 1  # the caller's mask is untouched
    run.verify_input()


def test_a_run_is_never_overwritten(run: RunFolder, series: TiltSeries) -> None:
    digest = atomic.sha256(run.paths.run_json)
    with pytest.raises(UserError, match="already holds a run"):
        create_run(run.path, series, CONFIG)
    assert atomic.sha256(run.paths.run_json) == digest


def test_only_an_empty_folder_is_taken(tmp_path: Path, series: TiltSeries) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match="something else in it"):
        create_run(mine, series, CONFIG)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]
    (mine / "thesis.tex").unlink()
    assert create_run(mine, series, CONFIG).status().state == "created"


@pytest.mark.parametrize("existed", [False, True])
def test_a_run_that_cannot_be_written_leaves_nothing(
    tmp_path: Path,
    series: TiltSeries,
    monkeypatch: pytest.MonkeyPatch,
    existed: bool,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "r"
    if existed:
        folder.mkdir()
    monkeypatch.setattr("napari_inr_tomo.runs.folder.write_run", full)
    with pytest.raises(UserError, match="No space left"):
        create_run(folder, series, CONFIG)
    assert folder.exists() == existed
    assert not existed or not any(folder.iterdir())


def test_a_full_disk_is_refused_before_anything_is_written(
    tmp_path: Path, series: TiltSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9, 9, 1000))
    with pytest.raises(UserError, match=r"1\.0 kB are free, \d+ bytes too few"):
        create_run(tmp_path / "new" / "r", series, CONFIG)
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_that_may_not_be_written_is_one_error(
    series: TiltSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(9, 9, 10**9))
    with pytest.raises(UserError, match="cannot be written"):
        create_run(Path("/proc/self/r"), series, CONFIG)


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind root"
)
def test_a_read_only_folder_is_one_error_and_can_be_watched(
    run: RunFolder, series: TiltSeries
) -> None:
    run.path.chmod(0o555)
    run.paths.controls.chmod(0o555)
    try:
        assert run.status().state == "created"
        with pytest.raises(UserError, match="cannot be asked to stop"):
            run.request("stop")
        with pytest.raises(UserError, match="cannot be written"):
            create_run(run.path / "inner", series, CONFIG)
    finally:
        run.path.chmod(0o755)
        run.paths.controls.chmod(0o755)


def test_one_view_is_no_tomogram(tmp_path: Path, series: TiltSeries) -> None:
    alone = series.evolve(used=np.arange(7) == 2)
    with pytest.raises(UserError, match="1 of 7 views"):
        create_run(tmp_path / "r", alone, CONFIG)


def test_there_is_no_result_without_complete(run: RunFolder) -> None:
    run.paths.result_volume.write_bytes(b"half a volume")
    with pytest.raises(UserError, match="has no result: it is created"):
        run.result()
    run.paths.result_poses.write_text("")
    write_record(run.paths, run.spec, {})
    write_complete(run.paths)
    assert run.result() == run.paths.result_volume
    run.verify_result()
    run.paths.result_volume.write_bytes(b"half a VOLUME")
    with pytest.raises(UserError, match=r"volume\.mrc cannot be used.*SHA-256"):
        run.verify_result()


def test_a_result_that_points_outside_is_refused(run: RunFolder) -> None:
    atomic.write_json(run.paths.complete, {"sha256": {"../../../x": "0"}})
    with pytest.raises(UserError, match="outside the run folder"):
        run.verify_result()


def test_a_damaged_input_is_one_error(run: RunFolder) -> None:
    content = run.paths.input.read_bytes()
    run.paths.input.write_bytes(content[:-40])
    with pytest.raises(UserError, match="cannot be read"):
        run.series()
    run.paths.input.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(UserError, match="cannot be read"):
        run.series()


def test_a_new_phase_has_not_the_numbers_of_the_one_before(run: RunFolder) -> None:
    writer = EventWriter(run.paths.events)
    done = Epoch(
        step=100, total=300, phase="classical start", loss=1, elapsed_s=9, eta_s=1
    )
    with FolderLock(run.paths.lock):
        for resumed in (0, 2):
            writer.write(started().model_copy(update={"resumed_at": resumed}))
            writer.write(done)
            writer.write(Phase(name="learning the start"))
            status = run.status()
            assert (status.step, status.total, status.eta_s) == (0, 0, None)
            writer.write(Phase(name="rays"))
            status = run.status()
            assert (status.step, status.total, status.eta_s) == (resumed, 9, None)


def test_the_status_follows_the_events(run: RunFolder) -> None:
    writer = EventWriter(run.paths.events)
    with FolderLock(run.paths.lock):
        assert run.status().state == "running"
        writer.write(started())
        writer.write(
            Epoch(step=3, total=9, phase="rays", loss=0.5, elapsed_s=2, eta_s=4)
        )
        writer.write(Warned(what="A", why="b", do="C"))
        status = run.status()
        assert (status.state, status.step, status.total) == ("running", 3, 9)
        assert (status.phase, status.loss, status.eta_s) == ("rays", 0.5, 4)
        assert status.warning == "A: b. C."
        run.request("stop")
        assert run.status().state == "stopping"
        run.paths.control("stop").unlink()  # the worker has seen it and goes on writing
        assert run.status().state == "stopping"
        writer.write(Finished(step=4, stopped=True, elapsed_s=3))
        assert run.status().state == "stopped"  # though the lock is still held
    status = run.status()
    assert status.message == "Finished early, as asked, after 3 s, epoch 5 of 9"
    assert (status.state, status.step, status.eta_s) == ("stopped", 4, None)
    with FolderLock(run.paths.lock):  # a resume that has not said anything yet
        assert run.status().state == "running"
        writer.write(started())
        assert run.status().warning is None
        writer.write(Epoch(step=5, total=9, phase="rays", loss=0.5, elapsed_s=2))
        assert run.status().elapsed_s == 5  # 3 s before it was taken up again
    assert run.status().state == "interrupted"
    writer.write(Failed(what="X", why="y", do="Z"))
    status = run.status()
    assert (status.state, status.message) == ("failed", "X: y. Z.")


def test_a_clock_that_is_set_back_changes_nothing(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while the workers run, nor for what they have said at the end."""
    writer = EventWriter(run.paths.events)
    writer.write(started())
    writer.write(Cancelled(step=1))
    with FolderLock(run.paths.lock):
        assert run.status().state == "running"
        assert run.status().phase == "starting"
        launched = {"pid": 0, "host": "here", "born": 0.0, "started": time.time()}
        atomic.write_json(run.paths.launcher, launched | {"after": 1})
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now - 3600)
        writer.write(started())
        writer.write(Phase(name="SIRT"))
        assert run.status().phase == "SIRT"
    writer.write(Finished(step=9, elapsed_s=1))
    writer.close()
    assert run.status().state == "finished"


def test_a_run_elsewhere_is_alive_while_it_speaks(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    EventWriter(run.paths.events).write(started())
    atomic.write_json(run.paths.lock, {"pid": 1, "host": "far", "started": 0.0})
    assert run.status().state == "running"
    monkeypatch.setattr(status_module, "FOREIGN_SILENCE_S", -1.0)
    assert run.status().state == "interrupted"


def test_a_lock_whose_text_nobody_can_read_is_still_one(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EventWriter(run.paths.events)
    writer.write(started())
    writer.write(Cancelled(step=1))
    nobody = lock.Holder(0, "an unknown computer", 0.0)
    monkeypatch.setattr(lock, "holder", lambda _: nobody)
    assert run.status().state == "cancelled"
    resumed = {"pid": 1, "host": "far", "born": 0.0, "after": 1}
    atomic.write_json(run.paths.launcher, resumed)
    assert run.status().state == "running"


def test_a_network_disk_that_is_away_for_a_moment_is_no_error(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    EventWriter(run.paths.events).write(started())

    def away(*_: object, **__: object) -> None:
        raise OSError(errno.EHOSTDOWN, "Host is down")

    with FolderLock(run.paths.lock):
        monkeypatch.setattr(os, "stat", away)
        assert run.status().state == "running"


def test_a_replaced_event_file_is_told_anew(run: RunFolder) -> None:
    writer = EventWriter(run.paths.events)
    writer.write(started())
    writer.write(Finished(step=9, elapsed_s=1))
    writer.close()
    assert run.status().state == "finished"
    run.paths.events.unlink()
    assert run.status().state == "created"


def test_a_folder_that_has_gone_is_said_and_not_made_anew(run: RunFolder) -> None:
    assert run.status().state == "created"
    shutil.rmtree(run.path)
    with pytest.raises(UserError, match="not there any more"):
        run.status()
    with pytest.raises(UserError, match="not there any more"):
        launch(run)
    assert not run.path.exists()


def test_only_known_requests_are_made(run: RunFolder) -> None:
    with pytest.raises(ValueError, match="none of"):
        run.request("explode")  # type: ignore[arg-type]
