"""``simulate``, ``compare``, ``validate``, ``demo``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.io import read_poses, read_series, read_volume, write_volume
from napari_inr_tomo.simulate import PHANTOMS
from napari_inr_tomo.types import Volume

Cli = Callable[..., Any]


def test_a_simulation_can_be_checked(cli: Cli, tmp_path: Path) -> None:
    stack, truth, poses = (tmp_path / n for n in ("s.mrc", "t.mrc", "p.csv"))
    settings = ("--size", 20, "--tilts=-40:40:20", "--axis-angle", 6, "--seed", 9)
    also = ("--shift-sigma", 1.5, "--dose", 50, "--truth", truth, "--poses", poses)
    answer = cli("simulate", "-o", stack, *settings, *also, "--json").json
    assert answer["shape_tyx"] == [5, 20, 20]
    assert {str(stack), str(truth), str(poses)} <= set(answer["written"])
    angles, true_poses, used = read_poses(poses)
    assert angles.tolist() == [-40, -20, 0, 20, 40]
    assert true_poses.axis_deg == pytest.approx(6)
    assert true_poses.dx_px.std() > 0.1
    assert used.all()
    series = read_series(stack)
    assert not series.start_poses.as_array().any()  # the truth is not given away
    assert read_volume(truth).data.shape == (20, 20, 20)
    twin = tmp_path / "twin.mrc"
    cli("simulate", "-o", twin, *settings, "--shift-sigma", 1.5, "--dose", 50)
    assert np.array_equal(read_series(twin).images, series.images)


def test_a_simulated_beam_drifts_and_pixels_are_hot(cli: Cli, tmp_path: Path) -> None:
    def made(*more: Any) -> np.ndarray:
        path = tmp_path / "s.mrc"
        words = ("--size", 20, "--tilts=-40:40:5", "--margin", 0.4, *more)
        assert cli("simulate", "-o", path, *words).status == 0
        return read_series(path).images

    plain, drifting = made(), made("--drift", 0.2)
    change = drifting.sum(axis=(1, 2)) / plain.sum(axis=(1, 2))
    assert np.abs(np.log(change)).max() == pytest.approx(0.2, abs=0.01)
    hot = made("--hot-pixels", 0.02) - plain
    assert 0.005 < (hot > 0.4 * plain.max()).mean() < 0.04
    moved = made("--axis-shift", 3)
    np.testing.assert_allclose(moved[:, 3:], plain[:, :-3], atol=1e-3 * plain.max())


def test_what_cannot_be_made_is_refused_first(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "s.mrc"
    problem = cli("simulate", "-o", out, "--hot-pixels", 2).problem
    assert "'--hot-pixels'" in problem
    assert ". See inr-tomo --help." in problem
    out.mkdir()
    answer = cli("simulate", "-o", out, "--size", 12)
    assert "there is a folder of that name" in answer.problem


def test_unknown_phantoms_are_one_line(cli: Cli, tmp_path: Path) -> None:
    answer = cli("simulate", "-o", tmp_path / "s.mrc", "--phantom", "unicorn")
    assert "unicorn" in answer.problem


def test_a_seed_below_zero_is_one_line(cli: Cli, tmp_path: Path) -> None:
    answer = cli("simulate", "-o", tmp_path / "s.mrc", "--seed", -1)
    assert "seed makes no sense: it is -1" in answer.problem


@pytest.fixture
def volumes(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(2)
    data = np.zeros((15, 18, 21), np.float32)
    data[4:11, 5:12, 6:14] = rng.random((7, 7, 8))
    moved = np.roll(data, (1, -2, 1), (0, 1, 2))
    paths = tmp_path / "truth.mrc", tmp_path / "moved.mrc"
    for path, content in zip(paths, (data, moved), strict=True):
        write_volume(path, Volume(content, 0.5))
    return paths


def test_a_volume_compared_with_itself(cli: Cli, volumes: tuple[Path, Path]) -> None:
    truth, _ = volumes
    same = cli("compare", truth, truth, "--json").json
    assert same["ssim"] == pytest.approx(1)
    assert same["psnr_db"] is None  # infinite: JSON has no such number
    assert same["fsc_resolution_px"] == pytest.approx(2)
    assert same["fsc_resolution_nm"] == pytest.approx(1)
    assert same["scale"] == pytest.approx(1)
    assert "SSIM: 1.0000" in cli("compare", truth, truth).out


def test_registering_takes_out_the_shift(cli: Cli, volumes: tuple[Path, Path]) -> None:
    truth, moved = volumes
    plain = cli("compare", moved, truth, "--json").json
    registered = cli("compare", moved, truth, "--register", "--json").json
    assert plain["registered_shift_zyx_px"] is None
    assert registered["registered_shift_zyx_px"] == pytest.approx([-1, 2, -1], abs=0.1)
    assert registered["ssim"] > 0.98 > plain["ssim"]


def test_shapes_must_agree(
    cli: Cli, volumes: tuple[Path, Path], tmp_path: Path
) -> None:
    write_volume(tmp_path / "o.mrc", Volume(np.ones((3, 4, 5), np.float32)))
    assert "(3, 4, 5)" in cli("compare", tmp_path / "o.mrc", volumes[0]).problem


def test_validate_sees_what_is_wrong(
    cli: Cli, stack: Path, volumes: tuple[Path, Path]
) -> None:
    assert cli("validate", stack).status == 0
    assert cli("validate", volumes[0], "--volume").status == 0
    content = stack.read_bytes()
    stack.write_bytes(content[: len(content) // 2])
    answer = cli("validate", stack)
    assert "is not sound" in answer.problem
    assert answer.out.strip()
    content = volumes[0].read_bytes()
    volumes[0].write_bytes(content[:-40])
    assert cli("validate", volumes[0], "--volume").status == 2


@pytest.mark.parametrize("name", ["v.mrc", "v.npy", "v.ome.zarr"])
def test_a_volume_of_this_program_is_sound(cli: Cli, tmp_path: Path, name: str) -> None:
    data = np.random.default_rng(2).random((5, 6, 7)).astype(np.float32)
    path = tmp_path / name
    write_volume(path, Volume(data, 0.5))
    assert cli("validate", path).out.startswith(f"{path} is sound")
    if name == "v.mrc":
        content = path.read_bytes()
        path.write_bytes(content[:-40])
        assert cli("validate", path).status == 2
        path.write_bytes(content)
        path.with_suffix(".tlt").write_text("0\n1\n")  # it is taken for tilts then
        assert "is not sound" in cli("validate", path).problem


def test_a_stack_without_angles_is_told_how_a_volume_is_checked(
    cli: Cli, tmp_path: Path
) -> None:
    data = np.random.default_rng(2).random((5, 6, 7)).astype(np.float32)
    write_volume(tmp_path / "v.tif", Volume(data, 0.5))
    answer = cli("validate", tmp_path / "v.tif")
    assert "check it with --volume" in answer.out
    assert cli("validate", tmp_path / "v.tif", "--volume").status == 0


def test_a_damaged_run_folder_is_not_sound(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    assert "is not sound" in cli("validate", tmp_path).problem


def test_the_demo_is_handed_its_folder(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    demo = SimpleNamespace(main=seen.append)
    monkeypatch.setitem(sys.modules, "napari_inr_tomo.demo", demo)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert cli("demo", "--output", tmp_path).status == 0
    assert seen == [tmp_path]


def test_the_demo_says_that_it_needs_a_screen(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert "there is no display" in cli("demo", "--output", tmp_path / "d").problem
    assert not (tmp_path / "d").exists()


def test_the_help_of_simulate_names_every_phantom(cli: Cli) -> None:
    words = " ".join(cli("simulate", "--help").out.split())
    assert ", ".join(PHANTOMS) in words
