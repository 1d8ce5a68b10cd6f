"""Fixtures every test may use."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from patience import wait_for

ROOT = Path(__file__).resolve().parents[1]


def own_room(number: str) -> None:
    """Give one of several processes that share the tests what it must not share.

    napari's settings, and a screen: only one window of a screen has the keyboard.
    """
    settings = os.environ.get("NAPARI_CONFIG")
    if settings:
        os.environ["NAPARI_CONFIG"] = settings.replace(".yaml", f"-{number}.yaml")
    if os.environ.get("INR_TOMO_UNATTENDED") and shutil.which("Xvfb"):
        # no child of ours: tests look for children that were left behind
        start = (
            "Xvfb -displayfd 3 -screen 0 1600x1000x24 3>&1 >/dev/null 2>&1 & echo $!"
        )
        with subprocess.Popen(
            ["sh", "-c", start], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as shell:
            pid, screen = (int(shell.stdout.readline()) for _ in range(2))
        atexit.register(os.kill, pid, signal.SIGTERM)
        os.environ["DISPLAY"] = f":{screen}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-report",
        action="store_true",
        help="say how every failure scenario was met, and write the figures down",
    )


def pytest_configure(config: pytest.Config) -> None:
    number = os.environ.get("PYTEST_XDIST_WORKER")
    if number:
        own_room(number)
    if config.getoption("--fault-report"):
        sys.path.insert(0, str(ROOT / "tests" / "faults"))
        from fault_report import FaultReport

        config.pluginmanager.register(FaultReport(), "fault report")


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Note a figure of a failure scenario, in words, for the report."""

    def note(words: str) -> None:
        record_property("figure", words)

    return note


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real data beside the checkout; skips where it is absent."""
    folder = Path(os.environ.get("INR_TOMO_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "needle").is_dir():
        pytest.skip(f"the real tilt series are not at {folder}")
    return folder


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The name of the fake worker's module; ends what it left in ``tmp_path``."""
    paths = [
        str(ROOT / "src"),
        str(ROOT / "tests" / "fake_worker"),
        os.environ.get("PYTHONPATH", ""),
    ]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    yield "fake_worker"
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "fake_worker" in words and words[-1].startswith(f"{tmp_path}{os.sep}"):
            process.kill()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until something is true, or fail; a starved machine has more time."""

    def wait(true: Callable[[], object], seconds: float = 20.0) -> None:
        assert wait_for(true, seconds), "it did not happen in time"

    return wait
