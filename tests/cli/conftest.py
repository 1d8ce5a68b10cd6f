"""Running commands in this process, and a small stack to run them on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from napari_inr_tomo import runs
from napari_inr_tomo.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        assert self.out.count("\n") == 1, "one JSON object in one line, nothing else"
        return dict(json.loads(self.out))

    @property
    def problem(self) -> str:
        """The one line of a command that failed."""
        assert self.status == 2
        line = self.err.splitlines()[-1]
        assert "Traceback" not in self.err
        assert line.endswith(".")
        return line


Cli = Callable[..., Answer]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*words: object) -> Answer:
        capsys.readouterr()
        status = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return run


@pytest.fixture
def stack(tmp_path: Path, cli: Cli) -> Path:
    """Thirteen simulated images of 24 x 24 px, with the angles beside them."""
    path = tmp_path / "stack.mrc"
    tilts = "--tilts=-60:60:10"
    assert cli("simulate", "-o", path, "--size", 24, tilts, "--seed", 3).status == 0
    return path


@pytest.fixture
def fake_engine(worker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands start the fake worker in place of the engine."""
    monkeypatch.setattr(runs, "launch", partial(runs.launch, module=worker))
