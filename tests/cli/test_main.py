"""The command as a whole: names, help, errors in one line, light imports."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_inr_tomo.cli import main

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


def run(shell: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which $TOMO is the command."""
    tomo = f'"{sys.executable}" -m napari_inr_tomo.cli'
    environment = os.environ | {"TMPDIR": str(folder)} | more
    return subprocess.run(
        ["/bin/sh", "-c", shell.replace("$TOMO", tomo)],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_output_is_said_and_a_full_error_output_ends_nothing(
    stack: Path, tmp_path: Path
) -> None:
    done = run("$TOMO info stack.mrc >/dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("The answer cannot be written to the standard output")
    assert done.stderr.count("\n") == 1
    done = run("$TOMO preprocess stack.mrc -o o.mrc --size 11 2>/dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "o.mrc").exists()


@pytest.mark.skipif(os.name == "nt", reason="streams of a POSIX shell")
def test_a_closed_error_output_ends_nothing_and_moves_nothing(
    stack: Path, tmp_path: Path
) -> None:
    done = run("$TOMO info no.mrc 2>&-", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.skipif(os.name == "nt", reason="streams of a POSIX shell")
def test_a_name_that_the_output_has_no_letters_for(stack: Path, tmp_path: Path) -> None:
    words = "preprocess stack.mrc -o n\u00e4del.mrc --exclude 1"
    done = run(f"$TOMO {words}", tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    assert "n\\xe4del.mrc" in done.stdout


def test_an_error_that_nobody_foresaw_is_one_line_with_the_details_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fails(stack: Path) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("napari_inr_tomo.io.read_images", fails)
    with pytest.raises(ZeroDivisionError):  # no test may pass over a fault
        main(["info", "x.mrc"])
    monkeypatch.setattr(sys, "argv", ["inr-tomo", "info", "x.mrc"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert main() == 2
    said = capsys.readouterr()
    (log,) = tmp_path.glob("inr-tomo-*.log")
    assert said.err.count("\n") == 1
    assert "ZeroDivisionError, a fault" in said.err
    assert str(log) in said.err
    assert 'raise ZeroDivisionError("a fault")' in log.read_text()
