"""What a command writes never replaces what it reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]

COMMANDS = (
    "preprocess stack.mrc -o stack.mrc --exclude 3",
    "preprocess stack.mrc -o ./other/../stack.mrc --exclude 3",
    "preprocess stack.mrc -o soft.mrc --exclude 3",
    "preprocess soft.mrc -o stack.mrc --exclude 3",
    "preprocess stack.mrc -o hard.mrc --exclude 3",
    "preprocess stack.mrc -o out.mrc --export-poses stack.tlt",
    "preprocess stack.mrc -o second.mrc --poses-from second.mrc",
    "preprocess stack.mrc -o mask.npy --background bernstein --mask mask.npy",
    "preprocess stack.mrc -o out.mrc --poses start.csv --export-poses start.csv",
    "merge stack.mrc second.mrc -o second.mrc",
    "drift stack.mrc second.mrc -o stack.mrc",
    "reconstruct stack.mrc -o stack.mrc --method fbp",
    "reconstruct stack.mrc -o vol.mrc --method fbp --poses angles.csv "
    "--angles angles.csv+reversed",
    "simulate -o x.mrc --truth x.mrc",
    "simulate -o x.mrc --truth new/../x.mrc",
)


@pytest.fixture
def folder(tmp_path: Path, cli: Cli, stack: Path, monkeypatch: Any) -> Path:
    """A folder with two stacks, links to the first, a mask and tables of poses."""
    second = tmp_path / "second.mrc"
    assert cli("preprocess", stack, "-o", second).status == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "soft.mrc").symlink_to(stack)
    os.link(stack, tmp_path / "hard.mrc")
    for name in ("mask.npy", "start.csv", "angles.csv"):
        (tmp_path / name).write_text("kept")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder for nobody")
def test_a_protected_folder_is_named_before_the_work(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    words = ("reconstruct", stack, "-o", tmp_path / "v.npy", "--method", "fbp")
    problem = cli(*words, "--poses", "/proc/self/p.csv").problem
    assert problem.startswith("The output /proc/self/p.csv cannot be written")
    assert not (tmp_path / "v.inr-run").exists()
    assert cli("simulate", "-o", "/proc/self/s.mrc").status == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_no_input_is_replaced(cli: Cli, folder: Path, command: str) -> None:
    before = content(folder)
    problem = cli(*command.split()).problem
    assert "read as well" in problem or "two outputs" in problem
    assert content(folder) == before


def test_nor_an_image_of_a_folder(cli: Cli, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a_-10deg.tif", "a_0deg.tif", "a_10deg.tif"):
        (images / name).write_bytes(b"an image")
    problem = cli("preprocess", images, "-o", images / "a_0deg.tif").problem
    assert "read as well" in problem
    assert (images / "a_0deg.tif").read_bytes() == b"an image"


@pytest.mark.usefixtures("fake_engine")
def test_nor_the_result_of_a_run(cli: Cli, stack: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume.mrc"
    assert cli("reconstruct", stack, "-o", volume, "--method", "sirt").status == 0
    run = tmp_path / "volume.inr-run"
    for command in ("export", "rerun"):
        for inside in ("result/volume.mrc", "input.npy"):
            assert "read as well" in cli(command, run, "-o", run / inside).problem
    assert cli("validate", run).status == 0
    assert cli("export", run, "-o", run / "volume.tif").status == 0


def test_poses_are_written_again_beside_the_stack(cli: Cli, stack: Path) -> None:
    """A poses.csv beside a stack looks like a list of angles, and is an output."""
    poses = stack.with_suffix(".csv")
    for _ in range(2):
        out = stack.with_name("aligned.mrc")
        answer = cli("preprocess", stack, "-o", out, "--export-poses", poses)
        assert answer.status == 0


def test_files_of_others_beside_the_output_are_kept(cli: Cli, tmp_path: Path) -> None:
    """IMOD's final alignment of TS.st has the names that go with TS.ali here."""
    raw = tmp_path / "raw.mrc"
    assert cli("simulate", "-o", raw, "--size", 16, "--tilts=-60:60:10").status == 0
    stack, output = tmp_path / "TS.st", tmp_path / "TS.ali"
    stack.write_bytes(raw.read_bytes())
    (tmp_path / "TS.tlt").write_bytes(raw.with_suffix(".tlt").read_bytes())
    (tmp_path / "TS.xf").write_text("1 0 0 1 2 3\n" * 13)
    before = content(tmp_path)
    angles = "--angles=-60:60:10"
    command = ("preprocess", stack, "-o", output, "--exclude", 3, angles)
    problem = cli(*command).problem
    assert "TS.tlt, TS.xf" in problem
    assert "--overwrite" in problem
    assert content(tmp_path) == before
    assert cli(*command, "--overwrite").status == 0
    assert len((tmp_path / "TS.xf").read_text().splitlines()) == 12
    assert cli(*command).status == 0  # its own files now


@pytest.mark.parametrize("command", ["preprocess", "merge", "drift", "simulate"])
@pytest.mark.parametrize("other", ["stack.tif", "out.json", "out.xf", "out.mrc"])
def test_nor_is_any_other_file(
    cli: Cli, stack: Path, tmp_path: Path, command: str, other: str
) -> None:
    """Beside stack.mrc, stack.tif would get its angles and its record."""
    output = tmp_path / ("out.mrc" if "out" in other else other)
    if "out" in other:
        (tmp_path / other).write_text("{}")
    second = tmp_path / "second.mrc"
    assert cli("preprocess", stack, "-o", second).status == 0
    before = content(tmp_path)
    read = {"preprocess": [stack], "simulate": []}.get(command, [stack, second])
    problem = cli(command, *read, "-o", output).problem
    assert "would replace" in problem
    assert content(tmp_path) == before


def test_one_series_may_stand_there_in_several_formats(
    cli: Cli, tmp_path: Path
) -> None:
    """What is beside the stacks says the same of both, and each finds it."""
    words = ("--size", 8, "--tilts=-60:60:40", "--shift-sigma", 1)
    for suffix in (".mrc", ".tif", ".h5", ".npy", ".st"):
        answer = cli("simulate", "-o", tmp_path / f"s{suffix}", *words, "--seed", 1)
        assert answer.status == 0, answer.err
    for suffix in (".mrc", ".tif", ".h5", ".npy", ".st"):
        facts = cli("info", tmp_path / f"s{suffix}", "--json").json
        assert facts["angles_deg"] == [-60, -20, 20, 60]
        assert facts["history"][0]["name"] == "simulate"
    before = content(tmp_path)
    other = cli("simulate", "-o", tmp_path / "s.ali", *words, "--seed", 2)
    assert "would replace" in other.problem  # other pixels, and the angles may differ
    assert content(tmp_path) == before


def test_names_that_no_disk_takes_are_said(cli: Cli, stack: Path) -> None:
    long, out = "n" * 300 + ".mrc", stack.with_name("out.mrc")
    assert "cannot be" in cli("preprocess", long, "-o", out).problem
    assert "cannot be" in cli("preprocess", stack, "-o", long).problem
    masked = ("--background", "bernstein", "--mask", long)
    assert "cannot be" in cli("preprocess", stack, "-o", out, *masked).problem
    angles = " ".join(f"{angle:.30f}" for angle in range(-60, 61, 10))
    assert cli("preprocess", stack, "-o", out, "--angles", angles).status == 0


def test_the_file_of_the_angles_is_not_replaced(cli: Cli, stack: Path) -> None:
    angles = stack.with_name("angles.csv")
    angles.write_text("\n".join(str(angle) for angle in range(-60, 61, 10)))
    out = stack.with_name("out.mrc")
    words = ("--angles", f"{angles}+reversed", "--export-poses", angles)
    assert "read as well" in cli("preprocess", stack, "-o", out, *words).problem
