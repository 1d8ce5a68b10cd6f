"""Figures of the paper's experiments: curves, and slices with their spectra.

    python benchmarks/paper.py --suite sweeps --work WORK
    python benchmarks/figures.py --work WORK

Curves come from the newest committed result, slices from the volumes that
`paper.py` left in its work folder.  PNG files go to ``docs/images``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from paper import Experiment, simulated
from record import RESULTS

from napari_inr_tomo import io

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLOURS = {"sirt": "#7f7f7f", "tv": "#1f77b4", "preview": "#ff9f4a", "fast": "#d62728"}
NAMES = {"sirt": "SIRT", "tv": "TV", "preview": "INR, preview", "fast": "INR, fast"}
SWEEPS = {
    "wedge": ("missing wedge, degrees", [20, 60, 100]),
    "step": ("tilt step, degrees", [2, 10, 20]),
    "fluence": ("counts per pixel", [1000, 100, 10]),
}
AXIS_FIXED, AXIS_LEARNT = "axis error, fixed poses", "axis error, poses learnt"
INSET = 0.3
"""Share of a slice that its spectrum covers."""


def spectrum(slice_zy: NDArray[Any]) -> NDArray[np.float64]:
    """Return the logarithm of the power of a (z, y) slice, 0 frequency in the middle.

    A Hann window keeps the edges of the slice out of it; values within 0 and 1 over
    six decades below the largest.
    """
    windows = [np.hanning(n + 2)[1:-1] for n in slice_zy.shape]
    windowed = (slice_zy - slice_zy.mean()) * np.outer(*windows)
    power = np.abs(np.fft.fftshift(np.fft.fft2(windowed))) ** 2
    decades = np.log10(power / max(power.max(), 1e-30) + 1e-6)
    return np.asarray((decades + 6) / 6)


def curve(axes: Axes, rows: list[dict[str, Any]], suite: str) -> None:
    """Draw SSIM against what is varied, one line a method."""
    for method, colour in COLOURS.items():
        points = sorted(
            (float(row["case"]), row["ssim"])
            for row in rows
            if row["suite"] == suite and row["method"] == method
        )
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=colour, ms=4)
    axes.set(xlabel=SWEEPS.get(suite, ("tilt-axis error, degrees",))[0])
    axes.grid(alpha=0.3)


def curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Write the curves of all sweeps beside each other."""
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), sharey=True)
    for place, suite in zip(axes, SWEEPS, strict=False):
        curve(place, rows, suite)
    axes[2].set_xscale("log")
    curve(axes[3], rows, AXIS_FIXED)
    learnt = sorted(
        (float(row["case"]), row["ssim"]) for row in rows if row["suite"] == AXIS_LEARNT
    )
    axes[3].plot(*zip(*learnt, strict=True), "s--", color=COLOURS["fast"], ms=4)
    axes[0].set_ylabel("SSIM")
    handles = [
        plt.Line2D([], [], color=colour, marker="o", ms=4, label=NAMES[name])
        for name, colour in COLOURS.items()
    ]
    handles.append(plt.Line2D([], [], color=COLOURS["fast"], marker="s", ls="--", ms=4))
    handles[-1].set_label("INR, fast, poses learnt")
    figure.legend(handles=handles, ncols=5, loc="upper center", frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.9))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def show(axes: Axes, volume: NDArray[Any], top: float) -> None:
    """Draw the middle (z, y) slice with its spectrum in a corner."""
    middle = volume[:, :, volume.shape[2] // 2]
    axes.imshow(middle, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    corner = axes.inset_axes((1 - INSET, 0, INSET, INSET))
    corner.imshow(spectrum(middle), cmap="magma", vmin=0.3, vmax=1)
    corner.set(xticks=[], yticks=[])


def slices(rows: list[dict[str, Any]], suite: str, work: Path, path: Path) -> None:
    """Write slices of all methods, a row for each of three values."""
    label, values = SWEEPS[suite]
    figure, axes = plt.subplots(3, 5, figsize=(11, 6.9))
    for across, value in zip(axes, values, strict=True):
        for place, method in zip(across[1:], COLOURS, strict=True):
            row = next(
                row
                for row in rows
                if row["suite"] == suite
                and float(row["case"]) == value
                and row["method"] == method
            )
            known = {name: row[name] for name in Experiment.__dataclass_fields__}
            experiment = Experiment(**known)
            truth = np.asarray(simulated(experiment, row["size"]).truth.data)
            top = float(np.quantile(truth[truth > 0], 0.9))
            made = io.read_volume(work / f"{experiment.name}-{row['size']}.mrc").data
            show(place, np.asarray(made), top)
            place.set_title(f"{NAMES[method]}, SSIM {row['ssim']:.3f}", fontsize=9)
        show(across[0], truth, top)
        across[0].set_title("truth", fontsize=9)
        across[0].set_ylabel(f"{value:g} {label.split(', ')[-1]}")
    figure.suptitle(f"Varied: {label}", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main() -> None:
    """Write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("benchmark-work"))
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    newest = sorted(RESULTS.glob("paper-sweeps-64-*.json"))[-1]
    rows = json.loads(newest.read_text(encoding="utf-8"))["rows"]
    curves(rows, options.out / "paper_sweeps.png")
    for suite in SWEEPS:
        slices(rows, suite, options.work, options.out / f"paper_{suite}.png")


if __name__ == "__main__":
    main()
