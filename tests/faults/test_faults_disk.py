"""Full and read-only disks, changed inputs, other versions."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

if os.name == "nt":
    pytest.skip("limits and fork are POSIX", allow_module_level=True)

from fault_runs import check_readable, finish, make_run, ranks

from napari_inr_tomo import io, layout, runs
from napari_inr_tomo.engine import checkpoint, worker
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.runs import RunFolder, create_run, launch

Figure = Callable[[str], None]
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SCHEMAS = sorted(GOLDEN.glob("schema-*"))
Usage = namedtuple("Usage", "total used free")


def limit_files(most: int) -> Callable[[], None]:
    """Let no file grow beyond so many bytes (in a child): a full disk, from inside."""

    def before() -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    return before


@pytest.mark.scenario(8)
def test_checkpoints_that_do_not_fit_cost_nothing_else(
    tmp_path: Path, figure: Figure
) -> None:
    changes = {"inr": {"field": {"width": 48}, "schedule": {"epochs": 4}}}
    paths = make_run(tmp_path / "run", changes)
    finish(paths, 1, limit_files(25_000))  # volume and events fit, checkpoints do not
    kinds = [event.type for event in RunFolder(paths.folder).events()]
    assert "warning" in kinds
    assert "checkpoint" not in kinds
    assert not list(paths.checkpoints.iterdir())
    figure("a run whose checkpoints do not fit: finished, no litter")


@pytest.mark.scenario(8)
def test_a_disk_without_room_for_anything(tmp_path: Path, figure: Figure) -> None:
    """Not even events fit: the run ends without a result, and goes on afterwards."""
    paths = make_run(tmp_path / "run")
    with ranks(paths, 1, limit_files(900)) as (member,):
        assert member.wait() == worker.OWN_FAULT
    assert not check_readable(paths)
    finish(paths)
    figure("no room for the result: failed in words, resumed")


@pytest.mark.scenario(8)
@pytest.mark.parametrize(
    "times", [10, pytest.param(100, marks=pytest.mark.faults)], ids=["few", "many"]
)
def test_the_last_good_checkpoint_survives_full_disks(
    tmp_path: Path, times: int, figure: Figure
) -> None:
    good = {"a": torch.ones(100)}
    checkpoint.save(tmp_path, 1, good, {})
    for trial in range(times):
        pid = os.fork()
        if not pid:
            limit_files(2_000 + 700 * (trial % 100))()
            try:
                checkpoint.save(tmp_path, 2, {"a": torch.zeros(20_000)}, {})
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        loaded = checkpoint.load(tmp_path)
        assert loaded is not None
        assert torch.equal(loaded[0]["a"], good["a"])
        assert len(list(tmp_path.iterdir())) == 2
    figure(f"the good checkpoint loaded {times} of {times} times, 0 left-overs")


@pytest.mark.scenario(9)
def test_a_disk_too_full_for_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    run = RunFolder(make_run(tmp_path / "run").folder)
    need = runs.estimate(run.config, run.spec.shape).disk_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9**12, 0, need - 123))
    with pytest.raises(UserError, match="123 bytes too few"):
        create_run(tmp_path / "other", run.series(), run.config)
    assert not (tmp_path / "other").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(9**12, 0, 10))
    with pytest.raises(UserError, match="too full"):
        launch(run, 1)
    assert not run.paths.events.exists()
    figure("refused before the start, with the missing bytes; also at a resume")


@pytest.mark.scenario(38)
def test_a_folder_that_cannot_be_written(tmp_path: Path, figure: Figure) -> None:
    """A file where a folder should be: permissions do not bind root."""
    run = RunFolder(make_run(tmp_path / "run").folder)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="run folder"):
        create_run(tmp_path / "file" / "sub", run.series(), run.config)
    if os.geteuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        with pytest.raises(UserError, match="Permission"):
            create_run(tmp_path / "shut" / "run", run.series(), run.config)
    figure("refused in words, nothing left behind")


@pytest.mark.scenario(25)
def test_a_changed_input_is_found_out(tmp_path: Path, figure: Figure) -> None:
    paths = make_run(tmp_path / "run", method="fbp")
    finish(paths)
    raw = bytearray(paths.input.read_bytes())
    raw[-1] ^= 1
    paths.input.write_bytes(raw)
    with pytest.raises(UserError, match=r"input\.npy"):
        launch(RunFolder(paths.folder), 1)
    with ranks(paths, 1) as (member,):
        assert member.wait() == worker.OWN_FAULT
    assert "changed" in RunFolder(paths.folder).events()[-1].what
    figure("one flipped bit: resume refused, the file named")


@pytest.mark.scenario(37)
def test_a_newer_folder_is_refused_by_name(tmp_path: Path, figure: Figure) -> None:
    paths = make_run(tmp_path / "run")
    value = json.loads(paths.run_json.read_text())
    value |= {"schema": 2, "versions": {"napari_inr_tomo": "9.8.7"}, "new": 1}
    paths.run_json.write_text(json.dumps(value))
    with pytest.raises(UserError, match=r"schema 2, written by version 9\.8\.7"):
        RunFolder(paths.folder)
    figure("a newer schema: refused, naming the version")


@pytest.mark.scenario(37)
@pytest.mark.parametrize(
    "folder", sorted(GOLDEN.glob("schema-*")), ids=lambda p: p.name
)
def test_folders_of_every_released_schema(
    folder: Path, tmp_path: Path, figure: Figure
) -> None:
    """A finished run is read; one that was killed is taken up and ends."""
    done = RunFolder(folder / "finished")
    done.verify_input()
    done.verify_result()
    assert done.status().state == "finished"
    assert done.series().images.shape == done.spec.shape
    assert io.read_volume(done.result()).data.max() > 0
    angles, _, used = done.poses()
    assert len(angles) == 7
    assert used.sum() == done.spec.shape[0] == 6
    assert runs.Follower(done).poll()[-1].type == "finished"
    shutil.copytree(folder / "interrupted", tmp_path / "run")
    paths = RunPaths(tmp_path / "run")
    paths.make_folders()
    loaded = checkpoint.load(paths.checkpoints)
    assert loaded is not None
    again = finish(paths)
    assert again.status().state == "finished"
    assert "coarse poses" not in {
        event.name for event in again.events() if event.type == "phase"
    }
    figure(f"{folder.name}: read, verified, resumed")


def test_there_is_a_golden_folder_of_this_schema() -> None:
    assert (GOLDEN / f"schema-{layout.SCHEMA}" / "finished" / "run.json").exists()
