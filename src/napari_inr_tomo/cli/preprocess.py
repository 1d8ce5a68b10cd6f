"""``preprocess``: tilt series in, cleaned and aligned tilt series out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_inr_tomo.cli import alignments, common
from napari_inr_tomo.cli.options import Angles, AsJson, Overwrite, Stack
from napari_inr_tomo.cli.plan import Plan
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import TiltSeries

AXIS_STEPS = ("align_common_line", "align_tilt_axis", "align_projections")
"""Steps that find the angle of the tilt axis."""


def preprocess(
    stack: Stack,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="OUT", help="Stack: .mrc .st .ali .tif .npy .h5"
        ),
    ],
    angles: Angles = None,
    flip: Annotated[
        bool,
        typer.Option("--flip-handedness", help="Turn the sign of all angles round."),
    ] = False,
    pixel_size: Annotated[
        float | None,
        typer.Option(
            metavar="NM", help="Size of a pixel in nm, where the file says none."
        ),
    ] = None,
    exclude: Annotated[
        str, typer.Option(metavar="3,17", help="Views to leave out, counted from 0.")
    ] = "",
    size: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Longer side after Fourier down-sampling."),
    ] = None,
    factor: Annotated[
        int | None, typer.Option("--bin", metavar="N", help="Average blocks of N x N.")
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            metavar="bernstein|constant|box-mean", help="Subtract a fitted background."
        ),
    ] = None,
    degree: Annotated[
        str,
        typer.Option(
            metavar="N|NY,NX", help="Degree of the background in y and x.  [default: 3]"
        ),
    ] = "",
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Image or stack, not 0 where the specimen is: not fitted.",
        ),
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            metavar="xcorr,com,line,axis,match", help="Alignments, in this order."
        ),
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STEP.NAME=VALUE",
            help="A setting of a step that is asked for, e.g. xcorr.stretch=true or "
            "background.specimen=otsu; may be given again and again.",
        ),
    ] = None,
    mask_outliers: Annotated[
        bool, typer.Option("--mask-outliers", help="Mask hot and dead pixels.")
    ] = False,
    check_views: Annotated[
        bool,
        typer.Option("--check-views", help="Name tilts with a blocked beam or a jump."),
    ] = False,
    normalise: Annotated[
        str | None,
        typer.Option(
            metavar="mass|thickness",
            help="One intensity for all tilts: of an isolated specimen, or of a slab.",
        ),
    ] = None,
    automatic: Annotated[
        bool,
        typer.Option(
            "--auto", help="All of this with nothing to set: clean, then align."
        ),
    ] = False,
    poses: alignments.PosesIn = None,
    poses_from: alignments.PosesFrom = None,
    export_poses: alignments.ExportPoses = None,
    flip_y: alignments.FlipY = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Down-sample, exclude views, subtract the background, align, and write a stack.

    The images are interpolated once, when they are written.
    """
    from napari_inr_tomo import preprocess as steps
    from napari_inr_tomo.io import write_series

    single = (background, align, mask, settings, mask_outliers, check_views, normalise)
    if automatic and any(single):
        raise UserError(
            "--auto cannot be used with single steps",
            "it does all of them itself",
            "Leave out --auto, or the steps",
        )
    if size is not None and factor is not None:
        raise UserError(
            "--size and --bin cannot be used together",
            "each of them sets the size of the images",
            "Give one of the two",
        )
    common.check_apart(
        [output, export_poses], [stack], [mask, poses, poses_from], [angles]
    )
    common.check_series_out(output, overwrite)
    alignments.check_export(export_poses, output)
    plan = Plan(
        mask_outliers,
        check_views,
        background,
        degree,
        mask,
        normalise,
        align,
        settings or [],
    )
    plan.check()
    series = common.open_series(stack, angles)
    whole = steps.flip_handedness(series) if flip else series
    if pixel_size is not None:
        whole = steps.set_pixel_size(whole, pixel_size)
    if exclude:
        whole = steps.exclude_views(whole, common.numbers(exclude, "--exclude"))
    whole = alignments.aligned_before(whole, stack, poses, poses_from, flip_y)
    small = _reduced(whole, size, factor)
    longest = max(whole.images.shape[1:])
    ratio = factor or longest / (size or longest)
    done = _automatic(small) if automatic else plan(small, whole, ratio)
    common.new_notices(series, done)
    written = write_series(output, done, overwrite)
    if export_poses is not None:
        alignments.export(export_poses, stack, whole, small, done, ratio, flip_y)
        written.append(export_poses)
    values = _axis_found(done, len(series.history)) | {
        "written": written,
        "shape_tyx": list(done.only_used().images.shape),
        "angle_source": done.angle_source,
        "history": [step.to_json() for step in done.history],
        "notices": list(done.notices),
    }
    common.answer(values, as_json, _report(values))


def _reduced(series: TiltSeries, size: int | None, factor: int | None) -> TiltSeries:
    from napari_inr_tomo import preprocess as steps

    if factor is not None:
        series = steps.bin_images(series, factor)
    if size is not None:
        series = steps.fourier_downsample(series, size)
    return series


def _automatic(series: TiltSeries) -> TiltSeries:
    from napari_inr_tomo.align import align as aligned
    from napari_inr_tomo.preprocess import prepare

    return aligned(prepare(series))


def _axis_found(series: TiltSeries, before: int) -> dict[str, Any]:
    """Return the tilt axis and what its searches say; null where there was none.

    before: steps of the history that are older than this preparation.
    """
    from napari_inr_tomo.align import current_axis

    said = {step.name: step.parameters for step in series.history[before:]}
    found: dict[str, Any] = dict.fromkeys(("axis_deg", "shift_px", "axis_spread_deg"))
    if any(name in said for name in AXIS_STEPS):
        found["axis_deg"], found["shift_px"] = current_axis(series)
    found["axis_spread_deg"] = said.get("align_projections", {}).get("axis_spread_deg")
    keys = ("negativity_before", "negativity_after", "score")
    return found | {key: said.get("align_tilt_axis", {}).get(key) for key in keys}


def _report(values: dict[str, Any]) -> list[str]:
    lines = [f"source of the angles: {values['angle_source']}"]
    if values["axis_deg"] is not None:
        spread = values["axis_spread_deg"]
        sure = "" if spread is None else f" +- {spread:.2f}"
        lines.append(
            f"tilt axis: {values['axis_deg']:.2f}{sure} degrees from +x towards +y "
            f"(down), {values['shift_px']:.2f} px from the centre"
        )
    if values["score"] is not None:
        before, after = values["negativity_before"], values["negativity_after"]
        lines.append(
            "negative energy of the back-projection, by the search for the axis: "
            f"{before:.2g} -> {after:.2g}"
        )
    for step in values["history"]:
        if "negative_share" in step["parameters"]:
            share = step["parameters"]["negative_share"]
            part = step["parameters"]["negative_sum_share"]
            lines.append(
                f"negative after the background: {share:.1%} of the pixels, "
                f"{part:.2%} of all intensity; kept as they are"
            )
    shape = " x ".join(map(str, values["shape_tyx"]))
    return [*lines, f"wrote {shape} (tilt, y, x):", *map(str, values["written"])]
