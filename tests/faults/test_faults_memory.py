"""Memory that runs out, is predicted, and is met with smaller pieces."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_inr_tomo import runs
from napari_inr_tomo.engine import gradient, memory, worker
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.runs import RunFolder, launch
from napari_inr_tomo.runs import memory as run_memory

if os.name == "nt":
    pytest.skip("the forked workers are POSIX", allow_module_level=True)

from fault_runs import finished_state, gap, make_run, ranks

Figure = Callable[[str], None]


def short_of_memory(error: type[Exception], words: str) -> Callable[[], None]:
    """Refuse to work on more than 1000 points, as an allocator would (in a child)."""

    def before() -> None:
        whole = gradient.StepGradient._add_pixels

        def pieces(self, drawn, samples, points, share):
            if points > 1000:
                raise error(words)
            return whole(self, drawn, samples, points, share)

        gradient.StepGradient._add_pixels = pieces

    return before


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(
            MemoryError, "", marks=[pytest.mark.scenario(5), pytest.mark.faults]
        ),
        pytest.param(
            RuntimeError,
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9",
            marks=[pytest.mark.scenario(5), pytest.mark.faults],
        ),
        pytest.param(
            torch.OutOfMemoryError,
            "CUDA out of memory. Tried to allocate 9 GiB",
            marks=pytest.mark.scenario(6),
        ),
    ],
    ids=["numpy", "torch", "cuda"],
)
def test_full_memory_is_met_with_smaller_pieces(
    tmp_path: Path, error: type[Exception], words: str, figure: Figure
) -> None:
    straight = finished_state(make_run(tmp_path / "a"))
    paths = make_run(tmp_path / "b")
    target = paths.logs / "final.npz"

    def before() -> None:
        from fault_runs import keep_final_state

        os.environ["FINAL_STATE"] = str(target)
        keep_final_state()
        short_of_memory(error, words)()

    with ranks(paths, 1, before) as (member,):
        assert member.wait() == 0
    with np.load(target, allow_pickle=False) as file:
        apart = gap(straight, {name: file[name] for name in file.files})
    assert apart < 1e-12
    injected = " (injected error, no GPU)" if "CUDA" in words else ""
    figure(f"{error.__name__}: finished in smaller pieces, {apart:.1e} apart{injected}")


@pytest.mark.scenario(5)
def test_a_step_in_smaller_pieces_counts_its_residuals_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """The pieces that were done before memory ran out are done again."""
    whole, refused = gradient._chunks, [0]

    def chunks(count, size):
        for number, part in enumerate(whole(count, size)):
            if number == 1 and size > 20:
                refused[0] += 1
                raise MemoryError
            yield part

    residuals = []
    for name in ("a", "b"):
        paths = make_run(tmp_path / name, {"inr": {"schedule": {"epochs": 1}}})
        monkeypatch.setattr("napari_inr_tomo.engine.chunk.CPU_POINTS", 512)
        assert worker.main(str(paths.folder)) == 0
        rows = csv.DictReader(paths.result_poses.open())
        residuals.append([float(row["residual"]) for row in rows])
        monkeypatch.setattr(gradient, "_chunks", chunks)
    assert refused[0] > 0
    np.testing.assert_allclose(residuals[1], residuals[0], rtol=1e-12)
    figure(f"{refused[0]} times in smaller pieces: the same residual of every tilt")


@pytest.mark.faults
@pytest.mark.scenario(5)
def test_a_real_limit_ends_in_words(tmp_path: Path, figure: Figure) -> None:
    """The address space of the worker is limited to little more than it has."""
    import resource

    import psutil

    changes = {"inr": {"schedule": {"batch_rays": 90_000, "epochs": 1}}}
    paths = make_run(tmp_path / "run", {"depth_px": 1500} | changes)

    def before() -> None:
        most = psutil.Process().memory_info().vms + 40_000_000
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    with ranks(paths, 1, before) as (member,):
        code = member.wait(120)
    run = RunFolder(paths.folder)
    last = run.events()[-1]
    if code:
        assert "not enough memory" in last.what
    assert run.status().state == ("failed" if code else "finished")
    figure(
        "a limit on the real allocator: " + ("told in words" if code else "survived")
    )


def test_what_counts_as_full_memory() -> None:
    assert memory.is_full(MemoryError())
    assert memory.is_full(torch.OutOfMemoryError("x"))
    assert not memory.is_full(RuntimeError("shapes differ"))
    assert not memory.is_full(ValueError("out of memory"))
    sizes = []

    def work(size: int) -> int:
        sizes.append(size)
        if size > 1000:
            raise MemoryError
        return 7

    assert memory.in_pieces(work, 4096) == (7, 512)
    assert sizes == [4096, 2048, 1024, 512]
    with pytest.raises(RuntimeError, match="other"):
        memory.in_pieces(lambda _: (_ for _ in ()).throw(RuntimeError("other")), 4096)


@pytest.mark.scenario(5, 6)
def test_a_run_larger_than_the_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    run = RunFolder(make_run(tmp_path / "run").folder)
    need = runs.estimate(run.config, run.spec.shape).memory_bytes

    def pretend(total: float, free: float) -> None:
        found = run_memory.Memory("main memory", int(total * need), int(free * need))
        monkeypatch.setattr(runs.launching, "main_memory", lambda: found)

    pretend(0.9, 0.9)
    with pytest.raises(UserError, match="not enough memory"):
        launch(run, 1)
    assert not run.paths.events.exists()
    pretend(2, 0.9)
    doubt = runs.check_needs(run, 1)
    assert doubt is not None
    assert "may not suffice" in str(doubt)
    pretend(2, 1.1)
    assert runs.check_needs(run, 1) is None
    figure("predicted and refused before the start")


@pytest.mark.scenario(6, 28)
def test_the_memory_of_cards_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '24576, 100'\necho '81559, 81000'\n")
    tool.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(tool))
    cards = run_memory.card_memory()
    assert [card.total >> 20 for card in cards] == [24576, 81559]
    assert run_memory.check_fit(50 << 20, cards) is None
    doubt = run_memory.check_fit(1 << 30, cards)
    assert doubt is not None
    assert "GPU 0" in doubt.why
    with pytest.raises(UserError, match="GPU 0"):
        run_memory.check_fit(30 << 30, cards)
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert run_memory.card_memory() == []
    figure("a card that others fill is warned about (stand-in for nvidia-smi)")
