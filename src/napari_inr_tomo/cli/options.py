"""Options that several commands share, with their meaning."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Method(StrEnum):
    """The methods; the same words as in the settings."""

    sirt = "sirt"
    fbp = "fbp"
    tv = "tv"
    inr = "inr"


class Preset(StrEnum):
    """The presets of the settings."""

    preview = "preview"
    fast = "fast"
    paper = "paper"


class Device(StrEnum):
    """Where a run may work."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def with_name(path: Path) -> Path:
    """Return a path that has a name: `.` and `..` have none, and are resolved."""
    return path if path.name not in ("", "..") else path.resolve()


Stack = Annotated[
    Path,
    typer.Argument(
        metavar="STACK",
        help="Tilt series: a file or a folder of images.",
        callback=with_name,
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
Angles = Annotated[
    str | None,
    typer.Option(
        "--angles",
        metavar="FILE|START:STOP:STEP",
        help="Tilt angles in degrees; go before those of the file. Also START::STEP, "
        "names:REGEX for the files of a folder, and any of +radians +negated "
        "+reversed +sorted +symmetric +alternating +columnN +comma after it.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.")
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace files of these names that are no earlier output of the same "
        "name.",
    ),
]
VolumeOut = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="VOLUME", help="Volume: .mrc .tif .ome.zarr .npy"
    ),
]
OptionalVolumeOut = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="VOLUME", help="Volume: .mrc .tif .ome.zarr .npy"
    ),
]
PosesOut = Annotated[
    Path | None,
    typer.Option("--poses", metavar="OUT.csv", help="Where to write the poses."),
]
PosesStart = Annotated[
    Path | None,
    typer.Option(
        "--poses-start",
        metavar="FILE|RUN",
        help="Start from these poses (.csv .xf .aln .json .npz, or a run folder), in "
        "place of those beside the stack.",
    ),
]
StartFrom = Annotated[
    Path | None,
    typer.Option(
        "--start-from",
        metavar="RUN",
        help="Go on with the network, poses and settings of this run.",
    ),
]
MethodChoice = Annotated[Method | None, typer.Option(help="Method.  [default: inr]")]
PresetChoice = Annotated[
    Preset | None, typer.Option(help="Where the settings start from.  [default: fast]")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE.toml", help="Further settings."),
]
Iterations = Annotated[
    int | None, typer.Option(metavar="N", help="Iterations of SIRT or TV.")
]
Epochs = Annotated[int | None, typer.Option(metavar="N", help="Epochs of the INR.")]
RefinePoses = Annotated[
    bool | None,
    typer.Option(
        "--refine-poses/--no-refine-poses", help="Whether the INR learns the poses."
    ),
]
Depth = Annotated[
    int | None, typer.Option(metavar="N", help="Voxels of the box along the beam.")
]
DeviceChoice = Annotated[Device | None, typer.Option(help="Where it runs.")]
Processes = Annotated[
    int | None, typer.Option(metavar="N", help="Processes; default one per GPU.")
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Seed of everything random.")
]
SlabAt = Annotated[
    int | None,
    typer.Option(
        "--slab",
        metavar="N",
        min=0,
        help="Only eight slices across the tilt axis, about column N (row N where the "
        "axis is nearer to y), poses as they start: a quick look.",
    ),
]
RunOut = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="Run folder to make; default beside the output, named after it.",
    ),
]
