"""``inr-tomo acquire`` on files that are there, with the real INR going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_inr_tomo import runs
from napari_inr_tomo.simulate import simulate_series

ANGLES = np.arange(-50, 51, 10.0)
TINY = """
[compute]
device = "cpu"
precision = "float32"
[inr]
warm_start_iterations = 5
warm_start_steps = 10
[inr.field]
width = 16
hidden_layers = 1
[inr.schedule]
epochs = 1
"""


def test_the_inr_goes_on_with_what_has_come(cli: Any, tmp_path: Path) -> None:
    series = simulate_series("chiral", (16, 18), ANGLES, seed=6).series
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()
    (tmp_path / "tiny.toml").write_text(TINY)
    words = ["acquire", raw, "-o", out, "--pattern", r"_([+-]?\d+\.?\d*)\.tif"]
    words += ["--once", "--inr", "--config", tmp_path / "tiny.toml", "--every", "0.05"]
    for some in (range(2, 9), range(11)):
        for tilt in some:
            path = raw / f"t_{ANGLES[tilt]:+.1f}.tif"
            tifffile.imwrite(path, series.images[tilt])
        answer = cli(*words)
        assert answer.status == 0, answer.err
    lines = answer.out.splitlines()
    assert sum(line.startswith("tilt ") for line in lines) == 11
    assert "The INR goes on with 11 tilts in inr-002." in lines
    assert "inr-002 has the volume of the INR" in lines[-1]
    second = runs.RunFolder(out / "runs" / "inr-002")
    assert second.spec.started_from == "inr-001"
    phases = [event.name for event in second.events() if hasattr(event, "name")]
    assert phases == ["rays"]


def test_wrong_words(cli: Any, tmp_path: Path) -> None:
    assert "cannot be watched" in cli("acquire", tmp_path / "x", "-o", tmp_path).problem
    answer = cli("acquire", tmp_path, "-o", tmp_path / "o", "--pattern", "(")
    assert "pattern" in answer.problem
    for option, value in (("--device", "cpu"), ("--preset", "fast")):
        words = "acquire", tmp_path, "-o", tmp_path / "o", option, value
        assert f"{option} has no meaning here" in cli(*words).problem
