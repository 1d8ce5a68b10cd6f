"""``drift`` and ``merge``: several recordings of one specimen become one series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_inr_tomo.cli import common
from napari_inr_tomo.cli.options import AsJson, Overwrite
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import TiltSeries

SeriesOut = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="OUT", help="Stack: .mrc .st .ali .tif .npy .h5"
    ),
]
Stacks = Annotated[
    list[Path],
    typer.Argument(metavar="STACK...", help="The tilt series, two or more."),
]
AnglesOfEach = Annotated[
    list[str] | None,
    typer.Option(
        "--angles",
        metavar="FILE|START:STOP:STEP",
        help="Tilt angles; once for all stacks, or again for each in their order.",
    ),
]


Passes = Annotated[
    list[Path],
    typer.Argument(
        metavar="STACK...", help="The tilt series, two or more; one with --starts."
    ),
]


def drift(
    stacks: Stacks,
    output: SeriesOut,
    angles: AnglesOfEach = None,
    directions: Annotated[
        str,
        typer.Option(
            metavar="0,90",
            help="Fast scan direction of each stack, degrees from +x towards +y.",
        ),
    ] = "0,90",
    upright: Annotated[
        bool,
        typer.Option(
            "--upright",
            help="The images have been turned back and all show the field alike.",
        ),
    ] = False,
    largest: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            min=0.001,
            max=0.5,
            help="Largest drift in one scan, a share of its height.",
        ),
    ] = 0.08,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Take the drift within the images out: stacks scanned at 0 and 90 degrees.

    The first stack gives the frame; the images of the others are paired by the angle.
    """
    from napari_inr_tomo.preprocess import correct_series_drift

    turns = _directions(directions)
    common.check_apart([output], stacks, angles=angles or [])
    common.check_series_out(output, overwrite)
    first, *others = _opened(stacks, angles)

    def progress(tilt: int, count: int) -> None:
        common.note(f"tilt {tilt + 1} of {count}")

    done = correct_series_drift(first, others, turns, upright, largest, progress)
    common.new_notices(first, done)
    found = done.history[-1].parameters
    values = _written(output, done, overwrite) | {
        name: found[name]
        for name in ("largest_px", "correlation_before", "correlation_after")
    }
    drifts = [value for value in found["largest_px"] if value is not None]
    lines = [f"largest drift of a line: {max(drifts):.2f} px"] if drifts else []
    common.answer(values, as_json, [*lines, *_lines(values)])


def merge(
    stacks: Passes,
    output: SeriesOut,
    angles: AnglesOfEach = None,
    starts: Annotated[
        str,
        typer.Option(
            metavar="36,71",
            help="Of one stack that holds several passes one after the other: the "
            "first view of each but the first, counted from 0.",
        ),
    ] = "",
    align: Annotated[
        str,
        typer.Option(
            metavar="xcorr,com,line,axis,match",
            help="Alignments of the whole before it is written, in this order.",
        ),
    ] = "",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Merge passes over one specimen into one stack, sorted by angle.

    The record beside the stack tells which pass every tilt came from; `match` gives
    every pass its own tilt axis.
    """
    from napari_inr_tomo.align import align as aligned
    from napari_inr_tomo.passes import in_words, passes_of
    from napari_inr_tomo.preprocess import merge_series, set_passes, sort_tilts

    common.check_apart([output], stacks, angles=angles or [])
    common.check_series_out(output, overwrite)
    if starts:
        begins = _starts(starts, stacks, angles)
        whole = common.open_series(stacks[0], angles[0] if angles else None)
        merged = sort_tilts(set_passes(whole, begins))
    else:
        merged = merge_series(_opened(stacks, angles))
    steps = [name.strip() for name in align.split(",") if name.strip()]
    done = aligned(merged, steps) if steps else merged
    common.new_notices(merged, done)
    passes = passes_of(done) if steps else []
    values = _written(output, done, overwrite) | {
        "group": done.only_used().groups.tolist(),
        "passes": [one.to_json() for one in passes],
    }
    lines = [line for line in (in_words(passes),) if line]
    common.answer(values, as_json, [*lines, *_lines(values)])


def _starts(text: str, stacks: list[Path], angles: list[str] | None) -> list[int]:
    """Return the first views in ``--starts``, which goes with one stack."""
    for option, given in (("stacks", stacks), ("--angles", angles or [])):
        if len(given) > 1:
            raise UserError(
                "--starts cannot be used here",
                f"it divides one stack, and there are {len(given)} {option}",
                "Leave it out, or give the one stack that holds all passes",
            )
    begins = common.numbers(text, "--starts")
    if 0 in begins:
        raise UserError(
            "A pass cannot begin at 0",
            "the first one does, and --starts tells the others",
            "Give the first view of every pass but the first, counted from 0",
        )
    return begins


def _directions(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"The scan directions {text!r} are not understood",
            "they must be angles in degrees with commas between them",
            "Write e.g. --directions 0,90",
        ) from None


def _opened(stacks: list[Path], angles: list[str] | None) -> list[TiltSeries]:
    given = list(angles or [])
    if len(stacks) < 2:
        raise UserError(
            "One stack is not enough",
            f"only {stacks[0]} was given",
            "Give two or more, one after the other",
        )
    if len(given) not in (0, 1, len(stacks)):
        raise UserError(
            "The number of --angles does not fit",
            f"there are {len(given)} for {len(stacks)} stacks",
            "Give --angles once for all, or once for each stack in their order",
        )
    each = given if len(given) > 1 else [*given[:1], None][:1] * len(stacks)
    return [
        common.open_series(stack, words)
        for stack, words in zip(stacks, each, strict=True)
    ]


def _written(output: Path, series: TiltSeries, overwrite: bool) -> dict[str, Any]:
    from napari_inr_tomo.io import write_series

    return {
        "written": write_series(output, series, overwrite),
        "shape_tyx": list(series.only_used().images.shape),
        "history": [step.to_json() for step in series.history],
        "notices": list(series.notices),
    }


def _lines(values: dict[str, Any]) -> list[str]:
    shape = " x ".join(map(str, values["shape_tyx"]))
    return [f"wrote {shape} (tilt, y, x):", *map(str, values["written"])]
