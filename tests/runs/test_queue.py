"""A queue over one setting: order, failures, cancelling, taking up again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs import (
    QueueFolder,
    RunFolder,
    create_queue,
    delete_run,
    launching,
    list_runs,
    setting_keys,
    vary,
    work_through,
)
from napari_inr_tomo.runs import queue as module
from napari_inr_tomo.types import TiltSeries

CONFIG = ReconstructionConfig.from_preset("preview")


@pytest.fixture
def queue(tmp_path: Path, series: TiltSeries) -> QueueFolder:
    return create_queue(tmp_path / "q", series, vary(CONFIG, "epochs", ["3", "4", "5"]))


def states(queue: QueueFolder) -> list[str]:
    return [run.words for run in queue.runs()]


def test_settings_differ_in_one_setting_only() -> None:
    made = vary(CONFIG, "inr.schedule.epochs", ["3", " none", "7"])
    assert [v.config.inr.schedule.epochs for v in made] == [3, None, 7]
    assert [v.label for v in made] == ["epochs = 3", "epochs = none", "epochs = 7"]
    back = made[2].config.merged({"inr": {"schedule": {"epochs": None}}})
    assert back == made[1].config
    assert [v.config.method for v in vary(CONFIG, "method", ["sirt", "tv"])] == [
        "sirt",
        "tv",
    ]
    assert vary(CONFIG, "refine", ["true", "false"])[1].name == "refine-false"
    assert vary(CONFIG, "device", ["cpu"])[0].config.compute.device == "cpu"
    for key in setting_keys(CONFIG):
        assert not key.startswith("schema")


@pytest.mark.parametrize(
    ("key", "values", "word"),
    [
        ("epoch", ["1"], "no such setting"),
        ("learning_rate_", ["1"], "no such setting"),
        ("epochs", ["1", "1.0"], "comes twice"),
        ("epochs", [" "], "0 of them"),
        ("epochs", ["many"], "epochs"),
        ("epochs", ["3", "-1"], "epochs"),
        ("preset", ["fast"], "no such setting"),
    ],
)
def test_bad_variations_are_said(key: str, values: list[str], word: str) -> None:
    with pytest.raises(UserError, match=word):
        vary(CONFIG, key, values)


def test_the_runs_are_done_in_order(
    queue: QueueFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert states(queue) == ["waiting"] * 3
    lines = list(work_through(queue, module=worker))
    assert states(queue) == ["finished"] * 3
    assert not queue.alive
    begun = [line.split(":")[0] for line in lines if "begins" in line]
    assert begun == ["epochs = 3", "epochs = 4", "epochs = 5"]
    starts = [RunFolder(r.path).events()[0].time for r in queue.runs()]
    ends = [RunFolder(r.path).events()[-1].time for r in queue.runs()]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert list(work_through(queue, module=worker)) == []
    names = {entry.path.name for entry in list_runs(queue.path.parent)}
    assert names == {"01-epochs-3", "02-epochs-4", "03-epochs-5"}
    monkeypatch.chdir(queue.path.parent)
    assert len(list_runs(Path("q"))) == len(list_runs(Path())) == 3


def test_a_run_that_fails_or_cannot_start_does_not_stop_the_others(
    queue: QueueFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = queue.runs()[1]
    real = launching.launch

    def launch(run: RunFolder, *args: object, **kwargs: object) -> object:
        if run.path == second.path:
            raise UserError("No room", "the disk is full", "Delete something")
        return real(run, *args, **kwargs)

    monkeypatch.setattr(module, "launch", launch)
    lines = list(work_through(queue, module=worker))
    assert states(queue) == ["finished", "not started", "finished"]
    assert "disk is full" in queue.runs()[1].problem
    assert any("not started" in line for line in lines)
    monkeypatch.setattr(module, "launch", real)
    list(work_through(queue, module=worker))
    assert states(queue)[1] == "finished"


def test_a_worker_that_dies_is_followed_by_the_next(
    queue: QueueFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = launching.launch
    dead: list[Path] = []

    def launch(run: RunFolder, *args: object, **kwargs: object) -> object:
        if not dead:
            dead.append(run.path)
            kwargs["module"] = "there_is_no_such_module"
        return real(run, *args, **kwargs)

    monkeypatch.setattr(module, "launch", launch)
    list(work_through(queue, module=worker))
    assert states(queue)[1:] == ["finished", "finished"]
    assert states(queue)[0] == "interrupted"


def test_cancelling_and_deleting(
    queue: QueueFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "3000")
    going = work_through(queue, module=worker)
    assert "begins" in next(going)
    with pytest.raises(UserError, match="in use"):
        next(work_through(queue, module=worker))
    delete_run(queue.runs()[1].path)
    queue.request_cancel()
    lines = list(going)
    assert states(queue) == ["cancelled", "deleted", "waiting"]
    assert any("cancelled" in line for line in lines)
    monkeypatch.setenv("FAKE_STEPS", "3")
    list(work_through(queue, module=worker))
    assert states(queue) == ["cancelled", "deleted", "finished"]
    delete_run(queue.runs()[0].path)
    assert queue.path.is_dir()
    delete_run(queue.runs()[2].path)
    assert not queue.path.exists()


def test_a_queue_whose_process_was_killed_is_taken_up_again(
    queue: QueueFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "60")
    going = work_through(queue, module=worker)
    next(going)
    going.close()  # the process is gone; its worker is not
    assert not queue.alive
    lines = list(work_through(queue, module=worker))
    assert lines[0] == "epochs = 3: goes on in 01-epochs-3"
    assert states(queue) == ["finished"] * 3
    starts = [RunFolder(r.path).events()[0].time for r in queue.runs()]
    ends = [RunFolder(r.path).events()[-1].time for r in queue.runs()]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def test_several_at_once_have_cards_of_their_own(
    queue: QueueFolder, worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    real = launching.launch

    def launch(run: RunFolder, *args: object, **kwargs: object) -> object:
        given.append((args[0], kwargs["extra"]))
        return real(run, *args, **kwargs)

    monkeypatch.setattr(module, "launch", launch)
    monkeypatch.setattr(module, "visible_gpus", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    list(work_through(queue, 2, module=worker))
    assert states(queue) == ["finished"] * 3
    assert given[:2] == [
        (1, {"CUDA_VISIBLE_DEVICES": "4"}),
        (1, {"CUDA_VISIBLE_DEVICES": "6"}),
    ]


def test_a_folder_that_is_no_queue(tmp_path: Path, queue: QueueFolder) -> None:
    value = json.loads((queue.path / "queue.json").read_text())
    for bad in ("{", "[]", json.dumps(value | {"schema": 9})):
        (tmp_path / "queue.json").write_text(bad)
        with pytest.raises(UserError, match="cannot be read"):
            QueueFolder(tmp_path)
    value["runs"][0]["name"] = "../seven"
    (tmp_path / "queue.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match="leads out"):
        QueueFolder(tmp_path)
    shutil.rmtree(queue.path / "01-epochs-3")
    assert states(queue)[0] == "deleted"
