"""Strangers' folders and checkpoints: planted programs, bombs, ways out."""

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

from fault_runs import finish, make_run, ranks

from napari_inr_tomo import atomic, io, runs
from napari_inr_tomo.engine import checkpoint, worker
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.inr.box import Box
from napari_inr_tomo.layout import RunPaths, read_run
from napari_inr_tomo.runs import RunFolder

Figure = Callable[[str], None]
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SCHEMAS = sorted(GOLDEN.glob("schema-*"))
Usage = namedtuple("Usage", "total used free")


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
def test_bombs_in_what_the_window_shows(tmp_path: Path, figure: Figure) -> None:
    """Slices of 200 MB in 200 kB, and a live volume of 256 GB that is all hole."""
    import resource

    from napari_inr_tomo import events
    from napari_inr_tomo.ui.live import merge

    (tmp_path / "previews").mkdir()
    volume, slices = "previews/volume.npy", "previews/slices.npz"
    np.savez_compressed(tmp_path / slices, arr_0=np.zeros((5000, 5000)))
    assert (tmp_path / slices).stat().st_size < 1_000_000
    with open(tmp_path / volume, "wb") as handle:
        shape = (4096, 4096, 4096)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, header)
        handle.truncate(handle.tell() + 4 * 4096**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    update = merge(
        tmp_path,
        [
            events.Preview(step=1, file=volume, shape_zyx=shape, voxel_px=1),
            events.Slices(step=1, name="a", file=slices),
        ],
    )
    assert (update.preview, update.slices) == (None, None)
    assert len(update.warnings) == 2
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    assert grown < 20
    figure(f"slices and a live volume that would swell: told, {grown:.0f} MB used")


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
        assert member.wait() == worker.OWN_FAULT
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

        field = read_run(paths).config.inr.field
        limit = checkpoint.largest(field, Box((15, 15, 13)), 7)
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
        timeout=600,
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
