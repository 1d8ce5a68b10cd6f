"""Whose poses are written: the newest ones, in the pixels of the series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted_run import LONG_MS, Worker, follow
from step_helpers import done, errors

from napari_inr_tomo import io
from napari_inr_tomo.align import set_tilt_axis
from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.types import Poses, TiltSeries
from napari_inr_tomo.ui.docks.export import ExportDock
from napari_inr_tomo.ui.docks.shifts import ShiftsDock
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock
from napari_inr_tomo.ui.docks.tilts import TiltsDock


@pytest.fixture
def panel(open_dock: Any, qtbot: Any, worker: Worker, small_series: TiltSeries) -> Any:
    """The dock, with a run that has found an axis at 7 degrees."""
    open_dock.session.add_series(small_series)
    panel = follow(open_dock, qtbot, worker, ExportDock)
    worker.poses(7.0)
    record = open_dock.session.run.record
    qtbot.waitUntil(lambda: record.poses is not None, timeout=LONG_MS)
    panel.refresh()
    return panel


def written(panel: Any, qtbot: Any, folder: Path) -> tuple[Poses, Poses]:
    """Return the poses in the table and in the stack that the dock writes."""
    panel.save_poses(folder / "poses.csv")
    done(qtbot, panel.session)
    panel.save_stack(folder / "aligned.mrc")
    done(qtbot, panel.session)
    beside = io.read_xf(folder / "aligned.xf", axis="x")
    return io.read_poses(folder / "poses.csv")[1], beside


def test_the_poses_of_the_run_until_the_series_is_aligned_anew(
    panel: Any, open_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    session = open_dock.session
    assert "from the run" in panel.poses_from.text()
    for poses in written(panel, qtbot, tmp_path):
        assert poses.axis_deg == pytest.approx(7, abs=1e-3)
    session.apply(session.layer, set_tilt_axis(session.series, 12.0, 0.0), "Axis")
    assert "changed after the run" in panel.poses_from.text()
    for poses in written(panel, qtbot, tmp_path):
        assert poses.axis_deg == pytest.approx(12, abs=1e-3)
    tilts = open_dock(TiltsDock).panel
    tilts.start_button.click()
    done(qtbot, session)
    assert session.series.start_poses.axis_deg == pytest.approx(7, abs=1e-4)
    assert "from the run" in panel.poses_from.text()


def test_the_poses_of_the_run_go_with_the_pixels(
    panel: Any, open_dock: Any, qtbot: Any, tmp_path: Path
) -> None:
    session = open_dock.session
    session.apply(session.layer, bin_images(session.series, 2), "Bin")
    assert "from the run" in panel.poses_from.text()
    for poses in written(panel, qtbot, tmp_path):
        assert poses.dx_px == pytest.approx(np.full(25, 0.5), abs=1e-3)
        assert poses.dy_px == pytest.approx(np.full(25, -1.0), abs=1e-3)
    tilts = open_dock(TiltsDock).panel
    tilts.tilt.setValue(3)
    tilts.editor.reset_button.click()
    done(qtbot, session)
    wanted = session.run.run.spec.original_poses.as_array()[3] * [1, 1, 0.5, 0.5]
    assert session.series.start_poses.as_array()[3] == pytest.approx(wanted)


def test_another_field_of_view_is_another_series(
    panel: Any, open_dock: Any, small_series: TiltSeries
) -> None:
    cut = small_series.evolve(images=small_series.images[:, :, :20])
    open_dock.session.add_series(cut)
    assert open_dock.session.run.fitting_poses() is None
    assert "of another tilt series" in panel.poses_from.text()


def test_a_file_that_is_open_is_not_written_over(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    path = tmp_path / "raw.mrc"
    io.write_series(path, small_series)
    before = path.read_bytes()
    opened = open_dock(TiltSeriesDock).panel
    opened.path.setText(str(path))
    opened.open_file()
    done(qtbot, open_dock.session)
    panel = open_dock(ExportDock).panel
    saves = (
        panel.save_stack,
        panel.save_volume,
        open_dock(ShiftsDock).panel.exchange.save,
    )
    for count, save in enumerate(saves, 1):
        save(str(path))
        done(qtbot, open_dock.session)
        assert len(errors()) == count
        assert "read as well" in errors()[-1]
    assert path.read_bytes() == before
