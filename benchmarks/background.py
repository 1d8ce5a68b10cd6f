"""How long the background of a whole series takes, and how far off it is.

    python benchmarks/background.py [--device cpu] [--repeats 3]

Spheres and a needle, tilted, on a planted surface of degree 3, with Poisson noise of at
most 100 counts a pixel.  The settings are the defaults, with reweighting, and with the
specimen told by Otsu's threshold.  "clock" is the least of the repeats; "processor" is
the time of all threads together: on a machine where others work, the fairer clock.
"error" is the largest distance from the planted surface, in parts of its range; the
median of the tilts.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from record import write

from napari_inr_tomo.preprocess import bernstein_basis, subtract_background
from napari_inr_tomo.types import TiltSeries

SERIES = ((61, 64), (71, 256), (71, 1024))
"""Tilts, pixels of a side."""
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "reweight": {"reweight": True},
    "otsu": {"specimen": "otsu"},
}
COUNTS = 100.0


def thickness(angle_deg: float, size: int) -> np.ndarray:
    """Return (y, x): what a tilt sees of the specimen; the brightest about 1."""
    rng = np.random.default_rng(1)
    axis = (np.arange(size) + 0.5) / size - 0.5
    y, x = axis[:, None], axis[None, :]
    image = np.sqrt(np.clip(1 - ((y - 0.02) / 0.06) ** 2, 0, None)) * np.ones_like(x)
    tilt = np.deg2rad(angle_deg)
    for _ in range(10):
        at_x, at_y, at_z = rng.uniform(-0.35, 0.35, 3)
        radius = rng.uniform(0.03, 0.09)
        row = at_y * np.cos(tilt) - at_z * np.sin(tilt)
        squared = ((y - row) ** 2 + (x - at_x) ** 2) / radius**2
        image += 10 * radius * np.sqrt(np.clip(1 - squared, 0, None))
    return image


def planted(size: int) -> np.ndarray:
    """Return (y, x): the surface of degree 3, about a third of the specimen."""
    heights = np.random.default_rng(2).uniform(0.2, 0.5, (4, 4))
    basis = bernstein_basis(size, 3)
    return np.asarray(basis @ heights @ basis.T)


def noisy(tilts: int, size: int) -> tuple[TiltSeries, np.ndarray]:
    """Return a series in counts, and the (y, x) surface under it."""
    rng = np.random.default_rng(3)
    angles = np.linspace(-70, 70, tilts)
    surface = planted(size)
    images = np.empty((tilts, size, size), np.float32)
    for tilt, angle in enumerate(angles):
        images[tilt] = rng.poisson(COUNTS / 2 * (surface + thickness(angle, size)))
    return TiltSeries(images, angles), COUNTS / 2 * surface


def measured(
    series: TiltSeries, surface: np.ndarray, settings: dict[str, Any], repeats: int
) -> dict[str, Any]:
    """Return the least times and the error of one way to fit."""
    clock, processor = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        done = subtract_background(series, **settings)
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    error = np.abs(series.images - done.images - surface).max(axis=(1, 2))
    return {
        "clock_s": round(min(clock), 3),
        "processor_s": round(min(processor), 3),
        "error": round(float(np.median(error)) / float(np.ptp(surface)), 4),
        "device": done.history[-1].parameters.get("device", "cpu"),
        "notices": list(done.notices),
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--largest", type=int, default=1024, help="pixels of a side")
    parser.add_argument("--name", default="background", help="of the results")
    options = parser.parse_args()
    device = {} if options.device is None else {"device": options.device}
    rows = []
    for tilts, size in SERIES:
        if size > options.largest:
            continue
        series, surface = noisy(tilts, size)
        for case, settings in SETTINGS.items():
            found = measured(series, surface, settings | device, options.repeats)
            row = {"tilts": tilts, "size_px": size, "settings": case} | found
            print(row, flush=True)
            rows.append(row)
    print(write(options.name, {"repeats": options.repeats, "rows": rows}))


if __name__ == "__main__":
    main()
