"""Lists of runs and getting rid of one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.lock import FolderLock
from napari_inr_tomo.runs import RunFolder, copy_run, delete_run, list_runs


def test_runs_are_listed_newest_first_and_damaged_ones_last(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_inr_tomo.runs.repeating.now", lambda: "2999-01-01")
    copy_run(run, tmp_path / "later")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "run.json").write_text("{}")
    (tmp_path / "no run").mkdir()
    found = list_runs(tmp_path)
    assert [entry.path.name for entry in found] == ["later", run.path.name, "damaged"]
    assert found[1].series == "seven"
    assert found[1].method == "sirt"
    assert found[1].shape_tyx == (6, 9, 13)
    assert found[1].status.state == "created"
    assert "cannot be read" in found[2].problem
    assert list_runs(tmp_path / "absent") == []
    assert [entry.path for entry in list_runs(run.path)] == [run.path]


def test_the_picture_is_the_middle_slice(run: RunFolder) -> None:
    assert list_runs(run.path, pictures=True)[0].picture is None
    volume = np.random.default_rng(0).random((5, 200, 130)).astype(np.float32)
    np.save(run.paths.preview_volume, volume)
    picture = list_runs(run.path, pictures=True)[0].picture
    assert picture.shape == (50, 32)
    assert picture[1, 2] == pytest.approx(volume[2, 4:8, 8:12].mean())


def test_only_a_run_that_is_over_is_deleted(run: RunFolder, tmp_path: Path) -> None:
    with FolderLock(run.paths.lock), pytest.raises(UserError, match="going on"):
        delete_run(run.path)
    assert run.paths.input.exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("words")
    with pytest.raises(UserError, match="not a run folder"):
        delete_run(precious)
    delete_run(run.path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious"]
    assert (precious / "thesis.txt").read_text() == "words"
