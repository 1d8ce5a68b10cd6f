"""Full and read-only disks, strangers' folders, other versions, very large stacks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

if os.name == "nt":
    pytest.skip("limits and fork are POSIX", allow_module_level=True)

from fault_runs import check_readable, finish, make_run, ranks

from napari_inr_tomo import atomic, io, layout, runs
from napari_inr_tomo.engine import checkpoint, inr_run
from napari_inr_tomo.engine.sampling import PixelSampler
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import RunPaths, read_run
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
        assert member.wait() == 1
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
        assert member.wait() == 1
    assert "changed" in RunFolder(paths.folder).events()[-1].what
    figure("one flipped bit: resume refused, the file named")


# from strangers --------------------------------------------------------------


class Evil:
    """Runs a command where somebody unpickles it."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


@pytest.mark.scenario(12)
def test_a_planted_program_never_runs(tmp_path: Path, figure: Figure) -> None:
    import pickle

    proof, evil = tmp_path / "it-ran", np.array([Evil(tmp_path / "it-ran")], object)
    pickle.loads(pickle.dumps(Evil(tmp_path / "teeth")))  # noqa: S301 - on purpose
    assert (tmp_path / "teeth").exists()
    paths = make_run(tmp_path / "run")
    np.save(paths.input, evil, allow_pickle=True)
    np.save(tmp_path / "stack.npy", evil, allow_pickle=True)
    path = paths.checkpoints / "step-000000009.npz"
    np.savez(path, info=evil, a=evil)
    path.with_suffix(".sha256").write_text(atomic.sha256(path))
    assert checkpoint.load(paths.checkpoints) is None
    torch.save({"a": Evil(proof)}, path)
    path.with_suffix(".sha256").write_text(atomic.sha256(path))
    assert checkpoint.load(paths.checkpoints) is None
    for read in (
        RunFolder(paths.folder).series,
        lambda: io.read_images(tmp_path / "stack.npy"),
        lambda: io.read_volume(tmp_path / "stack.npy"),
    ):
        with pytest.raises(UserError):
            read()
    assert not proof.exists()
    figure("5 planted programs: 0 ran")


@pytest.mark.scenario(12)
def test_nothing_in_the_code_could_unpickle(figure: Figure) -> None:
    """Also without the linter: ruff's S301 does not see numpy's and torch's ways."""
    words = re.compile(
        r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|torch\.load\(|\bdill\b"
        r"|import pickle|from pickle|import marshal|import shelve|yaml\.(unsafe_)?load"
        r"|\beval\(|\bexec\(|np\.load\((?![^)]*allow_pickle=False)"
    )
    files = list((ROOT / "src").rglob("*.py"))
    assert len(files) > 100
    for file in files:
        text = file.read_text(encoding="utf-8")
        found = words.search(text.replace("\n", " "))
        assert found is None, (file, found and found.group())
    for bad in ("np.load(path)", "torch.load(x, weights_only=True)", "import pickle"):
        assert words.search(bad)
    figure(f"{len(files)} files without a way to unpickle")


@pytest.mark.scenario(13)
def test_a_bomb_in_a_checkpoint(tmp_path: Path, figure: Figure) -> None:
    import resource

    path = tmp_path / "step-000000001.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        with bomb.open("a.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f8", "fortran_order": False, "shape": (25_000_000,)}
            np.lib.format.write_array_header_1_0(member, header)
            for _ in range(200):
                member.write(bytes(1_000_000))
    assert path.stat().st_size < 1_000_000
    digest = path.with_suffix(".sha256")
    digest.write_text(atomic.sha256(path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert checkpoint.load(tmp_path) is None
    with zipfile.ZipFile(path, "w") as claim:  # stored, but the header promises more
        with claim.open("a.npy", "w") as member:
            header["shape"] = (10**13,)
            np.lib.format.write_array_header_1_0(member, header)
    digest.write_text(atomic.sha256(path))
    assert checkpoint.load(tmp_path) is None
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    assert grown < 20
    figure(f"200 MB in 195 kB, and a header of 80 TB: refused, {grown:.0f} MB used")


@pytest.mark.scenario(13)
def test_a_checkpoint_larger_than_the_run_can_have(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, {"a": torch.zeros(1000)}, {})
    checkpoint.save(tmp_path, 2, {"a": torch.zeros(100_000)}, {})
    loaded = checkpoint.load(tmp_path, 100_000)
    assert loaded is not None
    assert loaded[2] == ["step-000000002.npz"]
    assert checkpoint.load(tmp_path, 10) is None


@pytest.mark.faults
@pytest.mark.scenario(13)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    wide = make_run(tmp_path / "a", {"inr": {"field": {"width": 24}}})
    finish(wide)
    narrow = make_run(tmp_path / "b")
    assert any(wide.checkpoints.iterdir())
    shutil.copytree(wide.checkpoints, narrow.checkpoints, dirs_exist_ok=True)
    with ranks(narrow, 1) as (member,):
        assert member.wait() == 1
    assert "does not belong" in RunFolder(narrow.folder).events()[-1].what


@pytest.mark.faults
@pytest.mark.scenario(13)
def test_what_a_run_can_have_is_enough(tmp_path: Path) -> None:
    """The limit never refuses what the run itself wrote, of any kind of network."""
    for kind in ("siren", "hsiren", "triplane"):
        changes = {"inr": {"field": {"kind": kind}, "holdout": {"fraction": 0.2}}}
        paths = make_run(tmp_path / kind, changes)
        finish(paths)
        largest = max(p.stat().st_size for p in paths.checkpoints.glob("*.npz"))

        class Job:
            spec = read_run(paths)
            config = spec.config.resolved(7)
            box = inr_run.Box((15, 15, 13))

        limit = inr_run._largest(Job())  # type: ignore[arg-type]
        assert largest < limit
        assert limit < 3 * largest + 2_000_000


PLACES = ["events.jsonl", "previews", "checkpoints", "result", "logs", "lock"]


@pytest.mark.scenario(14)
@pytest.mark.parametrize("place", [*PLACES, "previews/volume.npy", "run.json"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_links_and_pipes_in_a_run_folder(
    tmp_path: Path, place: str, kind: str, figure: Figure
) -> None:
    paths = make_run(tmp_path / "run")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("untouched")
    path = paths.folder / place
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if kind == "link":
        whole = place in ("previews", "checkpoints", "result", "logs")
        path.symlink_to(outside if whole else outside / "victim")
    else:
        os.mkfifo(path)
    with pytest.raises(UserError, match=r"refused|no run\.json"):
        RunFolder(paths.folder)
    log = paths.folder / "elsewhere.log"
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(paths.folder)],
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert [p.name for p in outside.iterdir()] == ["victim"]
    assert (outside / "victim").read_text() == "untouched"
    if place == "run.json":
        figure(f"a {kind} in place of {len(PLACES) + 2} files and folders: refused")


_READ = """
import sys
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.layout import read_run
try:
    read_run(sys.argv[1] and __import__("pathlib").Path(sys.argv[1]))
except UserError:
    sys.exit(2)
"""

OUTSIDE = ["../x", "/etc/passwd", "C:\\x", "a\0b", "a/../../x", "x" * 300, "", "."]


@pytest.mark.scenario(14)
@pytest.mark.parametrize("name", OUTSIDE, ids=range(len(OUTSIDE)))
def test_names_that_lead_out_of_the_folder(
    tmp_path: Path, name: str, figure: Figure
) -> None:
    paths = RunPaths(tmp_path)
    with pytest.raises(UserError):
        paths.inside(name)
    line = {"seq": 0, "time": 1.0, "type": "poses", "step": 1, "file": name}
    paths.events.write_text(json.dumps(line) + "\n")
    follower = runs.Follower(paths)
    assert follower.poll() == []
    assert follower.unreadable == 1
    if name == OUTSIDE[0]:
        figure(f"{len(OUTSIDE)} names that lead outside: refused, in files and events")


# other versions ----------------------------------------------------------------


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


# large stacks --------------------------------------------------------------------


@pytest.mark.scenario(26)
def test_drawing_pixels_of_a_large_stack_keeps_no_lists(figure: Figure) -> None:
    import tracemalloc

    count = 2048 * 2048 * 141
    sampler = PixelSampler(count, 16_384, seed=1, holdout=0.2)
    sampler.step(0, 0)
    tracemalloc.start()
    for step in (0, 17, sampler.steps - 1):
        pixels = sampler.step(3, step)
        assert 0 <= int(pixels.min())
        assert int(pixels.max()) < count
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_000_000
    figure(f"sampler of {count} pixels: {most / 1e3:.0f} kB besides the batch")


def large_stack(path: Path, views: int, side: int) -> None:
    """A float32 MRC stack, written image by image."""
    import mrcfile

    with mrcfile.new_mmap(path, (views, side, side), mrc_mode=2) as file:
        file.set_image_stack()
        file.voxel_size = 10.0
    row = np.arange(side, dtype="<f4")
    with open(path, "r+b") as handle:
        handle.seek(1024)
        for view in range(views):
            handle.write((row[None] % 97 + (row[:, None] + view) % 89).tobytes())


def peak_of(*words: str) -> float:
    """Run a command of inr-tomo; return its peak resident memory in MB."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from napari_inr_tomo.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) / 1000


@pytest.mark.faults
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of memory")
@pytest.mark.scenario(26)
@pytest.mark.parametrize("factor", [2, 4])
def test_a_large_stack_is_binned_in_a_stream(
    tmp_path: Path, factor: int, figure: Figure
) -> None:
    stack, small = tmp_path / "large.mrc", tmp_path / "small.mrc"
    large_stack(stack, 141, 2048)
    try:
        words = ["--angles=-70:70:1", "--bin", str(factor), "-o", str(small)]
        peak = peak_of("preprocess", str(stack), *words)
        back = io.read_images(small).images
        assert back.shape == (141, 2048 // factor, 2048 // factor)
        row = np.arange(2048, dtype=np.float64)
        image = row[None] % 97 + (row[:, None] + 140) % 89
        side = 2048 // factor
        expected = image.reshape(side, factor, side, factor).mean(axis=(1, 3))
        np.testing.assert_allclose(back[140], expected, rtol=1e-5)
        assert peak < 1000
        figure(f"2048 x 2048 x 141 binned by {factor}: peak {peak:.0f} MB")
    finally:
        stack.unlink()
        small.unlink(missing_ok=True)


@pytest.mark.scenario(26)
def test_binned_in_parts_is_binned_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_inr_tomo.cli import streaming
    from napari_inr_tomo.preprocess import bin_images, fourier_downsample
    from napari_inr_tomo.types import Poses

    rng = np.random.default_rng(26)
    series = RunFolder(make_run(tmp_path / "run").folder).series()
    series = series.evolve(
        poses=Poses.from_array(rng.normal(size=(7, 4))),
        used=np.arange(7) != 4,
        valid=rng.random(series.images.shape) > 0.1,
    )
    for step in (lambda s: bin_images(s, 2), lambda s: fourier_downsample(s, 9)):
        whole = step(series)
        monkeypatch.setattr(streaming, "AT_ONCE", 2 * series.images[0].nbytes)
        parts = streaming.view_by_view(series, step)
        assert np.array_equal(parts.images, whole.images)
        assert np.array_equal(parts.valid, whole.valid)
        assert np.array_equal(parts.mask, whole.mask)
        assert np.array_equal(
            parts.start_poses.as_array(), whole.start_poses.as_array()
        )
        assert parts.history == whole.history
        assert parts.notices == whole.notices
        assert parts.pixel_size_nm == whole.pixel_size_nm


@pytest.mark.scenario(17)
def test_an_offset_goes_with_the_background(tmp_path: Path, figure: Figure) -> None:
    from napari_inr_tomo.preprocess import subtract_background

    series = RunFolder(make_run(tmp_path / "run").folder).series()
    lower = series.evolve(images=series.images - np.float32(3))
    assert (lower.images < 0).any()
    plain, shifted = (subtract_background(s).images for s in (series, lower))
    apart = float(np.abs(plain - shifted).max() / np.abs(plain).max())
    assert apart < 1e-3
    figure(f"offset of -3 and background step: {apart:.1e} apart")


@pytest.mark.scenario(19)
def test_the_order_of_the_tilts_does_not_matter(tmp_path: Path, figure: Figure) -> None:
    series = RunFolder(make_run(tmp_path / "run").folder).series()
    config = RunFolder(tmp_path / "run").config.merged({"method": "sirt"})
    order = np.random.default_rng(19).permutation(len(series))
    mixed = series.evolve(
        images=series.images[order],
        angles_deg=series.angles_deg[order],
        poses=series.start_poses.take(order),
    )
    volumes = []
    for name, one in (("sorted", series), ("mixed", mixed)):
        paths = create_run(tmp_path / name, one, config).paths
        finish(paths)
        volumes.append(io.read_volume(paths.result_volume).data)
    apart = float(np.abs(volumes[0] - volumes[1]).max() / np.abs(volumes[0]).max())
    assert apart < 1e-5
    figure(f"SIRT of shuffled tilts: {apart:.1e} apart")
