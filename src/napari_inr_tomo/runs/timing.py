"""How long a run will take: from a few measured steps, times how many there are.

`measure` runs a few steps of every phase on the images themselves in a process of its
own (`napari_inr_tomo.engine.trial`) and keeps what it finds; `expected` multiplies.
What a step costs depends on the machine, the images and some settings; how many steps
there are on others, which change nothing about the measurement.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_inr_tomo import remembered
from napari_inr_tomo.config import USUAL_RAYS, ReconstructionConfig
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.hardware import cores, visible_gpus
from napari_inr_tomo.provenance import versions
from napari_inr_tomo.runs.estimates import estimate
from napari_inr_tomo.runs.folder import create_run
from napari_inr_tomo.runs.launching import (
    be_nice,
    check_needs,
    environment,
    own_session,
)
from napari_inr_tomo.types import TiltSeries

TRIAL = "napari_inr_tomo.engine.trial"
LONGEST_S = 300.0
"""A measurement that takes longer is given up."""
POSE_STEPS = (12, 4, 2)
"""Usual steps of the stages of the search for poses; it ends when nothing changes."""
WEIGHTS_TRIED = 3
WEIGHT_ITERATIONS = 40
"""Usual number of TV weights tried, and the iterations of each."""
TV_START = 20
"""Iterations of SIRT before the first one of TV."""
HULL_ITERATIONS = 15
"""Iterations that tell whether the visual hull has carved too much."""
BUSY_SHARE = 0.5
"""A computer is busy where more than this share of its cores is, before a trial."""
PREVIEW_SHARE = 0.1
"""Most of the time of a run that live volumes take."""


@dataclass(frozen=True)
class Costs:
    """Measured: seconds by what was timed (`engine.trial.measure`), peak memory.

    memory_bytes: the most the process held; of the GPU where there is one.
    batch_rays: of a step, where the settings leave it open.  busy: other programs were
    at work, so that a run alone will be faster.
    """

    seconds: dict[str, float]
    memory_bytes: int
    device: str
    batch_rays: int = USUAL_RAYS
    busy: bool = False


@dataclass(frozen=True)
class Expected:
    """What a run will take: seconds of every phase, and bytes of memory."""

    phases_s: dict[str, float]
    memory_bytes: int
    device: str

    @property
    def seconds(self) -> float:
        """Seconds in all."""
        return sum(self.phases_s.values())


def expected(
    config: ReconstructionConfig,
    shape_tyx: tuple[int, int, int],
    costs: Costs,
    processes: int = 1,
) -> Expected:
    """Return what a run takes on a stack of ``shape_tyx``, from what its steps cost.

    processes: those that share the work; two are taken to need half the time.
    """
    seconds = costs.seconds
    get = seconds.get
    phases = {"starting": get("start", 0.0) + get("projector", 0.0) + get("hull", 0.0)}
    if config.method == "fbp":
        phases["FBP"] = get("fbp", 0.0)
    elif config.method != "inr":
        count = config.classic.iterations
        phases |= _classic(config, config.method, count, costs, processes)
    else:
        inr = config.inr
        if inr.poses.refine and inr.poses.coarse:
            steps = enumerate(POSE_STEPS)
            phases["coarse poses"] = sum(n * get(f"poses {i}", 0.0) for i, n in steps)
        if inr.warm_start != "none":
            count = inr.warm_start_iterations
            phases |= _classic(config, inr.warm_start, count, costs, processes)
            if inr.hull:
                one = get("iteration", 0.0) / processes
                phases["checking the hull"] = HULL_ITERATIONS * one
            phases["learning the start"] = (
                inr.warm_start_steps * get("lesson", 0.0) / processes
            )
        phases["rays"] = _rays(config, shape_tyx, costs) / processes
        phases["rays"] *= 1 + _preview_share(config, get("preview", 0.0))
        phases["reading the volume"] = get("volume", 0.0)
    return Expected(phases, costs.memory_bytes, costs.device)


def _classic(
    config: ReconstructionConfig,
    method: str,
    iterations: int,
    costs: Costs,
    processes: int,
) -> dict[str, float]:
    phases = {}
    one = costs.seconds.get("iteration", 0.0) / processes
    if method == "tv":
        if config.classic.tv_weight is not None:
            iterations += TV_START
        else:
            tried = costs.seconds.get("weight iteration", 0.0) / processes
            phases["choosing the TV weight"] = (
                TV_START * one + (TV_START + WEIGHTS_TRIED * WEIGHT_ITERATIONS) * tried
            )
    return phases | {method.upper(): iterations * one}


def _rays(
    config: ReconstructionConfig, shape_tyx: tuple[int, int, int], costs: Costs
) -> float:
    """Return the seconds of all steps; the samples per ray rise over the ramp."""
    plan = config.resolved(shape_tyx[0]).inr.schedule
    epochs = plan.epochs or 1
    full = costs.seconds.get("ray step", 0.0)
    first = costs.seconds.get("first ray step", full)
    ramp = min(1.0, plan.ramp_epochs / epochs)
    mean = ramp * (first + full) / 2 + (1 - ramp) * full
    rays = plan.batch_rays or costs.batch_rays
    return epochs * -(-int(np.prod(shape_tyx)) // rays) * mean


def _preview_share(config: ReconstructionConfig, preview_s: float) -> float:
    """Return the time of live volumes as a share of the rest."""
    gap = max(config.compute.preview_seconds, preview_s / PREVIEW_SHARE)
    return preview_s / gap


def key(series: TiltSeries, config: ReconstructionConfig) -> str:
    """Return a name for everything that the cost of a step depends on."""
    parts = cost_settings(config)
    parts |= {"machine": _machine(), "images": _fingerprint(series)}
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def cost_settings(config: ReconstructionConfig) -> dict[str, Any]:
    """Return the settings that the cost of a step depends on, not their number."""
    told = config.model_dump(mode="json")
    inr, classic, compute = told["inr"], told["classic"], told["compute"]
    plan = {n: inr["schedule"][n] for n in ("batch_rays", "first_samples")}
    plan["ramp"] = inr["schedule"]["ramp_epochs"] > 0
    poses = {n: inr["poses"][n] for n in ("refine", "coarse", "shared_axis")}
    parts: dict[str, Any] = {"method": config.method, "depth": config.depth_px}
    if config.method == "inr":
        points = inr["loss"]["tv_points"]
        lessons = inr["warm_start_steps"] > 0
        parts |= {"field": inr["field"], "plan": plan, "poses": poses}
        parts |= {"tv": points, "start": inr["warm_start"], "lessons": lessons}
        parts["hull"] = inr["hull"]
    elif config.method == "sirt":
        parts["positivity"] = classic["positivity"]
    return parts | {n: compute[n] for n in ("device", "precision", "preview_voxels")}


def _machine() -> list[Any]:
    name = [platform.node(), platform.machine(), platform.processor()]
    return [*name, cores(), visible_gpus(), versions()]


def _fingerprint(series: TiltSeries) -> str:
    """Return a digest of shape, angles, poses and some pixels of the used views."""
    used = np.flatnonzero(series.mask)
    digest = hashlib.sha256(repr((len(used), series.images.shape)).encode())
    digest.update(series.start_poses.take(used).as_array().tobytes())
    digest.update(series.angles_deg[used].tobytes())
    for tilt in used[:: max(1, len(used) // 8)]:
        image = series.images[tilt]
        digest.update(np.ascontiguousarray(image[::7, ::7]).tobytes())
    return digest.hexdigest()


def cache_file() -> Path:
    """Return where measurements are kept."""
    return remembered.file("timings.json")


def known(series: TiltSeries, config: ReconstructionConfig) -> Costs | None:
    """Return an earlier measurement that fits, or None."""
    value = remembered.recall(cache_file()).get(key(series, config))
    try:
        return None if value is None else _costs(value)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _costs(value: dict[str, Any]) -> Costs:
    seconds = {str(k): float(v) for k, v in value["seconds"].items()}
    memory, busy = int(value["memory_bytes"]), bool(value.get("busy", False))
    rays = int(value.get("batch_rays", USUAL_RAYS))
    return Costs(seconds, memory, str(value["device"]), rays, busy)


def _is_busy() -> bool:
    """Return whether others take more than half of the cores just now."""
    import psutil

    return bool(psutil.getloadavg()[0] > BUSY_SHARE * cores())


def measure(
    series: TiltSeries,
    config: ReconstructionConfig,
    stop: Callable[[], bool] = lambda: False,
    module: str = TRIAL,
    again: bool = False,
) -> Costs | None:
    """Return what a step costs, from an earlier measurement or from a new one.

    A new one takes seconds to minutes of a process of its own, at the priority that a
    run has.  stop: asked several times a second; True ends it, and None is returned.
    module: the program, for ``python -m``.  again: make a new measurement in any case,
    as where the computer was busy with something else.  Raises `UserError` where the
    run does not fit into the memory, or the process fails or takes too long.
    """
    found = known(series, config)
    if found is not None and not again:
        return found
    name, busy = key(series, config), _is_busy()
    with tempfile.TemporaryDirectory(
        prefix="inr-tomo-trial-",
        ignore_cleanup_errors=True,  # a process may leave a moment after its end
    ) as folder:
        run = create_run(Path(folder) / "trial", series, config)
        check_needs(run, 1)
        answer = _ask(run.path, module, stop)
    if answer is None:
        return None
    answer = replace(answer, busy=busy)
    remembered.keep(cache_file(), name, asdict(answer))
    return answer


def _ask(folder: Path, module: str, stop: Callable[[], bool]) -> Costs | None:
    """Run the trial and read its answer."""
    out, log = folder / "logs" / "trial.json", folder / "logs" / "trial.log"
    out.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    with open(log, "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder), str(out)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            cwd=folder,
            env=environment(1),
            **own_session(),
        )
        be_nice(process.pid)
        try:
            while process.poll() is None:
                late = time.monotonic() - began > LONGEST_S
                if late or stop():
                    if late:
                        raise _failed(f"it took longer than {LONGEST_S:.0f} s")
                    return None
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    try:
        if process.returncode:
            raise ValueError(f"exit status {process.returncode}")
        return _costs(json.loads(out.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        said = log.read_text(errors="replace").strip().splitlines()
        why = said[-1][:200] if said else f"exit status {process.returncode}"
        raise _failed(f"the trial failed: {why}") from None


def _failed(why: str) -> UserError:
    return UserError(
        "The time of this run could not be measured",
        why,
        "The run itself can be started all the same",
    )


def formula_bytes(series: TiltSeries, config: ReconstructionConfig) -> int:
    """Return the memory by the formulas of `estimate`, before anything is measured."""
    used = np.flatnonzero(series.mask)
    shape = (len(used), series.images.shape[1], series.images.shape[2])
    return estimate(config, shape, series.start_poses.take(used)).memory_bytes


def in_seconds(seconds: float) -> str:
    """Return a time for people, two digits: ``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, float(f'{seconds:.2g}')):.0f} s"
    if seconds < 5400:
        return f"{float(f'{seconds / 60:.2g}'):g} min"
    return f"{float(f'{seconds / 3600:.2g}'):g} h"
