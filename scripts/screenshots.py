"""Take the pictures of the documentation: the docks at work in a real viewer.

    python scripts/screenshots.py                       # all of them
    python scripts/screenshots.py runs missing_wedge    # pictures, or whole scripts

The pictures go to docs/images, in few enough colours to stay small.  Needs a display:
``scripts/with-display.sh`` makes one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
IMAGES = HERE.parent / "docs" / "images"
MADE_BY = {
    "workflow": (
        *("scan_drift", "tilt_series", "angles", "background", "alignment"),
        *("aligned", "shift_tilts", "running", "slices", "slices_free", "sinogram"),
        *("check_tilts", "compare", "monitor", "volume"),
    ),
    "acquisition": ("acquisition", "acquisition_inr"),
    "queue": ("runs",),
    "cluster": ("cluster_export", "cluster_monitor"),
    "tilt_axis": ("tilt_axis_wrong", "tilt_axis_right"),
    "low_dose": ("low_dose_sirt", "low_dose_inr", "low_dose_curves"),
    "missing_wedge": (
        *("missing_wedge_sirt", "missing_wedge_inr", "missing_wedge_compare"),
    ),
}
"""The pictures each ``screenshots_*.py`` makes that a page shows."""

LARGEST_BYTES = 300_000


def wanted(names: list[str]) -> dict[str, list[str]]:
    """Return the pictures asked for, by script; raises `SystemExit` for others."""
    known = {*MADE_BY, *(name for made in MADE_BY.values() for name in made)}
    if unknown := sorted(set(names) - known):
        raise SystemExit(f"Not known: {', '.join(unknown)}. Choose from {known}.")
    chosen = {
        script: [n for n in made if not names or n in names or script in names]
        for script, made in MADE_BY.items()
    }
    return {script: pictures for script, pictures in chosen.items() if pictures}


def save_small(source: Path, target: Path) -> None:
    """Write a picture with at most 256 colours; raises `SystemExit` if it is large."""
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
            target, optimize=True
        )
    if target.stat().st_size > LARGEST_BYTES:
        raise SystemExit(f"{target} is larger than {LARGEST_BYTES} bytes.")


def main() -> None:
    """Run the scripts that are needed, and keep what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--to", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    for script, pictures in wanted(arguments.names).items():
        with tempfile.TemporaryDirectory() as folder:
            program = HERE / f"screenshots_{script}.py"
            subprocess.run([sys.executable, program, folder], check=True)
            for name in pictures:
                save_small(Path(folder) / f"{name}.png", arguments.to / f"{name}.png")
                print(arguments.to / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
