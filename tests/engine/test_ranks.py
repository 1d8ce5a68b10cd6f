"""N ranks give what one rank gives on the same global batch, poses included."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from napari_inr_tomo.config import ReconstructionConfig
from napari_inr_tomo.layout import RunPaths
from napari_inr_tomo.simulate import simulate_series

SMALL = {
    "compute": {"device": "cpu", "precision": "float64"},
    "inr": {
        "field": {"width": 16, "hidden_layers": 1},
        "loss": {"tv_weight": 1e-3, "tv_points": 50},
        "schedule": {
            "epochs": 2,
            "batch_rays": 700,
            "learning_rate": 1e-3,
            "hidden_learning_rate": 1e-3,
            "warmup_epochs": 0.5,
            "ramp_epochs": 1,
        },
        "poses": {"start_epoch": 0.5, "coarse": False},
        "holdout": {"fraction": 0.2},
        "warm_start_iterations": 5,
        "warm_start_steps": 5,
    },
}

PROGRAM = """
import os
import sys
import numpy as np
from napari_inr_tomo.classic import slab
from napari_inr_tomo.engine import worker
from napari_inr_tomo.engine.training import Trainer
slab.SLAB_VOXELS, slab.CHUNK = 1, 6  # the TV weight is chosen on a slab
kept = {}
whole = Trainer.run
def run(self, *a):
    whole(self, *a)
    arrays, info = self.state()
    kept.update({k: v.detach().cpu().numpy() for k, v in arrays.items()})
    kept["residual"] = self.residual_rms.cpu().numpy()
Trainer.run = run
code = worker.main(sys.argv[1])
if os.environ.get("RANK", "0") == "0":
    np.savez(sys.argv[2], **kept)
sys.exit(code)
"""


def run(tmp_path, ranks: int, method: str = "inr"):
    """Run the worker program with ``ranks`` gloo ranks; return folder and arrays."""
    from napari_inr_tomo import runs

    sim = simulate_series(
        "chiral", (15, 13), np.arange(-60, 61, 20.0), shift_sigma_px=0.7, seed=3
    )
    config = ReconstructionConfig.from_preset("fast", method=method).merged(SMALL)
    config = config.merged({"classic": {"iterations": 8}})
    folder = tmp_path / f"{method}-{ranks}"
    runs.create_run(folder, sim.series, config)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    kept = tmp_path / f"{method}-{ranks}.npz"
    start = [sys.executable]
    if ranks > 1:
        start += ["-m", "torch.distributed.run", "--standalone"]
        start += ["--nproc-per-node", str(ranks)]
    done = subprocess.run(
        [*start, str(program), str(folder), str(kept)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return RunPaths(folder), np.load(kept)


@pytest.mark.slow
def test_network_poses_and_optimisers_equal_for_1_2_and_4_ranks(tmp_path) -> None:
    _, one = run(tmp_path, 1)
    moved = np.abs(one["poses/shift_px"]).max()
    assert moved > 1e-3  # the poses took part
    for ranks in (2, 4):
        _, many = run(tmp_path, ranks)
        assert set(many.files) == set(one.files)
        for name in one.files:
            scale = max(1.0, float(np.abs(one[name]).max()))
            gap = float(np.abs(many[name] - one[name]).max()) / scale
            assert gap < 1e-12, (ranks, name, gap)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sirt", "tv"])
def test_a_classical_method_is_the_same_on_two_ranks(tmp_path, method) -> None:
    from napari_inr_tomo import io

    volumes = []
    for ranks in (1, 2):
        paths, _ = run(tmp_path, ranks, method)
        volumes.append(io.read_volume(paths.result_volume).data)
        events = [json.loads(line) for line in paths.events.open()]
        assert events[0]["ranks"] == ranks
        assert events[-1]["type"] == "finished"
    np.testing.assert_allclose(volumes[1], volumes[0], atol=1e-5 * volumes[0].max())
