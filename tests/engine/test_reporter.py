"""What is said about the course of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_inr_tomo.engine import reporter as module
from napari_inr_tomo.engine.reporter import Reporter


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
