"""What the ranks send each other: one message a step, by the ring formula."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

if os.name == "nt":
    pytest.skip("signals and fork are POSIX", allow_module_level=True)

from fault_runs import (
    finish,
    free_port,
    make_run,
)

from napari_inr_tomo.engine import checkpoint
from patience import wait_for

Figure = Callable[[str], None]
TORCHRUN = "torch.distributed.run"


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


@pytest.mark.faults
@pytest.mark.scenario(31)
def test_two_nodes_under_torchrun_equal_one(tmp_path: Path, figure: Figure) -> None:
    """Two agents on this computer, as `srun torchrun` starts one on every node."""
    straight, paths = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    finish(straight, 2)
    endpoint = f"--rdzv-endpoint=127.0.0.1:{free_port()}"
    options = ["--nnodes=2", "--nproc-per-node=1", "--max-restarts=0", endpoint]
    options += ["--rdzv-backend=c10d", "--rdzv-id=two", "--local-addr=127.0.0.1"]
    module = ["-m", "napari_inr_tomo.engine", str(paths.folder)]
    agents = [
        subprocess.Popen([sys.executable, "-m", TORCHRUN, *options, *module])
        for _ in range(2)
    ]
    try:
        ended = wait_for(lambda: all(a.poll() is not None for a in agents), 200)
    finally:
        for agent in agents:
            agent.kill()
    assert ended
    assert [agent.wait() for agent in agents] == [0, 0]
    volumes = [p.result_volume.read_bytes()[1024:] for p in (straight, paths)]
    assert volumes[0] == volumes[1]
    figure("2 nodes of 1 process under torchrun: bitwise equal to 2 processes")


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
