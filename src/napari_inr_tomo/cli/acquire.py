"""``acquire``: reconstruct while the tilts are still being taken."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_inr_tomo.cli import common, jobs
from napari_inr_tomo.cli.options import (
    Angles,
    ConfigFile,
    DeviceChoice,
    Preset,
    with_name,
)
from napari_inr_tomo.cli.watch import on_interrupt
from napari_inr_tomo.errors import UserError


class Quick(StrEnum):
    """Methods of the quick volume."""

    sirt = "sirt"
    fbp = "fbp"
    tv = "tv"
    none = "none"


def acquire(
    watched: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER|STACK",
            help="Folder that gets one file a tilt, or a stack that grows.",
            callback=with_name,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the results."),
    ],
    angles: Angles = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help=r"Where the angle is in a file name, e.g. '_(-?\d+\.?\d*)\.tif'.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|STACK",
            help="Prepare every tilt as this run or written stack was prepared.",
        ),
    ] = None,
    quick: Annotated[
        Quick, typer.Option(help="Method of the quick volume.")
    ] = Quick.sirt,
    inr: Annotated[
        bool, typer.Option("--inr", help="Let the INR go on with the new tilts.")
    ] = False,
    preset: Annotated[
        Preset | None, typer.Option(help="Settings of the INR.  [default: preview]")
    ] = None,
    config: ConfigFile = None,
    device: DeviceChoice = None,
    tilts: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="End after so many tilts.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End with what is there now.")
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="S", min=0.05, help="Seconds between two looks.")
    ] = 1.0,
) -> None:
    """Watch a folder or a growing stack; prepare, align and reconstruct what comes.

    A line a tilt.  Ctrl-C ends it and keeps what is there; an INR run that goes on then
    goes on by itself.
    """
    from napari_inr_tomo import acquire as core

    method: Any = None if quick is Quick.none else quick.value
    about_inr = {"--preset": preset, "--config": config, "--device": device}
    given = [name for name, value in about_inr.items() if value is not None]
    if given and not inr:
        raise UserError(
            f"{given[0]} has no meaning here",
            "it is about the INR",
            "Add --inr, or leave it out",
        )
    settings = None
    if inr:
        wishes = jobs.Wishes("inr", preset or Preset.preview, config, device=device)
        settings = wishes.settings()
        common.note_without_card(settings.compute.device)
    what = core.Settings(
        watched,
        angles,
        pattern,
        core.Recipe() if recipe is None else core.Recipe.load(recipe),
        method,
        settings,
    )
    pressed = 0

    def count(times: int) -> None:
        nonlocal pressed
        pressed = times

    folder = core.AcquisitionFolder(output)
    with on_interrupt(count):
        for line in core.run(what, folder, lambda: pressed > 0, every, tilts, once):
            common.say_now(line)
