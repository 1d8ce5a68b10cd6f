"""What is said about the course of a run."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_inr_tomo.engine import reporter as module
from napari_inr_tomo.engine.reporter import CANCEL, NOTHING, SAVE, Reporter
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
