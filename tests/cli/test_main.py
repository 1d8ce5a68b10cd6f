"""The command as a whole: names, help, errors in one line, light imports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]

COMMANDS = {
    "info": "--angles --json",
    "preprocess": "-o --angles --exclude --size --bin --background --degree --align",
    "reconstruct": "-o --angles --method --preset --config --iterations --epochs "
    "--refine-poses --no-refine-poses --depth --device --processes --seed --run "
    "--poses --poses-start --start-from --record --json",
    "rerun": "-o",
    "resume": "-o --processes --device",
    "follow": "--json",
    "queue": "-o --vary --method --preset --at-once --cancel --status --json",
    "acquire": "-o --angles --pattern --recipe --quick --inr --tilts --once --every",
    "list": "--json",
    "stop": "--cancel",
    "export": "-o --poses",
    "validate": "--json",
    "submit": "--slurm --dry-run",
    "simulate": "-o --phantom --size --tilts --dose --axis-angle --shift-sigma --seed "
    "--truth --poses",
    "estimate": "--method --preset --config --epochs --depth --processes --json",
    "compare": "--json --register",
    "demo": "--output",
    "drift": "-o --angles --directions --upright --json",
    "merge": "-o --angles --starts --align --json",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_options(cli: Cli, command: str) -> None:
    answer = cli(command, "--help")
    assert answer.status == 0
    words = answer.out.replace(",", " ").split()
    assert [o for o in COMMANDS[command].split() if o not in words] == []


def test_there_are_no_other_commands(cli: Cli) -> None:
    listed = cli("--help").out.split("Commands:\n")[1]
    assert {line.split()[0] for line in listed.splitlines()} == set(COMMANDS)
    assert cli().out == cli("--help").out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from napari_inr_tomo.cli import main; "
        "main(['reconstruct', '--help']); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "napari", "qtpy", "numpy", "scipy", "psutil"}
    assert heavy & set(done.stdout.splitlines()[-1].split()) == set()


@pytest.mark.parametrize(
    "words",
    [
        ["bogus"],
        ["info"],
        ["info", "--bogus", "x"],
        ["reconstruct", "x.mrc", "-o", "v.mrc", "--method", "foo"],
        ["reconstruct", "x.mrc", "-o", "v.mrc", "--epochs", "many"],
    ],
)
def test_a_slip_is_one_line(cli: Cli, words: list[str]) -> None:
    answer = cli(*words)
    assert "inr-tomo --help" in answer.problem
    assert answer.err.count("\n") == 1
    assert answer.out == ""


def test_a_problem_is_one_line_and_status_two(cli: Cli, tmp_path: Path) -> None:
    answer = cli("info", tmp_path / "no.mrc")
    assert "no.mrc" in answer.problem
    assert answer.err.count("\n") == 1
    assert answer.out == ""


def test_it_runs_as_a_module_too() -> None:
    command = [sys.executable, "-m", "napari_inr_tomo.cli"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout[:9]) == (0, "inr-tomo ")
    done = subprocess.run([*command, "bogus"], capture_output=True, text=True)
    assert done.returncode == 2
