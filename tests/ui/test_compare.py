"""The Compare dock: pictures, numbers, figures on disk, halves; wrong use."""

from __future__ import annotations

import csv
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker

from napari_inr_tomo import metrics
from napari_inr_tomo.types import TiltSeries, Volume
from napari_inr_tomo.ui import comparing
from napari_inr_tomo.ui.docks.compare import CompareDock
from napari_inr_tomo.ui.series_layer import volume_layer_data

SHAPE = (16, 22, 19)


def smooth(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=shape)
    return gaussian_filter(noise, 1.5).astype(np.float32)


def add(open_dock: Any, data: np.ndarray, name: str) -> Any:
    from napari.layers import Layer

    layer = Layer.create(*volume_layer_data(Volume(data, 0.5, name)))
    return open_dock.viewer.add_layer(layer)


def two(open_dock: Any, a: np.ndarray, b: np.ndarray) -> Any:
    panel = open_dock(CompareDock).panel
    layers = add(open_dock, a, "volume"), add(open_dock, b, "volume")
    layers[0].name, layers[1].name = "first", "second"
    panel.a.choose(layers[0])
    panel.b.choose(layers[1])
    return panel


def fits(view: Any, which: int) -> bool:
    """Whether a slice is seen whole, and fills its view one way."""
    box = view.boxes[which]
    seen, rows_columns = box.viewRect(), view.shown[which].shape
    sizes = seen.height() / rows_columns[0], seen.width() / rows_columns[1]
    return min(sizes) >= 1 and min(sizes) < 1.15


def test_both_are_cut_at_the_same_place(open_dock: Any, qtbot: Any) -> None:
    a, b = smooth(0), smooth(1)
    panel = two(open_dock, a, b)
    panel.plane.setCurrentText("xz")
    panel.place.setValue(5)
    assert np.array_equal(panel.view.shown[0], a[:, 5])
    assert np.array_equal(panel.view.shown[1], b[:, 5])
    levels = [tuple(image.getLevels()) for image in panel.view.images]
    assert levels[0] == levels[1]
    view = panel.view
    view.resize(520, 260)
    qtbot.waitUntil(lambda: fits(view, 0) and fits(view, 1), timeout=5000)
    view.resize(300, 200)
    qtbot.waitUntil(lambda: fits(view, 0) and fits(view, 1), timeout=5000)
    line = panel.view.lines[1]
    line.setValue(7.0)
    line.sigDragged.emit(line)
    assert panel.view.lines[0].value() == 7.0
    assert panel.profile.line("A")[1] == pytest.approx(a[7, 5])
    assert panel.profile.line("B")[1] == pytest.approx(b[7, 5])


def test_pictures_show_what_the_numbers_are_of(open_dock: Any, qtbot: Any) -> None:
    """A where it was moved to, while both volumes are those that were compared."""
    truth = smooth(0)
    away = np.roll(truth, 2, axis=2)
    panel = two(open_dock, away, truth)
    panel.plane.setCurrentText("xy")
    panel.place.setValue(8)
    assert np.array_equal(panel.view.shown[0], away[8])
    panel.compare()
    qtbot.waitUntil(lambda: panel.result is not None, timeout=LONG_MS)
    assert panel.view.shown[0][:, 3:-3] == pytest.approx(truth[8, :, 3:-3], abs=1e-3)
    assert "moved onto B" in panel.view.captions[0].text
    row = panel.profile.line("A")[1], panel.profile.line("B")[1]
    assert row[0][3:-3] == pytest.approx(row[1][3:-3], abs=1e-3)
    panel.place.setValue(5)
    assert panel.view.shown[0][:, 3:-3] == pytest.approx(truth[5, :, 3:-3], abs=1e-3)
    panel.register.setChecked(False)
    assert np.array_equal(panel.view.shown[0], away[5])
    panel.register.setChecked(True)
    panel.a.layer.data = away + 1  # as a run does that goes on
    panel.place.setValue(6)
    assert np.array_equal(panel.view.shown[0], away[6] + 1)
    assert "moved" not in panel.view.captions[0].text
    panel.register.setChecked(False)
    panel.result = None
    panel.compare()
    qtbot.waitUntil(lambda: panel.result is not None, timeout=LONG_MS)
    panel.register.setChecked(True)  # after a comparison that moved nothing
    assert np.array_equal(panel.view.shown[0], away[6] + 1)
    assert "moved" not in panel.view.captions[0].text


def test_figures_are_those_of_the_metrics_and_reach_the_disk(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    open_dock.session.add_series(small_series)
    truth = smooth(0)
    moved = np.roll(truth, 1, axis=2) + 0.2 * smooth(1)
    panel = two(open_dock, moved, truth)
    assert "Compare first" in panel.row.reason_text
    panel.compare_button.click()
    qtbot.waitUntil(lambda: panel.result is not None, timeout=LONG_MS)
    expected = metrics.compare(moved, truth, register=True)
    assert panel.result.figures == expected
    assert f"{expected['ssim']:.3f}" in panel.numbers.text()
    assert "nm" in panel.numbers.text()
    assert set(panel.fsc.names) == {"FSC", "limit half-bit", "limit 0.143"}
    panel.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    plots = ("fsc", "profile", "slices", "directions")
    figures = {f"{n}.{s}" for n in plots for s in ("png", "svg")}
    assert names == figures | {"comparison.csv"}
    with open(tmp_path / "comparison.csv", newline="") as handle:
        rows = list(csv.reader(handle))
    table = {row[0]: row[1:] for row in rows if row}
    assert float(table["ssim"][0]) == expected["ssim"]
    assert (table["A"], table["B"]) == (["first"], ["second"])
    start = rows.index(["frequency_per_px", "fsc", "half_bit"]) + 1
    end = rows.index([], start)
    curve = np.array(rows[start:end], float)
    frequency, fsc, half_bit = metrics.fsc_half_bit(panel.result.moved, truth)
    assert curve == pytest.approx(np.stack([frequency, fsc, half_bit], axis=1))
    # direction by direction, about the axis of the series
    axis = small_series.start_poses.axis_deg
    angles, reached, _ = metrics.fsc_by_direction(panel.result.moved, truth, axis)
    assert rows[end + 1] == [
        "direction_deg",
        "reached_0.5_per_px",
        "reached_0.143_per_px",
    ]
    directions = np.array(rows[end + 2 :], float)
    assert directions[:, :2] == pytest.approx(np.stack([angles, reached], axis=1))
    names = panel.directions.names
    assert names == ["FSC 0.5, for a truth", "FSC 0.143, for halves"]
    assert panel.directions.line(names[0])[1] == pytest.approx(reached / 0.5)  # 1/nm
    assert panel.directions.missing == [(-90.0, -60.0), (60.0, 90.0)]
    assert "missing wedge" in panel.numbers.text()
    nothing = replace(panel.result, reached=np.zeros_like(panel.result.reached))
    assert "missing wedge never above 0.5" in nothing.words()


def test_volumes_of_different_shape_and_gone_ones_are_said_in_words(
    open_dock: Any, qtbot: Any
) -> None:
    from napari.utils.notifications import notification_manager

    panel = two(open_dock, smooth(0), smooth(1, (16, 22, 30)))
    panel.compare_button.click()
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)
    assert "their shapes" in notification_manager.records[-1].message
    open_dock.viewer.layers.remove(panel.b.layer)
    assert "two volumes" in panel.row.reason_text
    open_dock.viewer.layers.clear()
    assert panel.view.shown is not None


def test_halves_share_no_tilt_and_leave_none_out(small_series: TiltSeries) -> None:
    used = np.ones(25, bool)
    used[[3, 8]] = False
    shuffled = np.random.default_rng(0).permutation(25)
    series = small_series.evolve(
        used=used, angles_deg=small_series.angles_deg[shuffled]
    )
    even, odd = comparing.halves(series)
    assert not (even.mask & odd.mask).any()
    assert np.array_equal(even.mask | odd.mask, used)
    angles = np.sort(series.angles_deg[even.mask])
    others = np.sort(series.angles_deg[odd.mask])
    assert (np.searchsorted(angles, others) == np.arange(1, len(others) + 1)).all()


def test_both_halves_are_made_and_compared(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, tmp_path: Path
) -> None:
    """With the real engine."""
    panel, session = open_dock(CompareDock).panel, open_dock.session
    session.add_series(small_series)
    panel.half_button.click()
    assert "Reconstructing both halves" in panel.half_row.reason_text
    assert session.run.why_not_start()
    qtbot.waitUntil(lambda: panel.result is not None, timeout=3 * LONG_MS)
    assert panel.result.names[0].endswith("even tilts")
    assert panel.result.fsc[1] > 0.9
    assert panel.result.fsc[-1] < 0.9
    runs = (tmp_path / "inr-tomo-runs").iterdir()
    assert sorted(path.name.rpartition("-")[2] for path in runs) == ["even", "odd"]


def test_closing_the_dock_ends_the_halves(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, monkeypatch: Any
) -> None:
    asked = threading.Event()

    def endless(series: Any, config: Any, folder: Any, stop: threading.Event) -> Any:
        while not stop.wait(0.02):
            yield "working"
        asked.set()

    monkeypatch.setattr(comparing, "reconstruct_halves", endless)
    dock = open_dock(CompareDock)
    open_dock.session.add_series(small_series)
    dock.panel.half_button.click()
    qtbot.waitUntil(lambda: dock.panel.half_state.text() == "working", timeout=LONG_MS)
    open_dock.viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(asked.is_set, timeout=LONG_MS)
    qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)


def test_no_halves_beside_a_run(
    open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries
) -> None:
    from scripted_run import follow

    open_dock.session.add_series(small_series)
    panel = follow(open_dock, qtbot, worker, CompareDock)
    assert "stop or cancel it first" in panel.half_row.reason_text


@pytest.mark.parametrize("what", ["chosen", "removed", "failed"])
def test_the_numbers_go_with_their_pair(
    open_dock: Any, qtbot: Any, small_series: TiltSeries, what: str
) -> None:
    open_dock.session.add_series(small_series)
    panel = two(open_dock, smooth(0), smooth(1))
    third = add(open_dock, np.full(SHAPE, np.nan, np.float32), "third")
    panel.compare_button.click()
    qtbot.waitUntil(lambda: panel.result is not None, timeout=LONG_MS)
    open_dock.viewer.layers.selection.clear()
    assert "Compare first" not in panel.row.reason_text
    if what == "removed":
        open_dock.viewer.layers.remove(panel.a.layer)
    else:
        panel.a.choose(third)
    if what == "failed":
        panel.compare_button.click()
        qtbot.waitUntil(lambda: open_dock.session.busy is None, timeout=LONG_MS)
    assert panel.result is None
    assert panel.numbers.text() == ""
    assert panel.fsc.names == panel.directions.names == []
    assert panel.directions.missing == []
    assert not panel.save_button.isEnabled()
