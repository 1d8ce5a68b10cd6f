"""What there is to compute on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_inr_tomo import hardware
from napari_inr_tomo.hardware import cores, visible_gpus


def test_cores_are_those_the_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(allowed)})
            assert cores() == 1
        finally:
            os.sched_setaffinity(0, allowed)


def test_visible_cards_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: A'\necho 'GPU 1: B'\n")
    tool.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(tool))
    monkeypatch.setattr(hardware, "torch_knows_cards", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if os.name != "nt":
        assert visible_gpus() == 2
    for chosen, count in {"0,3,5": 3, "": 0, "-1": 0, "1,-1,2": 1}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert visible_gpus() == count


@pytest.mark.parametrize(
    ("line", "knows"),
    [
        ("cuda: Optional[str] = None", False),
        ("cuda: Optional[str] = '12.8'", True),
        ("cuda = '11.8'", True),
    ],
)
def test_a_torch_for_processors_knows_no_cards_whatever_its_number(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, knows: bool
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('imported')")
    version = f"__version__ = '2.9.1+cpu'\n{line}\nhip: Optional[str] = '6.1'\n"
    (tmp_path / "torch" / "version.py").write_text(version)
    (tmp_path / "torch-2.9.1.dist-info").mkdir()
    (tmp_path / "torch-2.9.1.dist-info" / "METADATA").write_text("Version: 2.9.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(hardware, "nvidia_smi", lambda *_: ["GPU 0: A", "GPU 1: B"])
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == (2 if knows else 0)


def test_asking_for_cards_opens_no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        asked.append(options["creationflags"])
        return subprocess.CompletedProcess(command, 9, "GPU 0: A\n\n", "")

    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    assert hardware.nvidia_smi("-L") == ["GPU 0: A"]
    assert asked == [0x08000000]
