"""What the ranks send each other: one message a step, by the ring formula."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

if os.name == "nt":
    pytest.skip("signals and fork are POSIX", allow_module_level=True)

from fault_runs import (
    finish,
    make_run,
)

from napari_inr_tomo.engine import checkpoint
from patience import wait_for

Figure = Callable[[str], None]
Wait = Callable[..., None]
LONG = {"inr": {"schedule": {"epochs": 400}}}
WARM = {
    "inr": {
        "warm_start": "tv",
        "warm_start_iterations": 5,
        "warm_start_steps": 5,
        "holdout": {"fraction": 0.2},
        "schedule": {"hidden_learning_rate": 1e-3},
    }
}


def count_bytes() -> None:
    """Write down what every rank gives to an all-reduce (in a child)."""
    import torch.distributed as dist

    whole, counted = dist.all_reduce, [0, 0]

    def all_reduce(tensor, *args, **kwargs):
        counted[0] += 1
        counted[1] += tensor.numel() * tensor.element_size()
        rank = os.environ["RANK"]
        Path(os.environ["COUNTED"], rank).write_text(f"{counted[0]} {counted[1]}")
        return whole(tensor, *args, **kwargs)

    dist.all_reduce = all_reduce


@pytest.mark.faults
@pytest.mark.scenario(31)
def test_one_message_a_step_of_the_size_of_the_model(
    tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes handed to the all-reduce; what the ring makes of them is torch's affair."""
    monkeypatch.setenv("COUNTED", str(tmp_path))
    epochs = 20
    paths = make_run(tmp_path / "run", {"inr": {"schedule": {"epochs": epochs}}})
    finish(paths, 2, count_bytes)
    loaded = checkpoint.load(paths.checkpoints)
    assert loaded is not None
    names = [name for name in loaded[0] if name.split("/")[0] in ("field", "poses")]
    sizes = [loaded[0][name] for name in names]
    model = sum(v.numel() * v.element_size() for v in sizes)
    steps = epochs * -(-len(range(7 * 15 * 13)) // 300)
    for rank in "01":
        calls, sent = map(int, (tmp_path / rank).read_text().split())
        assert steps <= calls <= steps + 2 * epochs  # and the sums of each epoch
        assert sent == pytest.approx(steps * model, rel=0.02)
    figure(f"{sent / steps / model:.3f} of the model's bytes a step and rank")


def on_the_wire() -> int:
    """Bytes sent over the loopback device so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split(":")[1].split()[8])
    return 0


@pytest.mark.faults
@pytest.mark.scenario(31)
@pytest.mark.skipif(not Path("/proc/net/dev").exists(), reason="Linux counts bytes")
def test_bytes_on_the_wire_follow_the_ring_formula(
    tmp_path: Path, figure: Figure
) -> None:
    """2 (N - 1) S over all ranks, for S bytes in one all-reduce of gloo."""
    from fault_runs import free_port

    numbers, repeats = 1_053_185, 10  # weights of the paper's network
    for size in (2, 4, 8, 16):
        port = free_port()
        ready, go = tmp_path / f"ready-{size}", tmp_path / f"go-{size}"
        ready.mkdir()
        pids = []
        for rank in range(size):
            pid = os.fork()
            if not pid:
                try:
                    _reduce(rank, size, port, numbers, repeats, ready, go)
                finally:
                    os._exit(0)
            pids.append(pid)
        assert wait_for(lambda: len(list(ready.glob("*"))) == size, 120)  # noqa: B023
        before = on_the_wire()
        go.touch()
        for pid in pids:
            os.waitpid(pid, 0)
        ratio = (on_the_wire() - before) / (repeats * 2 * (size - 1) * 4 * numbers)
        assert ratio == pytest.approx(1, abs=0.02)
        figure(f"{size} ranks: {ratio:.3f} of the ring formula")


def _reduce(
    rank: int, size: int, port: int, numbers: int, repeats: int, ready: Path, go: Path
) -> None:
    import torch.distributed as dist

    from napari_inr_tomo.engine.distributed import connect

    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    members = connect("cpu")
    buffer = torch.ones(numbers)
    members.sum([buffer, torch.ones(1)])
    (ready / str(rank)).touch()
    while not go.exists():
        time.sleep(0.01)
    for _ in range(repeats):
        members.sum([buffer])
    dist.destroy_process_group()
