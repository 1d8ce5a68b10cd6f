"""``merge`` and ``drift``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.io import read_series, write_series
from napari_inr_tomo.runs import RunFolder, create_run
from napari_inr_tomo.simulate import SimulatedScans, simulate_scans
from napari_inr_tomo.types import TiltSeries

Cli = Callable[..., Any]


@pytest.fixture
def passes(tmp_path: Path, cli: Cli) -> list[Path]:
    paths = [tmp_path / "one.mrc", tmp_path / "two.mrc"]
    for path, tilts in zip(paths, ("-60:60:20", "-50:50:20"), strict=True):
        words = ("--size", 24, f"--tilts={tilts}", "--seed", 3)
        assert cli("simulate", "-o", path, *words).status == 0
    return paths


def test_the_pass_of_every_tilt_goes_through_file_and_run_folder(
    cli: Cli, passes: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "both.mrc"
    answer = cli("merge", *passes, "-o", out, "--json").json
    assert answer["shape_tyx"] == [13, 24, 24]
    series = read_series(out)
    assert series.angles_deg.tolist() == list(range(-60, 61, 10))
    assert series.groups.tolist() == [k % 2 for k in range(13)]
    assert answer["group"] == series.groups.tolist()
    series = series.evolve(used=np.arange(13) != 1)
    config = ReconstructionConfig.from_preset("preview", method="sirt")
    create_run(tmp_path / "run", series, config)
    run = RunFolder(tmp_path / "run")
    assert run.spec.groups.tolist() == [k % 2 for k in range(13)]
    assert run.series().groups.tolist() == [0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_merge_refuses_what_does_not_fit(
    cli: Cli, passes: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "both.mrc"
    assert "two or more" in cli("merge", passes[0], "-o", out).problem
    words = ("--angles", "0:1:1", "--angles", "0:1:1", "--angles", "0:1:1")
    assert "once for each stack" in cli("merge", *passes, "-o", out, *words).problem
    problem = cli("merge", *passes, "-o", out, "--starts", "5").problem
    assert "there are 2 stacks" in problem
    words = ("--starts", "5", "--angles", "0:12:2", "--angles", "0:12:2")
    problem = cli("merge", passes[0], "-o", out, *words).problem
    assert "there are 2 --angles" in problem
    problem = cli("merge", passes[0], "-o", out, "--starts", "0,3").problem
    assert "cannot begin at 0" in problem
    assert not out.exists()


def in_one_stack(passes: list[Path], whole: Path) -> Path:
    """Write the passes one after the other, unsorted."""
    parts = [read_series(path) for path in passes]
    images = np.concatenate([part.images for part in parts])
    angles = np.concatenate([part.angles_deg for part in parts])
    write_series(whole, TiltSeries(images, angles))
    return whole


def test_one_stack_that_holds_both_passes(
    cli: Cli, passes: list[Path], tmp_path: Path
) -> None:
    out, whole = tmp_path / "both.mrc", in_one_stack(passes, tmp_path / "whole.mrc")
    assert cli("merge", whole, "-o", out, "--starts", "7").status == 0
    found = read_series(out)
    assert found.groups.tolist() == [k % 2 for k in range(13)]
    assert found.angles_deg.tolist() == list(range(-60, 61, 10))
    problem = cli("merge", whole, "-o", out, "--starts", "13").problem
    assert "13 is outside the stack" in problem


def record_of(cli: Cli, stack: Path) -> Path:
    """Return the record of a reconstruction of a stack."""
    out = stack.with_name("v.mrc")
    assert cli("reconstruct", stack, "-o", out, "--method", "fbp").status == 0
    return out.with_name("v.inr-run") / "result" / "record.json"


def check_done_again(cli: Cli, record: Path, stack: Path, *others: Path) -> None:
    """Check that a record is followed from its raw stacks to the same images."""
    words = ("reconstruct", stack, "-o", stack.with_name("again.mrc"))
    given = [word for other in others for word in ("--with", other)]
    answer = cli(*words, "--record", record, *given, "--json")
    assert answer.status == 0, answer.err
    assert "to rounding only" not in answer.err
    first, again = RunFolder(record.parents[1]), RunFolder(Path(answer.json["run"]))
    assert again.spec.input_sha256 == first.spec.input_sha256
    assert again.spec.history == first.spec.history
    assert again.spec.groups.tolist() == first.spec.groups.tolist()


@pytest.mark.usefixtures("fake_engine")
def test_the_record_of_a_merge_is_followed_from_its_parts(
    cli: Cli, passes: list[Path], tmp_path: Path
) -> None:
    """The angles of the second part were given; the whole was prepared further."""
    out, ready = tmp_path / "both.mrc", tmp_path / "ready.mrc"
    words = ("--angles", passes[0].with_suffix(".tlt"), "--angles=-52:48:20")
    assert cli("merge", *passes, "-o", out, *words).status == 0
    words = ("--exclude", "3", "--align", "xcorr")
    assert cli("preprocess", out, "-o", ready, *words).status == 0
    record = record_of(cli, ready)
    check_done_again(cli, record, *passes)
    check_done_again(cli, record, out)
    words = ("reconstruct", passes[0], "-o", tmp_path / "x.mrc")
    problem = cli(*words, "--record", record).problem
    assert "merge_series" in problem
    assert "--with FILE" in problem
    given = ("--with", passes[1])
    assert "so many" in cli(*words, "--record", record, *given, *given).problem
    swapped = ("reconstruct", passes[1], "-o", tmp_path / "x.mrc", "--record", record)
    assert "not the stack" in cli(*swapped, "--with", passes[0]).problem
    assert "--with goes with --record" in cli(*words, *given).problem


@pytest.mark.usefixtures("fake_engine")
def test_the_record_of_sorted_passes_is_followed_from_the_raw_stack(
    cli: Cli, passes: list[Path], tmp_path: Path
) -> None:
    out, whole = tmp_path / "both.mrc", in_one_stack(passes, tmp_path / "whole.mrc")
    assert cli("merge", whole, "-o", out, "--starts", "7").status == 0
    check_done_again(cli, record_of(cli, out), whole)


@pytest.mark.usefixtures("fake_engine")
def test_the_record_of_a_drift_correction_is_followed_with_the_second_scan(
    cli: Cli, tmp_path: Path
) -> None:
    paths, _ = scan_pair(tmp_path)
    out = tmp_path / "out.mrc"
    assert cli("drift", *paths, "-o", out, "--angles=0:2:2").status == 0
    record = record_of(cli, out)
    check_done_again(cli, record, *paths)
    words = ("reconstruct", paths[0], "-o", tmp_path / "x.mrc", "--record", record)
    assert "correct_series_drift" in cli(*words).problem
    assert "histories" not in cli("info", out).out


def scan_pair(folder: Path) -> tuple[list[Path], list[SimulatedScans]]:
    """Return two stacks of two tilts, scanned at 0 and 90 degrees, and the truth."""
    made = [
        simulate_scans((40, 44), drift_px=drift, jitter_px=0, seed=k)
        for k, drift in enumerate((2.0, 0.0))
    ]
    paths = [folder / "at0.npy", folder / "at90.npy"]
    for scan, path in enumerate(paths):
        images = np.stack([one.images[scan] for one in made])
        write_series(path, TiltSeries(images, [0.0, 2.0], name=path.stem))
    return paths, made


def test_drift_of_two_stacks(cli: Cli, tmp_path: Path) -> None:
    paths, made = scan_pair(tmp_path)
    out = tmp_path / "out.mrc"
    answer = cli("drift", *paths, "-o", out, "--json").json
    assert answer["largest_px"][0] > 0.8
    assert answer["largest_px"][1] < 0.05
    done = read_series(out)
    inner = (slice(6, -6), slice(6, -6))
    left = (done.images[0] - made[0].truth)[inner].std()
    assert left < 0.6 * (made[0].images[0] - made[0].truth)[inner].std()
    assert "correct_series_drift" in [step.name for step in done.history]
    assert "0.5" in cli("drift", *paths, "-o", out, "--largest", 5).problem
    words = ("--directions", "0,180")
    assert "right angles" in cli("drift", *paths, "-o", out, *words).problem
