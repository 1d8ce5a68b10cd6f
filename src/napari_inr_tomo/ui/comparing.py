"""Two volumes in numbers, and the halves of a series; no widgets."""

from __future__ import annotations

import csv
import io as text_io
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import TiltSeries, Volume

if TYPE_CHECKING:
    from napari_inr_tomo.config import ReconstructionConfig

POLL_S = 0.3
FSC_LIMIT = 0.143
DIRECTION_LIMITS = (0.5, 0.143)
LIMITS = {
    "fsc_0.143_px": "0.143, for halves",
    "fsc_half_bit_px": "half-bit, for halves",
    "fsc_0.5_px": "0.5, for a truth",
}
LINES = {
    "ssim": "Similarity (SSIM) {:.3f}",
    "ssim_in_support": "Similarity within the specimen {:.3f}",
    "psnr_db": "Peak signal to noise {:.1f} dB",
    "scale": "Best factor on the intensities {:.3g}",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """How volume A compares with B.

    figures: as `metrics.compare`.  frequency: (shell,) 1/px; fsc, half_bit: (shell,).
    moved: A, moved onto B where that was asked for, (z, y, x).
    direction_deg: (sector,) across the tilt axis, as the tilt that measures it;
    reached: (2, sector) 1/px where the correlation falls below `DIRECTION_LIMITS`.
    tilts_deg: lowest and highest tilt, where known.
    """

    names: tuple[str, str]
    figures: dict[str, Any]
    frequency: np.ndarray
    fsc: np.ndarray
    half_bit: np.ndarray
    moved: np.ndarray
    direction_deg: np.ndarray
    reached: np.ndarray
    voxel_nm: float | None = None
    tilts_deg: tuple[float, float] | None = None

    def words(self) -> str:
        """Return the figures in words, resolution in nm where known."""
        lines = [
            text.format(self.figures[name])
            for name, text in LINES.items()
            if self.figures[name] is not None
        ]
        for name, limit in LIMITS.items():
            lines.append(f"Resolution (FSC, {limit}): {self._length(name)}")
        lines += self._direction_words()
        shift = self.figures["shift_zyx_px"]
        if any(shift):
            moved = ", ".join(f"{s:+.2f}" for s in shift)
            lines.append(f"A was moved by (z, y, x) {moved} px")
        return "\n".join(lines)

    @property
    def measured(self) -> np.ndarray | None:
        """(sector,) bool: whether tilts were taken in this direction; None: unknown."""
        if self.tilts_deg is None:
            return None
        low, high = self.tilts_deg
        return (self.direction_deg > low) & (self.direction_deg < high)

    def _direction_words(self) -> list[str]:
        measured = self.measured
        if measured is None or measured.all() or not measured.any():
            return []
        parts = []
        for name, which in (("measured", measured), ("missing wedge", ~measured)):
            found = float(np.median(self.reached[0][which]))
            px = f"{1 / found:.1f} px" if found > 0 else "never above 0.5"
            parts.append(f"{name} {px}")
        return [f"By direction (FSC 0.5, median): {', '.join(parts)}"]

    def _length(self, name: str) -> str:
        px = self.figures[name]
        if px is None:
            return "never above the limit"
        nm = "" if self.voxel_nm is None else f" = {px * self.voxel_nm:.3g} nm"
        best = ", the finest there is" if px <= 2 else ""
        return f"{px:.2f} px{nm}{best}"

    def table(self) -> str:
        """Return everything as CSV: the figures, then the curves."""
        out = text_io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["figure", "value"])
        writer.writerows([["A", self.names[0]], ["B", self.names[1]]])
        writer.writerow(["voxel_nm", self.voxel_nm])
        for name, value in self.figures.items():
            values = value if isinstance(value, list) else [value]
            writer.writerow([name, *values])
        writer.writerow([])
        writer.writerow(["frequency_per_px", "fsc", "half_bit"])
        writer.writerows(
            zip(
                *(a.tolist() for a in (self.frequency, self.fsc, self.half_bit)),
                strict=True,
            )
        )
        writer.writerow([])
        names = [f"reached_{limit:g}_per_px" for limit in DIRECTION_LIMITS]
        writer.writerow(["direction_deg", *names])
        writer.writerows(
            zip(self.direction_deg.tolist(), *self.reached.tolist(), strict=True)
        )
        return out.getvalue()


def compare(
    a: Volume | None,
    b: Volume | None,
    register: bool,
    axis_deg: float = 0.0,
    tilts_deg: tuple[float, float] | None = None,
) -> Comparison:
    """Compare A with B (worker thread).

    axis_deg: of the tilt axis; tilts_deg: lowest and highest tilt, where known.
    """
    from napari_inr_tomo import metrics

    if a is None or b is None:
        raise UserError(
            "The volumes cannot be compared",
            "the layer of one of them is gone",
            "Choose two volumes",
        )
    moved, shift = np.asarray(a.data), (0.0, 0.0, 0.0)
    if register:
        moved, shift = metrics.register(a, b)
    figures = metrics.compare(moved, b) | {"shift_zyx_px": list(shift)}
    frequency, curve, half_bit = metrics.fsc_half_bit(moved, b)
    found = [
        metrics.fsc_by_direction(moved, b, axis_deg, limit)
        for limit in DIRECTION_LIMITS
    ]
    return Comparison(
        names=(a.name, b.name),
        figures=figures,
        frequency=frequency,
        fsc=curve,
        half_bit=half_bit,
        moved=moved,
        direction_deg=found[0][0],
        reached=np.array([reached for _, reached, _ in found]),
        voxel_nm=b.voxel_nm,
        tilts_deg=tilts_deg,
    )


def halves(series: TiltSeries) -> tuple[TiltSeries, TiltSeries]:
    """Return the series with only every other used tilt, in the order of the angle."""
    order = np.argsort(series.angles_deg, kind="stable")
    order = order[series.mask[order]]
    parts = []
    for first, name in ((0, "even"), (1, "odd")):
        used = np.zeros(len(series), bool)
        used[order[first::2]] = True
        parts.append(series.evolve(used=used, name=f"{series.name}, {name} tilts"))
    return parts[0], parts[1]


def reconstruct_halves(
    series: TiltSeries,
    config: ReconstructionConfig,
    folder: Path,
    stop: threading.Event,
) -> Generator[str, None, tuple[Volume, Volume] | None]:
    """Run both halves, one after the other; yields what happens, returns the volumes.

    The poses stay as they are, so that both volumes lie in the same place.  folder:
    its name with -even and -odd added becomes the run folders.  None if stopped.
    """
    config = config.merged({"inr": {"poses": {"refine": False}}})
    volumes = []
    for name, half in zip(("even", "odd"), halves(series), strict=True):
        run_folder = folder.with_name(f"{folder.name}-{name}")
        volume = yield from _one_half(half, config, run_folder, stop)
        if volume is None:
            return None
        volumes.append(volume)
    return volumes[0], volumes[1]


def _one_half(
    half: TiltSeries, config: Any, folder: Path, stop: threading.Event
) -> Generator[str, None, Volume | None]:
    from napari_inr_tomo import io, runs

    run = runs.create_run(folder, half, config)
    launched = runs.launch(run)
    status = run.status()
    while status.active or (status.state == "created" and launched.poll() is None):
        yield f"{half.name}: {status.phase or 'starting'} {status.step}/{status.total}"
        if stop.wait(POLL_S):
            run.request("cancel")
            return None
        status = run.status()
    if not status.has_result:
        raise UserError(
            f"The reconstruction of the {half.name} has no result",
            status.message or f"it is {status.state}",
            f"See {run.paths.launcher_log}",
        )
    volume = io.read_volume(run.result())
    return Volume(volume.data, volume.voxel_nm, half.name, volume.history)
