"""Thousands of damaged inputs: one kind of error, no view lost, bounded cost."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

if os.name == "nt":
    pytest.skip("the children are forked", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "io"))

from fault_runs import make_run
from fuzzing import Fuzzed, fuzz
from io_samples import ANGLES, SHAPE, make, mrc, pixels, tlt

from napari_inr_tomo import atomic
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.engine import checkpoint, inr_run, worker
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io import hdf5, read_images, read_poses, read_series, read_volume
from napari_inr_tomo.planes import write_slices
from napari_inr_tomo.runs import Follower, RunFolder

Figure = Callable[[str], None]
COUNTS = [150, pytest.param(5000, marks=pytest.mark.faults)]
MOST_S, MOST_MB = 1.0, 250.0


def check(found: Fuzzed, what: str, figure: Figure) -> None:
    assert found.escapes == []
    assert found.deadly == []
    assert found.refused
    assert found.slowest_s < MOST_S
    assert found.growth_mb < MOST_MB
    figure(found.words(what))


def opens_whole(path: Path) -> None:
    """A stack opens with all its views, or says what is doubtful, or is refused."""
    stack = read_images(path)
    if len(stack) != SHAPE[0]:
        assert stack.doubts, f"{len(stack)} of {SHAPE[0]} views without a word"


@pytest.mark.parametrize("count", COUNTS, ids=["few", "many"])
@pytest.mark.parametrize(
    ("kind", "head"),
    [
        pytest.param("mrc", 1024, marks=pytest.mark.scenario(24)),
        pytest.param("npy", 128, marks=pytest.mark.scenario(23)),
        pytest.param("tif", 400, marks=pytest.mark.scenario(23)),
        pytest.param("tif-plain", 400, marks=pytest.mark.scenario(23)),
        pytest.param("tif-zlib", 400, marks=pytest.mark.scenario(23)),
        pytest.param("tif-imagej", 400, marks=pytest.mark.scenario(23)),
        pytest.param("emd", 4000, marks=pytest.mark.scenario(23)),
        pytest.param("h5", 4000, marks=pytest.mark.scenario(23)),
    ],
)
def test_damaged_stacks(
    tmp_path: Path,
    kind: str,
    head: int,
    count: int,
    figure: Figure,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = make(kind, tmp_path)
    # the look of another process beforehand is left out, for it takes its time
    monkeypatch.setattr(hdf5, "probe", lambda path: None)
    found = fuzz(path, lambda: opens_whole(path), count, head)
    monkeypatch.undo()
    monkeypatch.setattr(hdf5, "PROBE_S", 5.0)
    deadly, found.deadly = found.deadly, []
    assert kind in ("emd", "h5") or not deadly
    for content in deadly:  # the HDF5 library itself hangs or crashes on these
        path.write_bytes(content)
        with pytest.raises(UserError, match="HDF5 library"):
            read_images(path)
    words = f" ({len(deadly)} of them caught by the first look)" if deadly else ""
    check(found, kind + words, figure)


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["mrc", "npy", "tif"])
@pytest.mark.scenario(23)
def test_damaged_volumes(tmp_path: Path, kind: str, figure: Figure) -> None:
    path = make(kind, tmp_path)
    found = fuzz(path, lambda: read_volume(path) and None, 1000, 1024)
    check(found, f"volumes as {kind}", figure)


@pytest.mark.scenario(24)
@pytest.mark.parametrize("count", COUNTS, ids=["few", "many"])
@pytest.mark.parametrize("kind", ["tlt", "mdoc", "csv"])
def test_damaged_angles(tmp_path: Path, kind: str, count: int, figure: Figure) -> None:
    stack = mrc(tmp_path / "stack.mrc", pixels())
    path = tlt(tmp_path / f"angles.{kind}")
    if kind == "mdoc":
        parts = [f"[ZValue = {i}]\nTiltAngle = {a}\n" for i, a in enumerate(ANGLES)]
        head = "PixelSpacing = 3.5\nImageFile = stack.mrc\n"
        path.write_text(head + "\n".join(parts))
    elif kind == "csv":
        rows = [f"{i},{a}\n" for i, a in enumerate(ANGLES)]
        path.write_text("tilt,angle_deg\n" + "".join(rows))
    images = read_images(stack)

    def attempt() -> None:
        series = images.with_angles(path)
        assert len(series.angles_deg) == SHAPE[0]
        assert np.isfinite(series.angles_deg).all()

    check(fuzz(path, attempt, count, 300, text=True), kind, figure)


@pytest.mark.scenario(14)
@pytest.mark.parametrize("count", COUNTS, ids=["few", "many"])
def test_damaged_settings(tmp_path: Path, count: int, figure: Figure) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        'method = "inr"\npreset = "fast"\ndepth_px = 96\n[inr.schedule]\nepochs = 60\n'
        "[inr.poses]\nlearning_rate_px = 0.02\n[classic]\niterations = 12\n"
    )
    load = ReconstructionConfig.load
    found = fuzz(path, lambda: load(path) and None, count, 200, True)
    check(found, "settings", figure)


@pytest.mark.scenario(14)
@pytest.mark.parametrize("count", COUNTS, ids=["few", "many"])
@pytest.mark.parametrize("name", ["run.json", "input.npy", "poses.csv"])
def test_damaged_run_folders(
    tmp_path: Path, name: str, count: int, figure: Figure
) -> None:
    paths = make_run(tmp_path / "run", method="fbp")
    assert worker.main(str(paths.folder)) == 0
    path = paths.result_poses if name == "poses.csv" else paths.folder / name

    def attempt() -> None:
        if name == "poses.csv":
            read_poses(path)
            return
        run = RunFolder(paths.folder)
        run.status()
        series = run.series()
        assert len(series) == run.spec.shape[0]
        if name == "input.npy":
            run.verify_input()

    check(fuzz(path, attempt, count, 2000, name != "input.npy"), name, figure)


READ = ["lock", "logs/launcher.json", "logs/restarts.json", "result/COMPLETE"]
SHOWN = ["previews/volume.npy", "previews/slices.npz", "previews/poses.csv"]


@pytest.mark.scenario(14)
@pytest.mark.parametrize(
    "count", [50, pytest.param(1000, marks=pytest.mark.faults)], ids=["few", "many"]
)
@pytest.mark.parametrize("name", [*READ, *SHOWN])
def test_damaged_files_beside_a_run(
    tmp_path: Path, name: str, count: int, figure: Figure
) -> None:
    """Whatever the small files hold, the run is listed, judged and shown."""
    from napari_inr_tomo import events, restarts
    from napari_inr_tomo.runs.catalogue import thumbnail
    from napari_inr_tomo.ui.live import merge

    paths = make_run(tmp_path / "run", method="sirt")
    assert worker.main(str(paths.folder)) == 0
    write_slices(paths.preview_slices, [np.ones((5, 7), np.float32)] * 3)
    me = {"pid": os.getpid(), "host": socket.gethostname(), "started": 1.0, "born": 1.0}
    for path in (paths.lock, paths.launcher):
        path.write_text(json.dumps(me))
    paths.restarts.write_text('{"count": 1, "step": 3}')
    path = paths.folder / name
    assert path.is_file()
    shown = [
        events.Preview(step=1, file=SHOWN[0], shape_zyx=(1, 1, 1), voxel_px=1),
        events.Slices(step=1, name="a", file=SHOWN[1]),
        events.PosesUpdated(step=1, file=SHOWN[2]),
    ]

    def attempt() -> None:
        run = RunFolder(paths.folder)
        run.status()
        thumbnail(run)
        merge(paths.folder, shown)
        restarts._remembered(paths)
        if name == "result/COMPLETE":
            run.verify_result()

    found = fuzz(path, attempt, count, 3000, name not in SHOWN[:2])
    assert found.refused == 0 or name == "result/COMPLETE"
    assert (found.escapes, found.deadly) == ([], [])
    assert found.slowest_s < MOST_S
    assert found.growth_mb < MOST_MB
    figure(found.words(name))


@pytest.mark.scenario(39)
@pytest.mark.parametrize("count", COUNTS, ids=["few", "many"])
def test_damaged_events(tmp_path: Path, count: int, figure: Figure) -> None:
    paths = make_run(tmp_path / "run", method="sirt")
    assert worker.main(str(paths.folder)) == 0
    run = RunFolder(paths.folder)

    def attempt() -> None:
        for event in Follower(paths).poll():
            assert ".." not in Path(getattr(event, "file", "")).parts
        run.status()

    found = fuzz(paths.events, attempt, count, 3000, True)
    assert found.refused == 0  # a reader never raises
    assert found.escapes == []
    assert found.deadly == []
    assert found.slowest_s < MOST_S
    assert found.growth_mb < MOST_MB
    figure(found.words("events.jsonl"))


@pytest.mark.scenario(11)
@pytest.mark.parametrize("flips", [30, pytest.param(300, marks=pytest.mark.faults)])
def test_flipped_bits_in_a_checkpoint(
    tmp_path: Path, flips: int, figure: Figure
) -> None:
    for step in (1, 2):
        arrays = {"a/b": torch.full((90, 7), float(step), dtype=torch.float64)}
        checkpoint.save(tmp_path, step, arrays, {"step": step})
    path = tmp_path / "step-000000002.npz"
    good, rng = path.read_bytes(), np.random.default_rng(11)
    for place in rng.integers(0, len(good), flips):
        broken = bytearray(good)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        loaded = checkpoint.load(tmp_path)
        assert loaded is not None
        assert loaded[1:] == ({"step": 1}, [path.name])
    figure(f"0 of {flips} flipped bits accepted")


@pytest.mark.scenario(11, 13)
@pytest.mark.parametrize("count", COUNTS, ids=["few", "many"])
def test_checkpoints_with_a_digest_to_match(
    tmp_path: Path, count: int, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a stranger could make them: damaged, and the digest made anew."""
    kept = []
    whole = inr_run.InrRun._finish
    monkeypatch.setattr(
        inr_run.InrRun,
        "_finish",
        lambda self, volume: kept.append(self) or whole(self, volume),
    )
    paths = make_run(tmp_path / "run", {"inr": {"schedule": {"epochs": 20}}})
    assert worker.main(str(paths.folder)) == 0
    (run,) = kept
    path = sorted(paths.checkpoints.glob("*.npz"))[-1]
    for other in paths.checkpoints.glob("*"):
        if other.stem != path.stem:
            other.unlink()
    digest = path.with_suffix(".sha256")

    def sign(content: bytes) -> None:
        digest.write_text(atomic.sha256(path))

    def attempt() -> None:
        job = run.job
        limit = checkpoint.largest(job.config.inr.field, job.box, job.spec.shape[0])
        loaded = checkpoint.load(paths.checkpoints, limit)
        if loaded is None:
            raise UserError("passed over", "damaged", "use the one before")
        inr_run.fitting(inr_run._start_from, loaded, run.job)
        inr_run.fitting(inr_run._check_state, run.trainer, loaded)
        inr_run.fitting(run.trainer.restore, loaded[0], loaded[1])

    check(fuzz(path, attempt, count, 3000, after=sign), "checkpoints", figure)


@pytest.mark.scenario(18)
@pytest.mark.parametrize("number", [0, 1, 6, 8])
def test_a_wrong_number_of_angles_is_told(
    tmp_path: Path, number: int, figure: Figure
) -> None:
    stack = mrc(tmp_path / "stack.mrc", pixels())
    with pytest.raises(UserError) as caught:
        read_series(stack, list(np.linspace(-60, 60, number)))
    if number:
        assert f"{number} " in str(caught.value)
        assert "7" in str(caught.value)
        figure(f"{number} angles for 7 images: refused with both numbers")


@pytest.mark.scenario(20, 21)
def test_doubtful_angles_are_told(tmp_path: Path, figure: Figure) -> None:
    stack = mrc(tmp_path / "stack.mrc", pixels())
    for angles, word in (
        (np.deg2rad(ANGLES), "radians"),
        (ANGLES + 200, "beyond 90"),
        ([-45, -30, -15, 0, 0, 15, 30], "repeat"),
    ):
        series = read_series(stack, list(angles))
        assert any(word in notice for notice in series.notices)
        assert np.array_equal(series.angles_deg, angles)
    figure("said, and nothing was converted")
