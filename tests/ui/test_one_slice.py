"""One slice first: a slab is reconstructed and shown, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from qtpy.compat import isalive
from scripted_run import LONG_MS

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks.reconstruction import ReconstructionDock


@pytest.fixture
def panel(
    open_dock: Any,
    small_series: TiltSeries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The dock with a series, SIRT chosen; temporary folders in ``tmp_path``."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    panel = open_dock(ReconstructionDock).panel
    open_dock.session.add_series(small_series)
    panel.choose("sirt", "fast")
    return panel


def dock_of(panel: Any) -> Any:
    while not isinstance(panel, ReconstructionDock):
        panel = panel.parent()
    return panel


def begin_long(panel: Any, qtbot: Any) -> None:
    """Begin a slab that does not end by itself, and see it shown."""
    panel.count.setValue(100_000)
    panel.one_slice.button.click()
    qtbot.waitUntil(lambda: panel.one_slice.picture.shown, timeout=LONG_MS)


def workers() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def at_work() -> list[psutil.Process]:
    """Those that have not ended; one that was killed takes a moment to be gone."""
    found = []
    for process in workers():
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def test_a_slice_is_shown_and_marked_as_a_preview(
    open_dock: Any, qtbot: Any, panel: Any, tmp_path: Path
) -> None:
    one = panel.one_slice
    # columns, from the centre: the axis is nearer to x
    assert (one.position.minimum(), one.position.maximum()) == (-13.5, 13.5)
    assert one.position.value() == 0
    one.position.setValue(-2)  # between two of them, as there are 28
    layers = list(open_dock.viewer.layers)
    one.button.click()
    assert one.button.text() == "End the try"
    qtbot.waitUntil(lambda: not one.running, timeout=LONG_MS)
    words = one.picture.caption.text()
    nm = -1.5 * open_dock.session.series.pixel_size_nm
    assert words.startswith(f"Preview: slice x = -1.5 px ({nm:+.3g} nm)")
    assert one.picture.scale_words.endswith(" nm")
    assert "poses as they start. Finished, after " in words
    assert one.picture.shown
    assert one.picture._image.shape == (24, 24)
    assert np.isfinite(one.picture._image).all()
    assert list(open_dock.viewer.layers) == layers
    assert open_dock.session.run.run is None
    qtbot.waitUntil(lambda: not list(tmp_path.glob("inr-tomo-*")), timeout=LONG_MS)


def test_the_caption_says_how_far_it_is_and_what_is_left() -> None:
    from napari_inr_tomo import events
    from napari_inr_tomo.ui.live import LiveUpdate
    from napari_inr_tomo.ui.one_slice import _state
    from napari_inr_tomo.ui.record import RunRecord

    record = RunRecord()
    record.take(LiveUpdate(phase="start"))
    assert _state(record).endswith(": 0 %")
    epoch = events.Epoch(
        step=1, total=4, loss=1.0, elapsed_s=10.0, eta_s=30.0, phase="rays"
    )
    record.take(LiveUpdate(epochs=[epoch]))
    assert _state(record) == (
        "Learning from the images: 25 %, epoch 2 of 4, about 30 s left"
    )


def test_the_pixels_of_a_coarse_slice_are_those_of_its_voxels(
    monkeypatch: pytest.MonkeyPatch, small_series: TiltSeries
) -> None:
    """Half as many voxels a side are twice as large; the slice is the one asked for."""
    import threading

    from napari_inr_tomo import runs
    from napari_inr_tomo.config import ReconstructionConfig
    from napari_inr_tomo.ui import live, one_slice

    class Run:
        def poll(self) -> int:
            return 0

    def follow(*_: Any) -> Any:
        yield live.LiveUpdate(preview=np.zeros((12, 12, 7), np.float32))

    monkeypatch.setattr(runs, "launch", lambda _: Run())
    monkeypatch.setattr(live, "follow", follow)
    config = ReconstructionConfig.from_preset("preview", method="sirt")
    for size, unit in ((0.5, "nm"), (None, "px")):
        series = small_series.evolve(pixel_size_nm=size)
        places = {}
        for place in (-13.5, 0.0, 13.5):
            stop = threading.Event()
            (shown,) = one_slice.previews(series, config, place, stop)
            assert shown.pixel == (2 * (size or 1), unit)
            places[place] = shown.place
        said = [words.split(" px")[0] for words in places.values()]
        assert said == ["-13.5", "+0.5", "+13.5"]
        assert places[-13.5].endswith("(-6.75 nm)") == (size is not None)


def test_a_dock_closed_midway_ends_the_slab(
    open_dock: Any, qtbot: Any, panel: Any, tmp_path: Path
) -> None:
    begin_long(panel, qtbot)
    assert workers()
    open_dock.viewer.window.remove_dock_widget(dock_of(panel))
    assert not panel.one_slice.running
    qtbot.waitUntil(lambda: not list(tmp_path.glob("inr-tomo-*")), timeout=LONG_MS)
    qtbot.waitUntil(lambda: not at_work(), timeout=LONG_MS)


def test_a_window_that_goes_while_another_tab_is_shown_ends_the_slab(
    open_dock: Any, qtbot: Any, panel: Any, tmp_path: Path
) -> None:
    """A tab that is not shown is not told that its window is hidden."""
    begin_long(panel, qtbot)
    panel.hide()
    with qtbot.captureExceptions() as raised:
        panel.release = lambda: None  # nobody says so
        dock_of(panel).deleteLater()
        qtbot.waitUntil(lambda: not isalive(panel.one_slice), timeout=LONG_MS)
        qtbot.waitUntil(lambda: not list(tmp_path.glob("inr-tomo-*")), timeout=LONG_MS)
        qtbot.wait(200)
    assert not raised
    qtbot.waitUntil(lambda: not at_work(), timeout=LONG_MS)


def test_a_slab_that_fails_says_so_in_words_and_raises_nothing(
    qtbot: Any, panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_inr_tomo import runs

    def full(_: Any) -> Any:
        raise UserError("The disk is full", "0 bytes are left", "Free some space")

    monkeypatch.setattr(runs, "launch", full)
    with qtbot.captureExceptions() as raised:
        panel.one_slice.button.click()
        qtbot.waitUntil(lambda: panel.one_slice.problem.text() != "", timeout=LONG_MS)
        qtbot.waitUntil(lambda: not panel.one_slice.running, timeout=LONG_MS)
    assert "Free some space" in panel.one_slice.problem.text()
    assert not raised


def test_no_slice_without_a_series(open_dock: Any, panel: Any) -> None:
    open_dock.viewer.layers.clear()
    assert not panel.one_slice.button.isEnabled()
    assert "No tilt series" in panel.one_slice.row.reason_text
