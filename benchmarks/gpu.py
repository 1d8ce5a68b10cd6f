"""A graphics card: is it right, how fast is it; less than ten minutes.

    PYTHONPATH=src python benchmarks/gpu.py
    PYTHONPATH=src python benchmarks/gpu.py --device cpu --size small   (a dry run)

Parts: results beside those of the processor, the largest matrix product, training
steps, SIRT, backgrounds, two whole runs as a user starts them, all under one limit of
time.  What was found is written after every part.  "predicted" is the time of an
iteration times their number; points are samples on rays in voxels that can be occupied,
without those of the total variation.  Whether others use the card, nobody looks.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_background import background_times
from gpu_checks import checks, flops_per_point
from gpu_runs import configured, prepare, whole_run
from record import RESULTS, write

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
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses, TiltSeries

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
    large_run_s: float  # the least it takes; else it is not begun
    wide: tuple[int, int]  # width and hidden layers of the large run's network
    less: int = 1
    """Divides the rays and points of a step."""
    options: tuple[str, ...] = ()
    settings: str = ""
    """What differs from the preset, so that a dry run is short."""


SIZES = {
    "full": Size((200, 61), (500, 71), (200, 180), 8192, 2.0, 120.0, (512, 4)),
    "small": Size(
        (16, 7), (20, 9), (16, 12), 128, 0.02, 0.0, (32, 1), 32, ("--epochs", "1")
    ),
}


@dataclass
class Bench:
    """The card, the time that is left and the rows found so far."""

    device: torch.device
    size: Size
    budget_s: float
    work: Path
    large: Future[None]
    """Done once the large series and its truth lie in ``work``."""
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


def images(size: int, tilts: int) -> TiltSeries:
    """Return the series of the times: a phantom within +-60 degrees."""
    angles = np.linspace(-60, 60, tilts)
    return simulate_series("sea-mine", size, angles, dose=500.0).series


def trainer_of(
    bench: Bench,
    preset: str,
    series: TiltSeries,
    growth: int,
    field_: dict[str, int] | None = None,
) -> Trainer:
    """Return a trainer with all samples on its rays and moving poses."""
    tilts, height, width = series.images.shape
    config = ReconstructionConfig.from_preset(preset)
    less = bench.size.less
    schedule = config.inr.schedule
    rays = growth * (schedule.batch_rays or USUAL_RAYS) // less
    plan: dict[str, Any] = {"batch_rays": rays, "epochs": 1_000_000}
    plan |= {"first_samples": 1.0, "ramp_epochs": 0}
    loss = {"tv_points": config.inr.loss.tv_points // less}
    changes: dict[str, Any] = {"field": field_ or {}, "schedule": plan}
    changes |= {"loss": loss, "poses": {"start_epoch": 0}}
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


def steps(
    bench: Bench, made: TiltSeries, cases: Sequence[tuple[str, int]], **field_: int
) -> None:
    """Measure steps of presets with their rays times a number.

    field_: settings of the network that differ.
    """
    peak = next((row["flops"] for row in bench.rows if "flops" in row), None)
    size = made.images.shape[1], len(made)
    for preset, growth in cases:
        trainer = trainer_of(bench, preset, made, growth, field_)
        took, share = step_seconds(bench, trainer), occupied_share(trainer)
        recorded = trainer.recorder.works
        rays = trainer.sampler.batch
        settings = trainer.inr.field
        points = rays * size[0] * share / took
        case = f"{words(size)}, {rays} rays, {100 * share:.0f} % occupied"
        name = f"{preset} step, {settings.hidden_layers} x {settings.width}"
        bench.note(name, case, rounded(points), "points/s", step_s=took, share=share,
                   recorded=recorded)  # fmt: skip
        bench.note(name, case, rounded(1e3 * took), "ms")
        if peak:
            part = points * flops_per_point(settings) / peak
            bench.note(name, case, rounded(100 * part), "% of the matrix peak")
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


def large_series(bench: Bench) -> TiltSeries:
    """Return the large series once it is there."""
    bench.large.result()
    return io.read_series(bench.work / "large" / "stack.h5")


def small_run(bench: Bench) -> None:
    """Reconstruct the series from all around with the preset that is the default."""
    folder = bench.work / "small"
    prepare(folder, *bench.size.run, 90.0)
    options = ["--preset", "fast", *configured(folder, bench.size.settings)]
    judge(bench, folder, "fast preset, as a user starts it", options, WRITING_S)


def large_run(bench: Bench) -> None:
    """Reconstruct the large series with the paper's width and depth, in one pass."""
    bench.large.result()
    width, layers = bench.size.wide
    settings = bench.size.settings + (
        f"[inr.field]\nwidth = {width}\nhidden_layers = {layers}\n"
        "[inr.schedule]\nepochs = 1\n"
    )
    folder = bench.work / "large"
    options = ["--preset", "fast", *configured(folder, settings)]
    part = f"fast preset, {layers} x {width}, one pass"
    judge(bench, folder, part, options, 2 * WRITING_S)


def judge(
    bench: Bench, folder: Path, part: str, options: list[str], keep_s: float
) -> None:
    """Note how long a run as a user starts it takes, and how good its volume is."""
    options += [*bench.size.options, "--device", bench.device.type]
    found = whole_run(folder, options, bench.left_s - keep_s)
    how = "stopped for lack of time" if found.stopped else "measured"
    case = words(found.size)
    bench.note(part, case, rounded(found.seconds / 60), "minutes", how,
               began_s=found.began_s)  # fmt: skip
    bench.note(part, case, found.scores["ssim"], "SSIM", how, **found.scores)
    bench.note(part, case, found.scores["psnr_db"], "dB PSNR", how)


def parts_of(bench: Bench) -> Iterator[tuple[str, float, Callable[[], None]]]:
    """Yield the name of a part, the least seconds it is worth starting with, itself."""
    size, full = bench.size, bench.size.step_s > 1
    usual = (("paper", 1), ("fast", 1), ("fast", 2), ("fast", 4))
    wide = dict(zip(("width", "hidden_layers"), size.wide, strict=True))
    yield "beside the processor", 20.0 * full, lambda: correctness(bench)
    yield "peak", 5.0 * full, lambda: peak_flops(bench)
    yield "steps", 30.0 * full, lambda: steps(bench, images(*size.middle), usual)
    yield "SIRT", 20.0 * full, lambda: classic(bench, size.middle)
    yield "background", 60.0 * full, lambda: background_times(bench, full)
    yield "whole run", 60.0 * full, lambda: small_run(bench)
    yield "large SIRT", 20.0 * full, lambda: classic(bench, size.large)
    yield (
        "large steps",
        60.0 * full,
        lambda: steps(bench, large_series(bench), (("fast", 4),), **wide),
    )
    yield "large run", size.large_run_s, lambda: large_run(bench)


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
    """Return 0: all is right, 1: something failed, 2: there is no card."""
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
    size = SIZES[options.size]
    with (
        tempfile.TemporaryDirectory() as work,
        ProcessPoolExecutor(1, get_context("spawn")) as beside,
    ):
        made = beside.submit(prepare, Path(work) / "large", *size.large, 70.0)
        bench = Bench(device, size, options.seconds, Path(work), made)
        return judged(bench, name, real, options)


def judged(bench: Bench, name: str, real: bool, options: argparse.Namespace) -> int:
    """Measure and write; return the exit status."""

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
