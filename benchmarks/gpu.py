"""A graphics card: is it right, how fast is it; less than ten minutes.

    PYTHONPATH=src python benchmarks/gpu.py
    PYTHONPATH=src python benchmarks/gpu.py --device cpu --size small   (a dry run)

Parts: results beside those of the processor, the largest matrix product, training
steps, SIRT, one whole run as a user starts it, all under one limit of time.  What was
found is written after every part.  "predicted" is the time of a step or an iteration
times their number; points are samples on rays in voxels that can be occupied, those of
the total variation come on top and are not counted.  The card is full of others' work
or not: nobody looks.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_checks import checks, flops_per_point
from record import RESULTS, write
from scores import scores

from napari_inr_tomo import io
from napari_inr_tomo.classic import Projector
from napari_inr_tomo.classic.hull import hull
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.config import USUAL_RAYS, ReconstructionConfig
from napari_inr_tomo.engine.data import Stack
from napari_inr_tomo.engine.distributed import Ranks
from napari_inr_tomo.engine.training import StepReport, Trainer
from napari_inr_tomo.inr import Box, LearnedPoses, build_field
from napari_inr_tomo.inr.rendering import occupied_at, sample_points
from napari_inr_tomo.simulate import Simulation, simulate_series
from napari_inr_tomo.types import Poses

BUDGET_S = 560.0
WRITING_S = 45.0
"""Kept back from the whole run, for its volume and its scores."""
ITERATIONS = 100
WARM_UP = 12
"""Steps before the clock starts; reports come eight steps late on a card."""


@dataclass(frozen=True)
class Size:
    """How large the parts are: (pixels, tilts); matrix: edge of the product."""

    middle: tuple[int, int]
    large: tuple[int, int]
    run: tuple[int, int]
    matrix: int
    step_s: float
    less: int = 1
    """Divides the rays and points of a step."""
    options: tuple[str, ...] = ()


SIZES = {
    "full": Size((200, 61), (500, 71), (200, 180), 8192, 4.0),
    "small": Size((16, 7), (20, 9), (16, 12), 128, 0.02, 32, ("--epochs", "1")),
}


@dataclass
class Bench:
    """The card, the time that is left and the rows found so far."""

    device: torch.device
    size: Size
    budget_s: float
    began: float = field(default_factory=time.monotonic)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.budget_s - (time.monotonic() - self.began)

    def note(
        self, part: str, case: str, value: Any, unit: str, how: str = "measured",
        **more: Any,
    ) -> None:  # fmt: skip
        """Keep and print a figure."""
        row = {"part": part, "case": case, "value": value, "unit": unit, "how": how}
        self.rows.append(row | more)
        print(f"{part}: {case}: {value} {unit} ({how})", flush=True)

    def wait(self) -> float:
        """Wait for the card; return the time."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def least_s(self, work: Callable[[], Any], repeats: int = 3) -> float:
        """Return the least seconds of ``work`` after one call that does not count."""
        work()
        found = []
        for _ in range(repeats):
            start = self.wait()
            work()
            found.append(self.wait() - start)
        return min(found)


def rounded(value: float) -> float:
    """Return three digits of a number."""
    return float(f"{value:.3g}")


def correctness(bench: Bench) -> None:
    """Compare with the processor and say what failed."""
    for name, check in checks():
        error, tolerance = check(bench.device)
        passed = error <= tolerance
        bench.note(
            "beside the processor", name, float(f"{error:.1e}"),
            f"relative, at most {tolerance:g}", "passed" if passed else "FAILED",
        )  # fmt: skip


def peak_flops(bench: Bench) -> None:
    """Measure the largest matrix product in bfloat16."""
    edge = bench.size.matrix
    a = torch.rand(edge, edge, device=bench.device).to(torch.bfloat16)
    seconds = bench.least_s(lambda: torch.mm(a, a), 10)
    value = 2 * edge**3 / seconds
    bench.note("peak", f"bfloat16 product of {edge}", rounded(value / 1e12), "TFLOP/s",
               flops=value)  # fmt: skip


def images(size: int, tilts: int) -> Simulation:
    """Return the series of the times: a phantom within +-60 degrees."""
    return simulate_series("sea-mine", size, np.linspace(-60, 60, tilts), dose=500.0)


def trainer_of(bench: Bench, preset: str, made: Simulation, growth: int) -> Trainer:
    """Return a trainer with all samples on its rays and moving poses."""
    series = made.series
    tilts, height, width = series.images.shape
    config = ReconstructionConfig.from_preset(preset)
    less = bench.size.less
    schedule = config.inr.schedule
    rays = growth * (schedule.batch_rays or USUAL_RAYS) // less
    plan: dict[str, Any] = {"batch_rays": rays, "epochs": 1_000_000}
    plan |= {"first_samples": 1.0, "ramp_epochs": 0}
    loss = {"tv_points": config.inr.loss.tv_points // less}
    changes = {"schedule": plan, "loss": loss, "poses": {"start_epoch": 0}}
    config = config.merged({"inr": changes})
    box = Box((height, height, width))
    stack = Stack.load(np.asarray(series.images), None, bench.device)
    poses = Poses.zeros(tilts)
    occupied = None
    if config.inr.warm_start != "none":
        projector = Projector(
            series.angles_deg, poses, (height, width), height, bench.device
        )
        occupied = hull(projector, stack.images)
    hidden = torch.bfloat16 if bench.device.type == "cuda" else None
    network = build_field(config.inr.field, height, 0, hidden).to(bench.device)
    learnt = LearnedPoses(series.angles_deg, poses, tilts // 2).to(bench.device)
    ranks = Ranks(device=bench.device)
    return Trainer(stack, network, learnt, box, occupied, config, ranks)


def occupied_share(trainer: Trainer) -> float:
    """Return the share of the samples of a step that the network is asked for."""
    if trainer.occupied is None:
        return 1.0
    rays, _, _ = trainer.stack.rays(trainer.sampler.step(0, 0))
    depth = trainer.box.shape_zyx[0]
    middle = torch.full((len(rays), depth), 0.5, device=trainer.ranks.device)
    with torch.no_grad():
        points, _ = sample_points(trainer.poses, rays, trainer.box, middle)
        inside = occupied_at(trainer.occupied, points.reshape(-1, 3), trainer.box)
    return float(inside.double().mean())


def step_seconds(bench: Bench, trainer: Trainer) -> float:
    """Return the seconds of a step, a mean over the time a part may take."""
    done, start, took = 0, 0.0, 0.0
    warm = WARM_UP if bench.device.type == "cuda" else 1

    def after(_: StepReport) -> bool:
        nonlocal done, start, took
        done += 1
        if done == warm:
            start = bench.wait()
        if done <= warm or time.perf_counter() - start < bench.size.step_s:
            return False
        took = (bench.wait() - start) / (done - warm)
        return True

    trainer.run(lambda: 0, after, lambda _: None)
    return took


def steps(bench: Bench, size: tuple[int, int]) -> None:
    """Measure steps of both presets, also with more rays; predict whole trainings."""
    made = images(*size)
    peak = next((row["flops"] for row in bench.rows if "flops" in row), None)
    for preset, growth in (("paper", 1), ("fast", 1), ("paper", 8), ("fast", 16)):
        if bench.left_s < 3 * bench.size.step_s:
            bench.note(f"{preset} step", words(size), None, "points/s", "no time left")
            continue
        trainer = trainer_of(bench, preset, made, growth)
        took, share = step_seconds(bench, trainer), occupied_share(trainer)
        rays = trainer.stack.pixels / trainer.sampler.steps  # the last step has fewer
        field_ = trainer.inr.field
        points = rays * size[0] * share / took
        case = f"{words(size)}, {rays:.0f} rays, {100 * share:.0f} % occupied"
        name = f"{preset} step, {field_.hidden_layers} x {field_.width}"
        bench.note(name, case, rounded(points), "points/s", step_s=took, share=share)
        if peak:
            part = points * flops_per_point(field_) / peak
            bench.note(name, case, rounded(100 * part), "% of the matrix peak")
        if growth == 1:
            whole = ReconstructionConfig.from_preset(preset).resolved(size[1])
            count = (whole.inr.schedule.epochs or 0) * trainer.sampler.steps
            bench.note(name, f"{words(size)}, {count} steps",
                       rounded(count * took / 60), "minutes", "predicted")  # fmt: skip
        del trainer


def words(size: tuple[int, int]) -> str:
    """Return a size in words."""
    return f"{size[0]}^3 from {size[1]} tilts"


def classic(bench: Bench, size: tuple[int, int]) -> None:
    """Measure one forward and back projection, and SIRT as far as there is time."""
    edge, tilts = size
    angles = np.linspace(-60, 60, tilts)
    projector = Projector(angles, Poses.zeros(tilts), (edge, edge), edge, bench.device)
    volume = torch.rand(projector.shape_zyx, device=bench.device)
    start = time.perf_counter()
    data = projector.forward(volume)
    projector.adjoint(data)
    bench.note("projector, made", words(size), rounded(bench.wait() - start), "s")
    pair = bench.least_s(lambda: projector.adjoint(projector.forward(volume)))
    bench.note("forward and back", words(size), rounded(1e3 * pair), "ms")
    if 1.5 * ITERATIONS * pair > bench.left_s:
        bench.note(f"SIRT, {ITERATIONS} iterations", words(size),
                   rounded(ITERATIONS * pair), "s", "predicted")  # fmt: skip
        return
    start = bench.wait()
    sirt(projector, data, iterations=ITERATIONS)
    took = bench.wait() - start
    bench.note(f"SIRT, {ITERATIONS} iterations", words(size), rounded(took), "s")


def whole_run(bench: Bench) -> None:
    """Reconstruct a phantom from all around as a user does, and judge the volume."""
    size, tilts = bench.size.run
    angles = np.linspace(-90, 90, tilts, endpoint=False)
    made = simulate_series("sea-mine", size, angles, dose=500.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        io.write_series(folder / "stack.h5", made.series)
        parts = [sys.executable, "-m", "napari_inr_tomo.cli", "reconstruct"]
        parts += [str(folder / "stack.h5"), "-o", str(folder / "volume.mrc")]
        parts += ["--run", str(folder / "run"), "--depth", str(size), "--json"]
        parts += ["--preset", "fast", "--no-refine-poses", *bench.size.options]
        parts += ["--device", bench.device.type, "--processes", "1"]
        took, stopped = ended(parts, bench.left_s - WRITING_S)
        volume = np.asarray(io.read_volume(folder / "volume.mrc").data)
    how = "stopped for lack of time" if stopped else "measured"
    found = scores(volume, made.truth.data)
    part, case = "fast preset, as a user starts it", words(bench.size.run)
    bench.note(part, case, rounded(took / 60), "minutes", how)
    bench.note(part, case, found["ssim"], "SSIM", how, **found)
    bench.note(part, case, found["psnr_db"], "dB PSNR", how)


def ended(parts: list[str], limit_s: float) -> tuple[float, bool]:
    """Run a command; return seconds and whether Ctrl-C had to end it at its limit."""
    start, stopped = time.perf_counter(), False
    with subprocess.Popen(
        parts, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        for patience_s in (max(limit_s, 1.0), 30.0, 10.0):
            try:
                _, said = process.communicate(timeout=patience_s)
                break
            except subprocess.TimeoutExpired:
                stopped = True  # the first keeps the result, the second gives it up
                process.send_signal(signal.SIGINT)
        else:
            process.kill()
            raise RuntimeError(f"it did not end within {limit_s:.0f} s")
    if process.returncode:
        raise RuntimeError(said.decode(errors="replace")[-1000:])
    return time.perf_counter() - start, stopped


def parts_of(bench: Bench) -> Iterator[tuple[str, float, Callable[[], None]]]:
    """Yield the name of a part, the least seconds it is worth starting with, itself."""
    size, full = bench.size, bench.size.step_s > 1
    yield "beside the processor", 20.0 * full, lambda: correctness(bench)
    yield "peak", 5.0 * full, lambda: peak_flops(bench)
    yield "steps", 30.0 * full, lambda: steps(bench, size.middle)
    yield "SIRT", 20.0 * full, lambda: classic(bench, size.middle)
    yield "large steps", 60.0 * full, lambda: steps(bench, size.large)
    yield "whole run", 90.0 * full, lambda: whole_run(bench)
    yield "large SIRT", 40.0 * full, lambda: classic(bench, size.large)


def measured(bench: Bench, keep: Callable[[bool], None]) -> None:
    """Do part after part; what goes wrong in one does not cost the others."""
    for name, need_s, part in parts_of(bench):
        if bench.left_s <= need_s:
            bench.note(name, "all", None, "", "no time left")
        else:
            try:
                part()
            except Exception as error:  # noqa: BLE001
                said = " ".join(str(error).split())[-300:]
                bench.note(name, "all", None, "", "FAILED", error=said)
                print(f"{type(error).__name__}: {said}", file=sys.stderr)
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
        keep(False)
    keep(True)


def main() -> int:
    """Measure and write; 0: all is right, 1: something failed, 2: there is no card."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--size", default="full", choices=SIZES)
    parser.add_argument("--seconds", type=float, default=BUDGET_S, help="limit in all")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of results")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no graphics card that torch can use.", file=sys.stderr)
        return 2
    device = torch.device(options.device)
    real = device.type == "cuda" and options.size == "full"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    bench = Bench(device, SIZES[options.size], options.seconds)

    def keep(complete: bool) -> None:
        seconds = round(time.monotonic() - bench.began, 1)
        figures = {"device": name, "size": options.size, "complete": complete}
        figures |= {"seconds": seconds, "rows": bench.rows}
        path = write("gpu" if real else "gpu-dry", figures, options.out)
        if complete:
            print(path)

    measured(bench, keep)
    failed = [row for row in bench.rows if row["how"] == "FAILED"]
    for row in failed:
        print(f"FAILED: {row['part']}: {row['case']}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
