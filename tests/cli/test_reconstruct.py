"""``reconstruct``, ``rerun``, ``submit``: settings, run folders, Ctrl-C, records."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.cli.jobs import Wishes, report, run_folder_beside
from napari_inr_tomo.io import read_poses, read_volume, write_poses
from napari_inr_tomo.runs import RunFolder
from napari_inr_tomo.types import Poses

Cli = Callable[..., Any]
posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


def test_settings_come_from_preset_file_and_options(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('seed = 5\n[inr.schedule]\nepochs = 7\n[compute]\ndevice = "cpu"\n')
    config = Wishes(
        preset="paper", config=file, epochs=9, depth=40, refine_poses=False
    ).settings()
    assert config.preset == "paper"
    assert config.inr.field.width == 512
    assert (config.seed, config.depth_px) == (5, 40)
    assert (config.inr.schedule.epochs, config.inr.poses.refine) == (9, False)
    assert config.compute.device == "cpu"
    sirt = Wishes(method="sirt", iterations=3, processes=2, seed=1).settings()
    assert (sirt.method, sirt.classic.iterations, sirt.compute.processes) == (
        "sirt",
        3,
        2,
    )


def test_a_card_that_is_not_there_is_not_passed_over(
    cli: Cli, stack: Path, tmp_path: Path, fake_engine: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    card = "napari_inr_tomo.preprocess.arrays.card_works"
    monkeypatch.setattr(card, lambda: False)
    words = ["reconstruct", stack, "-o", tmp_path / "v.mrc", "--method", "sirt"]
    problem = cli(*words, "--device", "cuda").problem
    assert problem.startswith("--device cuda cannot be used: there is no graphics card")
    assert not (tmp_path / "v.inr-run").exists()
    (tmp_path / "my.toml").write_text('[compute]\ndevice = "cuda"\n')
    answer = cli(*words, "--config", tmp_path / "my.toml")
    assert answer.status == 0, answer.err
    assert answer.err.count("the processor does the work") == 1
    run = tmp_path / "v.inr-run"
    assert "cannot be used" in cli("resume", run, "--device", "cuda").problem
    monkeypatch.setattr(card, lambda: True)
    assert Wishes(device="cuda").settings().compute.device == "cuda"


def test_run_folders_are_numbered(tmp_path: Path) -> None:
    assert run_folder_beside(tmp_path / "v.ome.zarr").name == "v.inr-run"
    (tmp_path / "v.inr-run").mkdir()
    assert run_folder_beside(tmp_path / "v.mrc").name == "v-2.inr-run"
    assert run_folder_beside(tmp_path / "v.1.mrc").name == "v.1.inr-run"


@pytest.mark.usefixtures("fake_engine")
def test_a_volume_and_its_poses_are_written(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    volume, poses = tmp_path / "v.npy", tmp_path / "p.csv"
    words = ("reconstruct", stack, "-o", volume, "--poses", poses, "--method", "sirt")
    answer = cli(*words, "--json")
    assert answer.status == 0, answer.err
    assert answer.json["state"] == "finished"
    assert answer.json["run"] == str(tmp_path / "v.inr-run")
    assert "Run folder (kept)" in answer.err
    assert "Source of the angles: side-car stack.tlt" in answer.err
    assert read_volume(volume).data.max() == 5  # the fake worker's five steps
    assert len(read_poses(poses)[0]) == 13
    run = RunFolder(tmp_path / "v.inr-run")
    assert run.spec.source_name == "stack.mrc"
    assert cli(*words, "--json").json["run"] == str(tmp_path / "v-2.inr-run")


def test_the_end_is_told_in_the_words_of_the_monitor() -> None:
    values = {
        "loss": 0.1,
        "holdout": None,
        "message": "Finished early, as asked, after 3 s, epoch 2 of 8",
        "volume": "v.mrc",
        "poses": "p.csv",
    }
    files = ["volume: v.mrc", "poses: p.csv"]
    assert report(values) == [values["message"], "loss: 0.1", *files]
    assert report(values | {"loss": None}) == [values["message"], *files]
    lines = report(values | {"holdout": 0.25})
    assert lines[1:3] == ["loss: 0.1", "loss on held-out pixels: 0.25"]


@pytest.mark.usefixtures("fake_engine")
def test_start_poses_are_taken_from_a_table(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    start = Poses.from_axis(13, 7.0, dy_px=1.5)
    used = np.arange(13) != 4
    write_poses(tmp_path / "start.csv", np.arange(-60, 61, 10), start, used)
    words = ("--run", tmp_path / "r", "--poses-start", tmp_path / "start.csv")
    assert cli("reconstruct", stack, "-o", tmp_path / "v.mrc", *words).status == 0
    spec = RunFolder(tmp_path / "r").spec
    assert spec.original_used.tolist() == used.tolist()
    assert spec.poses.axis_deg == pytest.approx(7)
    again = cli("reconstruct", stack, "-o", tmp_path / "v.mrc", *words)
    assert "already holds a run" in again.problem


def press_ctrl_c(run: Path, times: int) -> threading.Thread:
    """Send SIGINT to this process once the run in ``run`` has made a step."""

    def press() -> None:
        while not (run / "run.json").exists() or RunFolder(run).status().step < 1:
            time.sleep(0.05)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


@posix
@pytest.mark.usefixtures("fake_engine")
def test_ctrl_c_stops_and_keeps_the_result(
    cli: Cli, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    thread = press_ctrl_c(tmp_path / "v.inr-run", times=1)
    answer = cli("reconstruct", stack, "-o", tmp_path / "v.mrc", "--json")
    thread.join()
    assert answer.status == 0, answer.err
    assert answer.json["state"] == "stopped"
    assert "Stopping; the result so far is kept" in answer.err
    assert read_volume(tmp_path / "v.mrc").data.max() == answer.json["steps"]


@posix
@pytest.mark.usefixtures("fake_engine")
def test_ctrl_c_twice_cancels_and_resume_goes_on(
    cli: Cli, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    monkeypatch.setenv("FAKE_PAUSE_S", "0.3")  # both are there when it looks
    run, volume = tmp_path / "v.inr-run", tmp_path / "v.mrc"
    thread = press_ctrl_c(run, times=2)
    answer = cli("reconstruct", stack, "-o", volume)
    thread.join()
    assert "(cancelled)" in answer.problem
    assert f"inr-tomo resume {run}" in answer.problem
    assert not volume.exists()
    monkeypatch.setenv("FAKE_STEPS", "2")
    assert cli("resume", run, "-o", volume).status == 0
    assert read_volume(volume).data.max() == 2


@pytest.mark.usefixtures("worker")
def test_workers_that_die_are_one_line(
    cli: Cli, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from napari_inr_tomo import runs

    monkeypatch.setattr(runs, "launch", partial(runs.launch, module="no_such_worker"))
    problem = cli("reconstruct", stack, "-o", tmp_path / "v.mrc").problem
    assert "(interrupted)" in problem
    assert "No module named no_such_worker" in problem


@pytest.mark.usefixtures("fake_engine")
def test_a_record_is_followed_from_the_raw_stack(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    ready, volume = tmp_path / "ready.mrc", tmp_path / "v.mrc"
    steps = ("--exclude", "2", "--bin", 2, "--background", "bernstein", "--degree", 1)
    cli("preprocess", stack, "-o", ready, *steps, "--align", "xcorr")
    settings = ("--method", "sirt", "--iterations", 4, "--seed", 8)
    assert cli("reconstruct", ready, "-o", volume, *settings).status == 0
    record = tmp_path / "v.inr-run" / "result" / "record.json"
    first = RunFolder(tmp_path / "v.inr-run").spec
    for source in (ready, stack):  # the preprocessed stack, and the raw one
        again = cli("reconstruct", source, "-o", volume, "--record", record, "--json")
        assert again.status == 0, again.err
        spec = RunFolder(Path(again.json["run"])).spec
        assert spec.input_sha256 == first.input_sha256
        assert spec.config == first.config
        assert np.array_equal(spec.poses.as_array(), first.poses.as_array())
    refused = cli("reconstruct", ready, "-o", volume, "--record", record, "--seed", 2)
    assert "--seed cannot be used with --record" in refused.problem


def without_angles(stack: Path) -> None:
    for end in (".tlt", ".xf", ".json"):
        stack.with_suffix(end).unlink()


def done_again(cli: Cli, stack: Path, run: Path) -> RunFolder:
    """Return the run that follows the record of another from a stack; the same."""
    words = ("--record", run / "result" / "record.json", "--json")
    again = cli("reconstruct", stack, "-o", run.with_name("again.mrc"), *words)
    assert again.status == 0, again.err
    assert "to rounding only" not in again.err
    first, second = RunFolder(run), RunFolder(Path(again.json["run"]))
    assert second.spec.input_sha256 == first.spec.input_sha256
    assert second.spec.history == first.spec.history
    assert second.spec.angles_deg.tolist() == first.spec.angles_deg.tolist()
    return second


@pytest.mark.usefixtures("fake_engine")
def test_a_record_is_followed_through_a_flip(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    """What comes after the flip depends on the angles; those are flipped once."""
    ready, volume = tmp_path / "ready.mrc", tmp_path / "v.mrc"
    words = ("--flip-handedness", "--align", "xcorr,axis")
    assert cli("preprocess", stack, "-o", ready, *words).status == 0
    assert cli("reconstruct", ready, "-o", volume, "--method", "fbp").status == 0
    done_again(cli, stack, tmp_path / "v.inr-run")
    without_angles(stack)  # then those of the record, flipped back
    done_again(cli, stack, tmp_path / "v.inr-run")


@pytest.mark.usefixtures("fake_engine")
@pytest.mark.parametrize("own", [True, False])
def test_a_record_holds_the_angles_that_were_given(
    cli: Cli, stack: Path, tmp_path: Path, own: bool
) -> None:
    if not own:
        without_angles(stack)
    ready, volume = tmp_path / "ready.mrc", tmp_path / "v.mrc"
    words = ("--angles=-66:66:11", "--exclude", "2,7", "--align", "xcorr,axis")
    assert cli("preprocess", stack, "-o", ready, *words).status == 0
    assert cli("reconstruct", ready, "-o", volume, "--method", "fbp").status == 0
    run = done_again(cli, stack, tmp_path / "v.inr-run")
    assert run.spec.angles_deg[:3].tolist() == [-66, -55, -33]
    words = ("--angles=-60:60:10+reversed", "--method", "fbp", "--run", tmp_path / "r")
    assert cli("reconstruct", stack, "-o", volume, *words).status == 0
    assert done_again(cli, stack, tmp_path / "r").spec.angles_deg[0] == 60


@pytest.mark.usefixtures("fake_engine")
def test_a_record_made_with_a_card_is_followed_without_one_and_says_so(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    ready, volume = tmp_path / "ready.mrc", tmp_path / "v.mrc"
    cli("preprocess", stack, "-o", ready, "--background", "bernstein")
    cli("reconstruct", ready, "-o", volume, "--method", "sirt")
    record = tmp_path / "v.inr-run" / "result" / "record.json"
    written = record.read_text()
    assert written.count('"device": "cpu"') == 1
    record.write_text(written.replace('"device": "cpu"', '"device": "cuda"'))
    again = cli("reconstruct", stack, "-o", volume, "--record", record, "--json")
    assert again.status == 0, again.err
    assert "to rounding only" in again.err
    spec = RunFolder(Path(again.json["run"])).spec
    first = RunFolder(tmp_path / "v.inr-run").spec
    assert spec.history == first.history  # it says what was used this time
    assert spec.input_sha256 == first.input_sha256


@pytest.mark.usefixtures("fake_engine")
def test_another_stack_does_not_fit_a_record(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    volume, other = tmp_path / "v.mrc", tmp_path / "other.mrc"
    cli("reconstruct", stack, "-o", volume, "--method", "sirt")
    record = tmp_path / "v.inr-run" / "result" / "record.json"
    cli("simulate", "-o", other, "--size", 24, "--tilts=-60:60:10", "--seed", 4)
    words = ("-o", volume, "--record", record)
    assert "not the stack of this record" in cli("reconstruct", other, *words).problem
    other.with_suffix(".json").unlink()  # no history any more: the pixels decide
    other.write_bytes(other.read_bytes()[:-4] + b"\0\0\0\x41")
    assert "not the stack of this record" in cli("reconstruct", other, *words).problem
    assert not (tmp_path / "v-2.inr-run").exists()
    value = json.loads(record.read_text())
    value["history"].append({"name": "drawn by hand", "parameters": {}})
    record.write_text(json.dumps(value))
    assert "drawn by hand cannot be done" in cli("reconstruct", stack, *words).problem


@pytest.mark.usefixtures("fake_engine")
def test_submit_writes_a_script(
    cli: Cli, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = tmp_path / "v.mrc"
    words = ("submit", stack, "-o", volume, "--sbatch=--partition=gpu", "--nodes", 2)
    shown = cli(*words, "--slurm", "--dry-run")
    assert shown.status == 0
    assert "#SBATCH --partition=gpu" in shown.out
    assert f"-m napari_inr_tomo.engine {tmp_path / 'v.inr-run'}" in shown.out
    assert "Add --slurm" in cli(*words).problem
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no sbatch" in cli(*words, "--slurm").problem
    assert not (tmp_path / "v.inr-run").exists()


def test_the_real_engine_gives_the_same_twice(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(Path(__file__).parents[2] / "src")
    monkeypatch.setenv("PYTHONPATH", source)
    stack, first = tmp_path / "s.mrc", tmp_path / "a.npy"
    made = ("--size", 12, "--tilts=-60:60:20", "--truth", tmp_path / "t.mrc")
    cli("simulate", "-o", stack, *made)
    words = ("reconstruct", stack, "-o", first, "--method", "sirt", "--iterations", 9)
    answer = cli(*words, "--device", "cpu")
    assert answer.status == 0, answer.err
    assert cli("rerun", tmp_path / "a.inr-run", "-o", tmp_path / "b.npy").status == 0
    one, two = (read_volume(tmp_path / f"{name}.npy").data for name in "ab")
    assert np.array_equal(one, two)
    judged = cli("compare", first, tmp_path / "t.mrc", "--json").json
    assert judged["ssim"] > 0.5
    assert cli("validate", tmp_path / "b.inr-run").status == 0


def test_a_slab_is_cut_out_of_the_middle(cli: Cli, stack: Path, tmp_path: Path) -> None:
    volume = tmp_path / "slab.npy"
    common = ("-o", volume, "--method", "sirt", "--iterations", 5)
    said = cli("reconstruct", stack, *common, "--slab", 10, "--json").json
    assert said["slices"] == {"axis": "x", "first": 6, "last": 13}
    assert np.load(volume).shape == (24, 24, 8)
    assert (
        "--slab"
        in cli(
            "reconstruct", stack, "-o", volume, "--slab", 3, "--record", "record.json"
        ).problem
    )
    assert "0 to 23" in cli("reconstruct", stack, *common, "--slab", 24).problem


def test_a_slab_has_the_poses_of_the_whole_images(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    start = Poses.from_axis(13, 4.0, dx_px=-1.0, dy_px=1.5)
    used = np.arange(13) != 4
    write_poses(tmp_path / "start.csv", np.arange(-60, 61, 10), start, used)
    words = ("reconstruct", stack, "-o", tmp_path / "slab.npy", "--slab", 10)
    poses = tmp_path / "poses.csv"
    words = (*words, "--poses", poses, "--poses-start", tmp_path / "start.csv")
    refused = cli(*words, "--method", "inr", "--refine-poses")
    assert "--slab cannot be used with --refine-poses" in refused.problem
    assert not (tmp_path / "slab.inr-run").exists()
    said = cli(*words, "--method", "sirt", "--iterations", 2, "--json")
    assert said.json["poses"] == str(poses)
    angles, found, mask = read_poses(poses)
    np.testing.assert_allclose(angles, np.arange(-60, 61, 10))
    np.testing.assert_allclose(found.as_array(), start.as_array(), atol=1e-6)
    assert mask.tolist() == used.tolist()
    residual = np.genfromtxt(poses, delimiter=",", names=True)["residual"]
    assert np.isfinite(residual).tolist() == used.tolist()


def test_time_and_memory_are_measured_before(
    cli: Cli, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_inr_tomo.runs import timing

    monkeypatch.setattr(timing, "cache_file", lambda: tmp_path / "times.json")
    words = ("estimate", stack, "--method", "sirt", "--device", "cpu")
    short, long = (
        cli(*words, "--iterations", count, "--json").json["estimates"][0]
        for count in (1000, 2000)
    )
    assert long["phases_s"]["SIRT"] == pytest.approx(2 * short["phases_s"]["SIRT"])
    assert short["memory_bytes"] > 5e7
    assert cli(*words).out.startswith("sirt: about ")
