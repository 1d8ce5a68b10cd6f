"""The benchmark of a card, on the processor: every part, and nothing of a window."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "benchmarks" / "gpu.py"
WINDOW = ("napari", "qtpy", "magicgui", "superqt", "pyqtgraph", "PyQt6", "PySide6")


def run(
    blocked_in: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program with everything of a window blocked, in its children too."""
    (blocked_in / "sitecustomize.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({WINDOW}))\n"
    )
    paths = os.pathsep.join([str(blocked_in), str(ROOT / "src")])
    known = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(
        [sys.executable, str(PROGRAM), *options],
        env=known,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def rows_in(folder: Path) -> list[dict[str, object]]:
    (path,) = folder.glob("*.json")
    assert path.name.startswith("gpu-dry-")  # never taken for figures of a card
    whole = json.loads(path.read_text())
    assert whole["complete"]
    return list(whole["rows"])


def test_a_dry_run_fills_every_part_without_a_window(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(tmp_path, "--device", "cpu", "--size", "small", "--out", str(out))
    assert done.returncode == 0, done.stderr
    rows = rows_in(out)
    assert {row["how"] for row in rows} == {"passed", "measured"}
    assert all(np.isfinite(row["value"]) for row in rows)
    units = {row["unit"] for row in rows}
    assert {"points/s", "% of the matrix peak", "TFLOP/s", "SSIM", "minutes"} <= units
    cases = " ".join(str(row["case"]) for row in rows)
    assert all(size in cases for size in ("16^3 from 7", "20^3 from 9", "16^3 from 12"))
    first = [row for row in rows if row["part"] == "beside the processor"]
    assert len(first) == 11


def test_without_time_it_says_so_and_still_writes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(
        tmp_path, "--device", "cpu", "--size", "small", "--seconds", "0",
        "--out", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {row["how"] for row in rows_in(out)} == {"no time left"}


def test_without_a_card_it_says_so_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(tmp_path, "--out", str(out), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()


def test_a_wrong_result_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_checks

    wanted = torch.arange(1.0, 5.0)
    assert gpu_checks.difference([wanted], [wanted]) == 0
    off = gpu_checks.difference([wanted, 1.1 * wanted], [wanted, wanted])
    assert off == pytest.approx(0.1)
    assert gpu_checks.difference([wanted / 0], [wanted]) == np.inf


def test_the_short_training_tells_other_draws_from_wrong_rays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_checks

    from napari_inr_tomo.engine import gradient

    cpu = torch.device("cpu")
    right = gpu_checks._trained(cpu)
    draws, rays = gradient.generator, gradient.render
    with monkeypatch.context() as patch:
        patch.setattr(gradient, "generator", lambda on, *key: draws(on, *key, 9))
        other = gpu_checks.difference([gpu_checks._trained(cpu)], [right])
    with monkeypatch.context() as patch:
        patch.setattr(gradient, "render", lambda *given: 1.1 * rays(*given))
        wrong = gpu_checks.difference([gpu_checks._trained(cpu)], [right])
    assert 0 < 5 * other < gpu_checks.TRAINED < wrong / 2


def test_a_wrong_background_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_background

    cpu = torch.device("cpu")
    error, tolerance = gpu_background.background_check(cpu)
    assert 0 < error < tolerance / 100
    real = gpu_background.fitted

    def other(*given: Any, **device: str) -> Any:
        values, *rest = given
        return real(values * (1 + 1e-5 * bool(device)), *rest, **device)

    monkeypatch.setattr(gpu_background, "fitted", other)
    assert gpu_background.background_check(cpu)[0] > tolerance
