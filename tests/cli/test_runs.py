"""``resume``, ``follow``, ``stop``, ``export`` on the folder of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from napari_inr_tomo.atomic import sha256
from napari_inr_tomo.cli.watch import in_words
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.io import read_poses, read_series, read_volume
from napari_inr_tomo.runs import RunFolder, RunStatus, create_run, launch

Cli = Callable[..., Any]
Wait = Callable[..., None]


@pytest.fixture
def run(stack: Path, tmp_path: Path) -> RunFolder:
    config = ReconstructionConfig.from_preset("preview", method="sirt")
    return create_run(tmp_path / "r", read_series(stack), config)


def test_runs_are_listed(cli: Cli, run: RunFolder, tmp_path: Path) -> None:
    answer = cli("list", tmp_path, "--json")
    assert [entry["run"] for entry in answer.json["runs"]] == [str(run.path)]
    assert answer.json["runs"][0]["state"] == "created"
    assert "sirt (preview)" in cli("list", tmp_path).out
    assert "no runs in" in cli("list", tmp_path / "absent").out


@pytest.mark.usefixtures("fake_engine")
def test_resume_starts_what_was_never_started(cli: Cli, run: RunFolder) -> None:
    answer = cli("resume", run.path, "--json")
    assert answer.json["state"] == "finished"
    assert "went to its planned end" in cli("resume", run.path).problem


def test_a_run_is_followed_and_stopped(
    cli: Cli,
    run: RunFolder,
    worker: str,
    eventually: Wait,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "is not running: it is created" in cli("stop", run.path).problem
    assert "has no result" in cli("export", run.path, "-o", run.path / "x.mrc").problem
    monkeypatch.setenv("FAKE_STEPS", "100000")
    launch(run, 1, module=worker)
    eventually(lambda: run.status().step >= 1)
    assert cli("stop", run.path).status == 0
    told = cli("follow", run.path, "--json")
    assert told.json["state"] == "stopped"
    assert told.json["step"] >= 1
    assert "stopped: Finished early, as asked, after" in cli("follow", run.path).out


@pytest.mark.usefixtures("fake_engine")
def test_a_submitted_run_is_followed_from_the_queue_on(
    cli: Cli, run: RunFolder, worker: str
) -> None:
    (run.path / "submit.sbatch").write_text("#!/bin/bash\n")
    assert run.status().state == "waiting"
    assert "waiting. Take its job out of the queue" in cli("stop", run.path).problem
    job = Timer(1.0, launch, (run, 1), {"module": worker})
    job.start()
    told = cli("follow", run.path, "--json")
    job.join()
    assert told.json["state"] == "finished"
    assert cli("follow", run.path).out.startswith("Finished after")  # said once


def test_a_run_is_cancelled(
    cli: Cli,
    run: RunFolder,
    worker: str,
    eventually: Wait,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "100000")
    launch(run, 1, module=worker)
    eventually(lambda: run.status().step >= 1)
    assert cli("stop", run.path, "--cancel").status == 0
    eventually(lambda: run.status().state == "cancelled")


def test_a_result_is_exported_if_it_is_whole(
    cli: Cli, run: RunFolder, worker: str, tmp_path: Path
) -> None:
    assert launch(run, 1, module=worker).wait(20) == 0
    volume, poses = tmp_path / "v.tif", tmp_path / "p.csv"
    assert cli("export", run.path, "-o", volume, "--poses", poses).status == 0
    assert read_volume(volume).data.max() == 5
    assert len(read_poses(poses)[0]) == 13
    content = bytearray(run.paths.result_volume.read_bytes())
    content[-1] ^= 1  # one flipped bit
    run.paths.result_volume.write_bytes(content)
    problem = cli("export", run.path, "-o", tmp_path / "w.tif").problem
    assert "SHA-256 differs" in problem
    assert not (tmp_path / "w.tif").exists()
    checked = cli("validate", run.path, "--json")
    assert checked.status == 2
    assert "volume.mrc" in json.loads(checked.out)["problems"][0]


def test_a_damaged_checkpoint_is_found(cli: Cli, run: RunFolder) -> None:
    folder = run.paths.checkpoints
    folder.mkdir(exist_ok=True)
    for step in (1, 2):
        file = folder / f"step-{step:09d}.npz"
        file.write_bytes(bytes([step, 0, 0]))
        file.with_suffix(".sha256").write_text(sha256(file))
    (folder / "step-000000003.npz").write_bytes(b"half")  # never finished: no digest
    assert cli("validate", run.path).status == 0
    (folder / "step-000000002.npz").write_bytes(bytes([2, 0, 1]))  # one flipped bit
    checked = cli("validate", run.path, "--json")
    assert checked.status == 2
    (problem,) = json.loads(checked.out)["problems"]
    assert "step-000000002.npz is damaged" in problem


@pytest.mark.parametrize(
    ("phase", "step", "total", "words"),
    [
        ("rays", 1, 6, "Learning from the images, epoch 2 of 6, loss 0.5"),
        ("rays", 0, 1, "Learning from the images, loss 0.5"),
        ("learning the start", 7, 300, "Learning the start, 7 of 300, loss 0.5"),
        ("SIRT", 7, 20, "SIRT, iteration 7 of 20, loss 0.5"),
        ("", 0, 0, "running, loss 0.5"),
    ],
)
def test_the_terminal_uses_the_words_of_the_monitor(
    phase: str, step: int, total: int, words: str
) -> None:
    assert in_words(RunStatus("running", step, total, phase, loss=0.5)) == words


def test_without_sbatch_no_run_folder_is_made(
    cli: Cli, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = cli("submit", stack, "-o", tmp_path / "v.mrc", "--slurm")
    assert "no sbatch" in answer.problem
    assert not (tmp_path / "v.inr-run").exists()


def test_a_refused_submission_can_be_made_again(
    cli: Cli, stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "sbatch"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    words = ("submit", stack, "-o", tmp_path / "v.mrc", "--slurm")
    run = tmp_path / "v.inr-run"
    answer = cli(*words, "--run", run)
    assert "SLURM refused the run: no such partition" in answer.problem
    assert not run.exists()
    tool.write_text("#!/bin/sh\necho Submitted batch job 4\n")
    assert "batch job 4" in cli(*words, "--run", run).out
    assert RunFolder(run).status().state == "waiting"
