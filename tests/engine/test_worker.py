"""The worker program on small runs: results, requests, resume, failures in words."""

from __future__ import annotations

import numpy as np
import pytest
from small_runs import ANGLES, asking, events, make

from napari_inr_tomo import io, metrics, runs
from napari_inr_tomo.engine import checkpoint, inr_run, worker
from napari_inr_tomo.engine.reporter import CANCEL, STOP
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.restarts import requeued
from napari_inr_tomo.simulate import simulate_series


@pytest.mark.parametrize("method", ["fbp", "sirt", "tv", "inr"])
def test_every_method_gives_a_complete_result_with_the_right_hand(
    tmp_path, method
) -> None:
    size = (24, 24)
    changes = {"inr": {"poses": {"refine": False}, "warm_start_steps": 150}}
    paths = make(tmp_path / "run", method, changes, size)
    assert worker.main(str(paths.folder)) == 0
    volume = io.read_volume(runs.RunFolder(paths.folder).result())
    truth = simulate_series("chiral", size, ANGLES, seed=1).truth.data
    right = metrics.psnr(volume.data, truth)
    for mirrored in (truth[::-1], truth[:, ::-1], truth[:, :, ::-1]):
        assert right > metrics.psnr(volume.data, mirrored) + 1
    if method == "sirt":  # FBP loses mass to the wedge, the others are cut short here
        assert volume.data.sum() == pytest.approx(truth.sum(), rel=0.15)
    assert volume.voxel_nm == pytest.approx(1.0)
    said = events(paths)
    assert [e["seq"] for e in said] == list(range(len(said)))
    assert said[0]["type"] == "started"
    assert said[-1]["type"] == "finished"
    angles, _, used = io.read_poses(paths.result_poses)
    np.testing.assert_allclose(angles, ANGLES)
    assert used.all()


def test_poses_are_found_and_reported(tmp_path) -> None:
    simulated = simulate_series("chiral", 32, ANGLES, shift_sigma_px=1.0, seed=1)
    paths = make(tmp_path / "run", "inr", None, 32, shift_sigma_px=1.0)
    assert worker.main(str(paths.folder)) == 0
    _, found, _ = io.read_poses(paths.result_poses)
    errors = metrics.pose_errors(ANGLES, found, simulated.truth_poses)
    assert errors["shift_px"] < 0.2
    assert any(e["type"] == "poses" for e in events(paths))


def test_same_seed_same_result(tmp_path) -> None:
    volumes = []
    for name in "ab":
        paths = make(tmp_path / name, "inr")
        worker.main(str(paths.folder))
        volumes.append(io.read_volume(paths.result_volume).data)
    assert np.array_equal(*volumes)


def test_a_cancelled_run_goes_on_where_it_was(tmp_path, monkeypatch) -> None:
    straight = make(tmp_path / "a", "inr")
    assert worker.main(str(straight.folder)) == 0
    broken = make(tmp_path / "b", "inr")
    with monkeypatch.context() as patch:
        asking(patch, CANCEL, after=17)
        assert worker.main(str(broken.folder)) == 0
    assert events(broken)[-1]["type"] == "cancelled"
    assert not broken.complete.exists()
    requeued(broken).touch()  # as the script of its job does at the time limit
    assert runs.RunFolder(broken.folder).status().state == "waiting"
    assert worker.main(str(broken.folder)) == 0
    assert runs.RunFolder(broken.folder).status().state == "finished"
    assert not requeued(broken).exists()
    again = [e for e in events(broken) if e["type"] == "phase"]
    assert again[-1]["name"] == "rays"
    assert [e["name"] for e in again].count("learning the start") == 1
    starts = [e["resumed_at"] for e in events(broken) if e["type"] == "started"]
    assert starts == [0, 1]
    a, b = (io.read_volume(p.result_volume).data for p in (straight, broken))
    assert np.array_equal(a, b)


def test_a_run_resumed_on_fewer_processes_keeps_its_batch(
    tmp_path, monkeypatch
) -> None:
    """As begun on two processes and gone on with by one: nothing left out or twice."""
    changes = {"inr": {"schedule": {"scale_with_ranks": True, "batch_rays": 128}}}
    straight, broken = (make(tmp_path / name, "inr", changes) for name in "ab")
    whole = inr_run.Trainer

    def of_two(*args):
        return whole(*args[:8], 2)

    with monkeypatch.context() as patch:
        patch.setattr(inr_run, "Trainer", of_two)
        assert worker.main(str(straight.folder)) == 0
        asking(patch, CANCEL, after=20)
        assert worker.main(str(broken.folder)) == 0
    assert checkpoint.load(broken.checkpoints)[1]["progress"]["step"] > 0
    assert worker.main(str(broken.folder)) == 0
    a, b = (io.read_volume(p.result_volume).data for p in (straight, broken))
    assert np.array_equal(a, b)


def test_a_damaged_checkpoint_is_said_and_the_run_still_ends(
    tmp_path, monkeypatch
) -> None:
    paths = make(tmp_path / "run", "inr")
    with monkeypatch.context() as patch:
        asking(patch, CANCEL, after=5)
        worker.main(str(paths.folder))
    arrays, info, _ = checkpoint.load(paths.checkpoints)
    newer = checkpoint.save(paths.checkpoints, 999, arrays, info)
    newer.write_bytes(newer.read_bytes()[:-9])
    assert worker.main(str(paths.folder)) == 0
    warned = [e for e in events(paths) if e["type"] == "warning"]
    assert "damaged" in warned[-1]["what"]


def test_stop_keeps_a_result(tmp_path, monkeypatch) -> None:
    paths = make(tmp_path / "run", "inr")
    asking(monkeypatch, STOP, after=6)
    assert worker.main(str(paths.folder)) == 0
    last = events(paths)[-1]
    assert (last["type"], last["stopped"]) == ("finished", True)
    assert io.read_volume(runs.RunFolder(paths.folder).result()).data.max() > 0
    assert checkpoint.load(paths.checkpoints) is not None


def test_changed_input_is_refused(tmp_path) -> None:
    paths = make(tmp_path / "run", "sirt")
    images = np.load(paths.input)
    images[0, 0, 0] += 1
    np.save(paths.input, images)
    assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    last = events(paths)[-1]
    assert last["type"] == "failed"
    assert "changed" in last["what"]


def test_divergence_and_full_memory_are_told_in_words(tmp_path, monkeypatch) -> None:
    changes = {"inr": {"schedule": {"learning_rate": 1e30}}}
    paths = make(tmp_path / "wild", "inr", changes)
    assert worker.main(str(paths.folder)) == 0
    assert "diverged" in events(paths)[-1]["reason"]  # the classical start remains
    changes["inr"]["warm_start"] = "none"
    paths = make(tmp_path / "nothing", "inr", changes)
    assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    assert "diverged" in events(paths)[-1]["what"]

    def full(job):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(worker, "run_inr", full)
    paths = make(tmp_path / "full", "inr")
    assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    assert "not enough memory" in events(paths)[-1]["what"]


def test_a_full_disk_costs_the_checkpoint_not_the_run(tmp_path, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(inr_run.checkpoint, "save", full)
    paths = make(tmp_path / "run", "inr", {"compute": {"checkpoint_seconds": 0.01}})
    assert worker.main(str(paths.folder)) == 0
    kinds = [e["type"] for e in events(paths)]
    assert "warning" in kinds
    assert kinds[-1] == "finished"


@pytest.mark.parametrize("method", ["tv", "inr"])
def test_the_order_of_the_tilts_does_not_matter(tmp_path, method) -> None:
    changes = {
        "compute": {"precision": "float64"},
        "inr": {"holdout": {"fraction": 0.2}},
    }
    first = make(tmp_path / "sorted", method, changes, shift_sigma_px=0.5)
    series = runs.RunFolder(first.folder).series()
    order = np.random.default_rng(0).permutation(len(series))
    mixed = runs.create_run(
        tmp_path / "mixed", series.take(order), runs.RunFolder(first.folder).config
    ).paths
    made = []
    for paths in (first, mixed):
        assert worker.main(str(paths.folder)) == 0
        _, poses, _ = io.read_poses(paths.result_poses)
        made.append((io.read_volume(paths.result_volume).data, poses.as_array()))
    (volume, poses), (shuffled, found) = made
    np.testing.assert_allclose(shuffled, volume, atol=1e-4 * volume.max())
    np.testing.assert_allclose(found, poses[order], atol=1e-4)


def test_a_rank_keeps_a_log_of_its_own(tmp_path, monkeypatch, caplog) -> None:
    caplog.set_level("INFO")
    paths = make(tmp_path / "run", "sirt")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert worker.main(str(paths.folder)) == 0
    assert "rank 0 of 1" in (paths.logs / "rank-00.log").read_text()

    def broken(job):
        raise ArithmeticError("seven")

    monkeypatch.setattr(worker, "run_classic", broken)
    assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    last = events(paths)[-1]
    log = (paths.folder / last["do"].split()[1]).read_text()
    assert "ArithmeticError: seven" in log
    assert "Traceback" in log
    monkeypatch.setattr(worker, "run_classic", lambda job: 1 / 0)
    (paths.logs / "rank-00.log").unlink()
    (paths.logs / "rank-00.log").mkdir()  # it cannot be written: the run goes on
    assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    assert "ZeroDivisionError" in events(paths)[-1]["why"]


def test_a_locked_folder_is_left_alone(tmp_path) -> None:
    from napari_inr_tomo.lock import FolderLock

    paths = make(tmp_path / "run", "sirt")
    with FolderLock(paths.lock):
        assert worker.main(str(paths.folder)) == worker.OWN_FAULT
    assert not paths.events.exists()


def test_user_errors_pass_through_unchanged() -> None:
    problem = UserError("a", "b", "c")
    assert worker.explained(problem) is problem
