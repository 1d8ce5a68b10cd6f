"""Alignments in and out of the commands, and on another signal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.cli.jobs import start_poses
from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.io import (
    read_alignment,
    read_poses,
    read_series,
    write_alignment,
    write_series,
)
from napari_inr_tomo.preprocess import bin_images
from napari_inr_tomo.runs import create_run
from napari_inr_tomo.types import Alignment, Poses, TiltSeries

Cli = Callable[..., Any]


@pytest.fixture
def shifted(stack: Path) -> TiltSeries:
    """The stack with poses of its own for every tilt."""
    rng = np.random.default_rng(6)
    table = np.c_[np.full(13, -5.0), np.full(13, 5.0), rng.uniform(-2, 2, (13, 2))]
    return read_series(stack).evolve(poses=Poses.from_array(table))


@pytest.fixture
def aligned(shifted: TiltSeries, tmp_path: Path) -> Path:
    """The stack, aligned with the poses of a table; where the images do not move."""
    write_series(tmp_path / "aligned.mrc", shifted)
    return tmp_path / "aligned.mrc"


def test_another_signal_with_other_pixels_takes_the_alignment(
    cli: Cli, stack: Path, aligned: Path, tmp_path: Path
) -> None:
    """The map is the binned stack: aligned, it is the binned aligned stack, nearly."""
    maps, out = tmp_path / "maps.mrc", tmp_path / "maps_aligned.mrc"
    write_series(maps, bin_images(read_series(stack), 2))
    for beside in (".xf", ".json"):
        maps.with_suffix(beside).unlink()
    answer = cli("preprocess", maps, "-o", out, "--poses-from", aligned, "--json").json
    steps = [step["name"] for step in answer["history"]]
    assert steps[-1] == "set_poses"
    wanted = bin_images(read_series(aligned), 2).images[:, 2:-2, 2:-2]
    found = read_series(out).images[:, 2:-2, 2:-2]
    still = read_series(maps).images[:, 2:-2, 2:-2]
    apart = np.abs(found - wanted).mean() / np.abs(still - wanted).mean()
    assert apart < 0.35
    again = cli("preprocess", maps, "-o", out, "--poses-from", stack.with_suffix(".no"))
    assert "how it was aligned" in again.problem


@pytest.mark.parametrize("suffix", [".csv", ".xf", ".aln", ".npz"])
def test_what_was_found_goes_out_and_comes_back(
    cli: Cli, stack: Path, tmp_path: Path, suffix: str
) -> None:
    """Exported in pixels of the stack although found on binned images."""
    path, out = tmp_path / f"found{suffix}", tmp_path / "small.mrc"
    shown = cli(
        "preprocess", stack, "-o", out, "--bin", 2, "--align", "xcorr",
        "--export-poses", path, "--json",
    )  # fmt: skip
    assert str(path) in shown.json["written"]
    found = read_alignment(path).poses
    half = read_alignment(tmp_path / "small.xf").poses
    np.testing.assert_allclose(found.dx_px, 2 * half.dx_px, atol=2e-3)
    np.testing.assert_allclose(found.dy_px, 2 * half.dy_px, atol=2e-3)
    back = tmp_path / "back.mrc"
    assert cli("preprocess", stack, "-o", back, "--poses", path).status == 0
    np.testing.assert_allclose(
        read_alignment(tmp_path / "back.xf").poses.dy_px, found.dy_px, atol=2e-3
    )


@pytest.mark.parametrize("suffix", [".csv", ".xf", ".aln"])
def test_shifts_stay_with_their_images_where_the_hand_is_flipped(
    cli: Cli, stack: Path, shifted: TiltSeries, tmp_path: Path, suffix: str
) -> None:
    path, out = tmp_path / f"found{suffix}", tmp_path / "out.mrc"
    write_alignment(path, Alignment.of(shifted))
    words = ("--flip-handedness", "--poses", path)
    answer = cli("preprocess", stack, "-o", out, *words)
    assert ("signs turned round" in answer.err) is (suffix != ".xf")
    found, wanted = read_alignment(out.with_suffix(".xf")).poses, shifted.start_poses
    np.testing.assert_allclose(found.dx_px, wanted.dx_px, atol=2e-3)
    np.testing.assert_allclose(found.z3_deg, wanted.z3_deg, atol=2e-3)


def test_shifts_stay_with_their_images_where_negated_angles_are_given(
    stack: Path, shifted: TiltSeries, tmp_path: Path
) -> None:
    """From a file, and from a run on this very stack."""
    path, run = tmp_path / "found.csv", tmp_path / "run"
    write_alignment(path, Alignment.of(shifted))
    config = ReconstructionConfig.from_preset("preview", method="fbp")
    create_run(run, shifted, config, source_name=stack.name)
    for start in (path, run):
        done = start_poses(read_series(stack, "-60:60:10+negated"), stack, start)
        assert done.angles_deg.tolist() == list(range(60, -61, -10))
        np.testing.assert_array_equal(
            done.start_poses.as_array(), shifted.start_poses.as_array()
        )


def test_wrong_use_is_refused_before_the_work(
    cli: Cli, stack: Path, aligned: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mrc"
    both = ("--poses", aligned.with_suffix(".xf"), "--poses-from", aligned)
    assert "together" in cli("preprocess", stack, "-o", out, *both).problem
    taken = ("--export-poses", out.with_suffix(".xf"))
    assert "belongs to out.mrc" in cli("preprocess", stack, "-o", out, *taken).problem
    turned = ("--poses-from", aligned, "--flip-handedness")
    assert "other sign" in cli("preprocess", stack, "-o", out, *turned).problem
    assert not out.exists()


def test_poses_survive_a_start_from_a_file_of_another_program(
    cli: Cli, stack: Path, tmp_path: Path
) -> None:
    lines = [f"0.9848 -0.1736 0.1736 0.9848 {n / 4} {-n / 5}\n" for n in range(13)]
    (tmp_path / "start.xf").write_text("".join(lines))
    wanted = read_alignment(tmp_path / "start.xf").poses
    volume, table = tmp_path / "v.mrc", tmp_path / "p.csv"
    assert cli(
        "reconstruct", stack, "-o", volume, "--method", "fbp", "--poses", table,
        "--poses-start", tmp_path / "start.xf",
    ).status == 0  # fmt: skip
    np.testing.assert_allclose(
        read_poses(table)[1].as_array(), wanted.as_array(), atol=1e-6
    )
