"""The whole way through the workflow dock, from a file to the exported volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo import io
from napari_inr_tomo.types import TiltSeries
from napari_inr_tomo.ui.docks import (
    alignment,
    background,
    export,
    monitor,
    reconstruction,
    tilt_series,
)
from napari_inr_tomo.ui.docks.workflow import WorkflowDock
from napari_inr_tomo.ui.run_control import RunState
from napari_inr_tomo.ui.turns import idle

LONG_MS = 60_000


def test_the_whole_workflow_from_file_to_export(
    open_dock: Any, qtbot: Any, tmp_path: Path, small_series: TiltSeries
) -> None:
    """Clicks through every step with the real engine; SIRT, then the files."""
    io.write_series(tmp_path / "stack.mrc", small_series)
    dock, session = open_dock(WorkflowDock), open_dock.session

    def step(kind: type) -> Any:
        assert isinstance(dock.parts[dock.step], kind)
        return dock.part(kind)

    def ready() -> None:
        qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)

    panel = step(tilt_series.TiltSeriesPanel)
    panel.path.setText(str(tmp_path / "stack.mrc"))
    panel.open_button.click()
    ready()
    panel.table.selectRow(0)
    panel.exclude_button.click()
    ready()
    dock.next_button.click()
    panel = step(background.BackgroundPanel)
    panel.preview_button.click()
    ready()
    panel.apply_button.click()
    ready()
    dock.next_button.click()
    panel = step(alignment.AlignmentPanel)
    panel.xcorr_button.click()
    ready()
    panel.tool.switch.click()
    panel.tool.auto_button.click()
    ready()
    panel.tool.apply_button.click()
    ready()
    panel.tool.switch.click()
    dock.next_button.click()
    panel = step(reconstruction.ReconstructionPanel)
    panel.method.setCurrentText("SIRT")
    panel.count.setValue(15)
    panel.folder.setText(str(tmp_path / "run"))
    panel.start_button.click()
    run = session.run
    ended = (RunState.DONE, RunState.FAILED)
    qtbot.waitUntil(lambda: run.state in ended, timeout=3 * LONG_MS)
    assert run.state is RunState.DONE, run.message
    if isinstance(dock.parts[dock.step], reconstruction.ReconstructionPanel):
        dock.next_button.click()  # it turns by itself when it sees the run begin
    panel = step(monitor.MonitorPanel)
    qtbot.waitUntil(idle, timeout=LONG_MS)
    assert panel.loss.line("loss")[1][-1] < 1
    assert run.layers.volume.data.shape[1:] == small_series.images.shape[1:]
    assert run.record.poses["used"].tolist() == [False] + [True] * 24
    panel.curve_button.click()
    dock.next_button.click()
    panel = step(export.ExportPanel)
    assert panel.volume_box.currentText() == "SIRT volume"
    panel.save_volume(tmp_path / "volume.ome.zarr")
    ready()
    panel.save_poses(tmp_path / "poses.csv")
    ready()
    panel.save_stack(tmp_path / "aligned.mrc")
    ready()
    panel.save_record(tmp_path / "record.json")
    ready()
    volume = io.read_volume(tmp_path / "volume.ome.zarr")
    assert np.array_equal(volume.data, run.layers.volume.data)
    assert volume.voxel_nm == pytest.approx(small_series.pixel_size_nm)
    _, poses, used = io.read_poses(tmp_path / "poses.csv")
    assert len(poses) == len(small_series)
    assert not used[0]
    assert io.read_series(tmp_path / "aligned.mrc").images.shape[0] == 24
    assert (tmp_path / "record.json").stat().st_size > 100
