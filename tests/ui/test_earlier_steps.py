"""Steps on a file that was open before: offered, done again, forgotten."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from step_helpers import LONG_MS, done, errors

from napari_inr_tomo import io, kept
from napari_inr_tomo.types import Poses, TiltSeries
from napari_inr_tomo.ui.docks.tilt_series import TiltSeriesDock


@pytest.fixture
def stack(tmp_path: Path, small_series: TiltSeries) -> Path:
    zeros = Poses.zeros(len(small_series))
    io.write_series(tmp_path / "raw.mrc", small_series.evolve(poses=zeros))
    return tmp_path / "raw.mrc"


@pytest.fixture
def panel(open_dock: Any, qtbot: Any, stack: Path) -> Any:
    panel = open_dock(TiltSeriesDock).panel
    open_file(panel, qtbot, stack)
    return panel


def open_file(panel: Any, qtbot: Any, stack: Path) -> None:
    panel.path.line.setText(str(stack))
    panel.open_button.click()
    done(qtbot, panel.session)
    qtbot.waitUntil(lambda: panel.earlier.idle, timeout=LONG_MS)


def offered(panel: Any) -> bool:
    return not panel.earlier.box.isHidden()


def work(panel: Any, qtbot: Any) -> TiltSeries:
    session = panel.session
    panel.bin_button.click()
    done(qtbot, session)
    panel.table.selectRow(2)
    panel.exclude_button.click()
    done(qtbot, session)
    return session.series


@pytest.mark.scenario(41)
def test_steps_come_back_after_a_crash(
    open_dock: Any, qtbot: Any, panel: Any, stack: Path
) -> None:
    session = panel.session
    assert not offered(panel)
    before = work(panel, qtbot)
    qtbot.waitUntil(lambda: kept.recall(stack, "") is not None, timeout=LONG_MS)
    # as if the window had gone then: nothing is kept any more when the layer goes
    panel.earlier._due = False
    open_dock.viewer.layers.remove(session.layer)
    open_file(panel, qtbot, stack)
    assert offered(panel)
    assert "bin images, exclude views" in panel.earlier.words.text()
    raw = session.series
    panel.earlier.again_button.click()
    done(qtbot, session)
    assert not errors()
    assert not offered(panel)
    np.testing.assert_array_equal(session.series.images, before.images)
    np.testing.assert_array_equal(session.series.mask, before.mask)
    assert session.undo_label == "Doing the earlier steps"
    session.undo()
    assert session.series is raw


def test_the_last_step_is_kept_when_the_dock_or_the_layer_goes(
    open_dock: Any, qtbot: Any, panel: Any, stack: Path
) -> None:
    work(panel, qtbot)  # and not a second longer
    open_dock.viewer.layers.remove(panel.session.layer)
    assert len(kept.recall(stack, "").history) == 2 + len(io.read_series(stack).history)
    open_file(panel, qtbot, stack)
    panel.bin_button.click()
    done(qtbot, panel.session)
    panel.release()
    names = [step.name for step in kept.recall(stack, "").history]
    assert names[-1] == "bin_images"


def test_steps_are_not_offered_where_they_do_not_fit(
    open_dock: Any, qtbot: Any, panel: Any, stack: Path, small_series: TiltSeries
) -> None:
    session = panel.session
    work(panel, qtbot)
    open_dock.viewer.layers.remove(session.layer)
    session.add_series(small_series)  # of no file
    panel.bin_button.click()
    done(qtbot, session)
    assert not offered(panel)
    open_file(panel, qtbot, stack)
    assert offered(panel)
    panel.earlier.forget_button.click()
    assert not offered(panel)
    open_file(panel, qtbot, stack)
    assert not offered(panel)
    # another recording under the same name
    work(panel, qtbot)
    open_dock.viewer.layers.remove(session.layer)
    os.utime(stack, (1, 1))
    open_file(panel, qtbot, stack)
    assert not offered(panel)


def test_taken_back_is_not_kept(
    open_dock: Any, qtbot: Any, panel: Any, stack: Path
) -> None:
    session = panel.session
    work(panel, qtbot)
    session.undo()
    session.undo()
    open_dock.viewer.layers.remove(session.layer)
    open_file(panel, qtbot, stack)
    assert not offered(panel)


def test_a_file_without_angles_of_its_own(
    open_dock: Any, qtbot: Any, panel: Any, tmp_path: Path, plugin: Any
) -> None:
    session, viewer = panel.session, open_dock.viewer
    plain = tmp_path / "plain.npy"
    np.save(plain, session.series.images)
    angles = ",".join(str(angle) for angle in session.series.angles_deg)

    def from_layer(edited: bool = False) -> None:
        (layer,) = viewer.open(str(plain), plugin="napari-inr-tomo")
        if edited:
            layer.data = layer.data * 2
        viewer.layers.selection.active = layer
        panel.angles.line.setText(angles)
        panel.convert_button.click()
        done(qtbot, session)
        qtbot.waitUntil(lambda: panel.earlier.idle, timeout=LONG_MS)

    from_layer()
    before = work(panel, qtbot)
    viewer.layers.remove(session.layer)
    from_layer()
    assert offered(panel)
    panel.earlier.again_button.click()
    done(qtbot, session)
    np.testing.assert_array_equal(session.series.images, before.images)
    np.testing.assert_array_equal(session.series.angles_deg, before.angles_deg)
    from_layer(edited=True)  # these are not the pixels of the file
    assert not offered(panel)
