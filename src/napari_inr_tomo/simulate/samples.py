"""Small ready-made tilt series, and the real one that can be downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.simulate.series import Simulation, simulate_series
from napari_inr_tomo.types import TiltSeries

_SAMPLES: dict[str, dict[str, Any]] = {
    "sea-mine": {"dose": 500, "axis_deg": 5.0, "background": 0.1},
    "chiral": {"dose": 500, "axis_deg": -4.0},
    "ellipsoids": {"dose": 200, "axis_deg": 3.0},
    "porous": {"dose": 1000, "axis_deg": 8.0, "background": 0.15},
    "lattice": {"dose": 1000, "axis_deg": -6.0},
    "needle": {"dose": 500, "axis_deg": 10.0},
}
_MISALIGNED = {"size": 64, "axis_shift_px": 1.5, "shift_sigma_px": 1.0}
SAMPLES = tuple(_SAMPLES)

NEEDLE_FILE = "HAADF.dm3"
NEEDLE_SHA256 = "88789b0940766c4946e79859c4139fc55570e99f776b016e82fc882e536f0bc4"
_NEEDLE_ROOT = "https://raw.githubusercontent.com/usnistgov/etspy"
# one file under the names it has had; the digest decides which answer is taken
NEEDLE_ADDRESSES = (
    f"{_NEEDLE_ROOT}/9bb0ae4/etspy/tests/test_data/{NEEDLE_FILE}",
    f"{_NEEDLE_ROOT}/d8556d3fdbd7ffed54c00e77895ee9601f50517f"
    f"/etspy/tests/test_data/{NEEDLE_FILE}",
    f"{_NEEDLE_ROOT}/002d94c7579a5cb68cc241300b38102178e6ce0f"
    f"/tomotools/tests/test_data/{NEEDLE_FILE}",
)


def sample_simulation(name: str) -> Simulation:
    """Return a sample with its truth; raises `UserError` for an unknown name."""
    if name not in _SAMPLES:
        raise UserError(
            f"There is no sample called {name!r}",
            f"the samples are {', '.join(SAMPLES)}",
            "Choose one of these",
        )
    return simulate_series(name, **(_MISALIGNED | _SAMPLES[name]))


def sample(name: str) -> TiltSeries:
    """Return a misaligned, noisy series of 61 tilts of 64 x 64 px, -60 to 60 degrees.

    name: one of `SAMPLES`.  The same name gives the same pixels every time.
    """
    return sample_simulation(name).series


def fetch_needle(folder: Path | None = None) -> Path:
    """Return the path of the real needle, downloading it where it is not yet there.

    A multilayer needle in HAADF-STEM, 91 tilts of 64 x 64 px, -90 to 90 degrees, in the
    public domain: test data of usnistgov/etspy (NIST).  The file is checked against its
    SHA-256 digest.  folder: where to keep it; none: the user's cache.  Raises
    `UserError` where it cannot be downloaded.
    """
    import pooch

    cache = Path(folder or pooch.os_cache("napari-inr-tomo"))
    pooch.get_logger().setLevel("WARNING")
    problem = ""
    for address in NEEDLE_ADDRESSES:
        try:
            found = pooch.retrieve(
                address,
                known_hash=f"sha256:{NEEDLE_SHA256}",
                fname=NEEDLE_FILE,
                path=cache,
                downloader=pooch.HTTPDownloader(timeout=20),
            )
            return Path(found)
        except (OSError, ValueError) as error:
            problem = str(error).splitlines()[0] if str(error) else repr(error)
    raise UserError(
        "The needle cannot be downloaded",
        problem,
        f"Connect to the internet and try again, or save {NEEDLE_FILE} of "
        f"github.com/usnistgov/etspy as {cache / NEEDLE_FILE}",
    )
