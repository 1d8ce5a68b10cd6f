"""What there is to compute on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
    monkeypatch.setattr(
        "napari_inr_tomo.hardware.versions", lambda: {"torch": "2.13.0"}
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if os.name != "nt":
        assert visible_gpus() == 2
    for chosen, count in {"0,3,5": 3, "": 0, "-1": 0, "1,-1,2": 1}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert visible_gpus() == count
