"""What is said about the course of a run."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from in_use import InUse
from napari_inr_tomo import atomic
from napari_inr_tomo.engine import reporter as module
from napari_inr_tomo.engine.reporter import CANCEL, NOTHING, SAVE, STOP, Reporter
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import RunPaths


@pytest.mark.parametrize("before", [0.0, 90.0])
def test_the_time_left_follows_from_what_was_done_since_the_start(
    monkeypatch, before
) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    said = []
    reporter = Reporter(None, None)
    monkeypatch.setattr(reporter, "say", said.append)
    reporter.phase("rays", before)
    reporter.progress(before, before + 10, 0.1, force=True)
    now += 6
    reporter.progress(before + 4, before + 10, 0.1, force=True)
    assert said[1].eta_s is None
    assert said[2].eta_s == pytest.approx(9)


def test_one_rank_alone_hears_of_a_signal_to_all(monkeypatch, tmp_path: Path) -> None:
    handlers = {}
    monkeypatch.setattr(module.signal, "signal", handlers.__setitem__)
    first, other = Reporter(RunPaths(tmp_path), None), Reporter(None, None)
    for reporter in (other, first):
        reporter.listen()
        handlers[signal.SIGTERM]()
    assert (first.poll(), other.poll()) == (CANCEL, NOTHING)


def test_in_a_folder_that_has_gone_nothing_goes_on(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.0)
    paths = RunPaths(tmp_path / "run")
    paths.make_folders()
    reporter = Reporter(paths, None)
    paths.control("save-now").touch()
    assert reporter.poll() == SAVE

    def away(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "stat", away)
        assert reporter.poll() == NOTHING
    shutil.rmtree(paths.folder)
    with pytest.raises(UserError, match="not there any more"):
        reporter.poll()


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.setattr(module, "POLL_S", 0.0)
    monkeypatch.setattr(atomic, "BUSY_S", 0.02)
    paths = RunPaths(tmp_path)
    paths.make_folders()
    return paths


def test_a_request_that_somebody_has_open_is_obeyed(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Reporter(paths, None)
    monkeypatch.setattr(os, "replace", InUse(os.replace))
    for name, request in {"stop": STOP, "cancel": CANCEL}.items():
        paths.control(name).touch()
        assert reporter.poll() == request


def test_a_checkpoint_asked_for_is_written_once(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Reporter(paths, None)
    paths.control("save-now").touch()
    with monkeypatch.context() as open_elsewhere:
        open_elsewhere.setattr(os, "unlink", InUse(os.unlink))
        assert reporter.poll() == NOTHING
    assert [reporter.poll(), reporter.poll()] == [SAVE, NOTHING]


def test_a_network_disk_that_is_away_for_a_moment_ends_no_run(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Reporter(paths, None)

    def away(*_: object, **__: object) -> None:
        raise OSError(errno.EHOSTDOWN, "Host is down")

    with monkeypatch.context() as moment:
        moment.setattr(os, "stat", away)
        assert reporter.poll() == NOTHING
        assert reporter.slices_asked() is None
    paths.control("stop").touch()
    assert reporter.poll() == STOP
