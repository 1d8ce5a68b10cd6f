"""``info`` and ``preprocess``: tilt series in, tilt series out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_inr_tomo.cli import alignments, common
from napari_inr_tomo.cli.options import Angles, AsJson, Stack
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import TiltSeries


def info(stack: Stack, angles: Angles = None, as_json: AsJson = False) -> None:
    """Say what is in a file: shape, angles and their source, pixel size."""
    from napari_inr_tomo.io import angle_order, read_images

    images = read_images(stack)
    if images.angles_deg is None and angles is None:
        facts = _facts(images.name, images.images, images.pixel_size_nm)
        unknown: dict[str, Any] = {
            "angles_deg": None,
            "angle_order": None,
            "angle_source": "unknown",
            "history": [],
        }
        notices = [*images.doubts, *images.angle_doubts, *images.facts]
        facts |= unknown | {"notices": notices}
    else:
        series = images.with_angles(angles)
        facts = _facts(series.name, series.images, series.pixel_size_nm)
        facts |= {
            "angles_deg": series.angles_deg.tolist(),
            "angle_order": angle_order(series.angles_deg),
            "angle_source": series.angle_source,
            "excluded": [tilt for tilt, used in enumerate(series.mask) if not used],
            "axis_deg": series.start_poses.axis_deg,
            "history": [step.to_json() for step in series.history],
            "notices": list(series.notices),
        }
    common.answer({"path": stack} | facts, as_json, _in_words(facts))


def _facts(name: str, images: Any, pixel_nm: float | None) -> dict[str, Any]:
    import numpy as np

    from napari_inr_tomo.io import release

    least, greatest, total, count = float("inf"), float("-inf"), 0.0, 0
    for image in images:  # one by one: the stack may be larger than the memory
        finite = image[np.isfinite(image)]
        if finite.size:
            least = min(least, float(finite.min()))
            greatest = max(greatest, float(finite.max()))
            total += float(finite.sum(dtype=np.float64))
            count += finite.size
        release(images)
    return {
        "name": name,
        "tilts": len(images),
        "shape_tyx": list(images.shape),
        "pixel_size_nm": pixel_nm,
        "minimum": least if count else None,
        "maximum": greatest if count else None,
        "mean": total / count if count else None,
    }


def _in_words(facts: dict[str, Any]) -> list[str]:
    tilts, rows, columns = facts["shape_tyx"]
    pixel = facts["pixel_size_nm"]
    lines = [
        f"{facts['name']}: {tilts} images of {rows} x {columns} pixels (y, x)",
        f"pixel size: {f'{pixel:g} nm' if pixel else 'unknown'}",
        f"intensities: {facts['minimum']} to {facts['maximum']}, mean {facts['mean']}",
    ]
    angles = facts["angles_deg"]
    if angles is None:
        lines.append("angles: unknown; give them with --angles")
    else:
        from napari_inr_tomo.io import describe_angles

        lines.append(f"angles: {describe_angles(angles)}")
        lines.append(f"source of the angles: {facts['angle_source']}")
    if facts.get("excluded"):
        lines.append(f"excluded: {', '.join(map(str, facts['excluded']))}")
    lines += [f"done: {_step_in_words(step)}" for step in facts["history"]]
    return lines + [f"note: {notice}" for notice in facts["notices"]]


def _step_in_words(step: dict[str, Any]) -> str:
    """Return a step with its parameters; long lists only by their length."""
    words = []
    for name, value in step["parameters"].items():
        long = isinstance(value, list) and len(value) > 4
        words.append(f"{name}: {len(value)} values" if long else f"{name}: {value}")
    return f"{step['name']} ({', '.join(words)})"


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
        typer.Option(metavar="bernstein", help="Subtract a fitted background."),
    ] = None,
    degree: Annotated[
        int, typer.Option(metavar="N", help="Degree of the background in y and x.")
    ] = 3,
    align: Annotated[
        str,
        typer.Option(metavar="xcorr,com,axis,match", help="Alignments, in this order."),
    ] = "",
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
    as_json: AsJson = False,
) -> None:
    """Down-sample, exclude views, subtract the background, align, and write a stack.

    The images are interpolated once, when they are written.
    """
    from napari_inr_tomo import preprocess as steps
    from napari_inr_tomo.io import SERIES_OUT_SUFFIXES, write_series

    if automatic and (background or align or mask_outliers or check_views or normalise):
        raise UserError(
            "--auto cannot be used with single steps",
            "it does all of them itself",
            "Leave out --auto, or the steps",
        )
    if normalise not in (None, "mass", "thickness"):
        raise UserError(
            f"The normalisation {normalise!r} is not known",
            "it is neither mass nor thickness",
            "Write --normalise mass or --normalise thickness",
        )
    if size is not None and factor is not None:
        raise UserError(
            "--size and --bin cannot be used together",
            "each of them sets the size of the images",
            "Give one of the two",
        )
    if background not in (None, "bernstein"):
        raise UserError(
            f"The background {background!r} is not known",
            "there is one kind, a Bernstein polynomial",
            "Write --background bernstein",
        )
    common.check_out(output, (*SERIES_OUT_SUFFIXES, ".tiff", ".hdf5", ".emd"))
    alignments.check_export(export_poses, output)
    series = common.open_series(stack, angles)
    whole = steps.flip_handedness(series) if flip else series
    if exclude:
        whole = steps.exclude_views(whole, common.numbers(exclude, "--exclude"))
    whole = alignments.aligned_before(whole, stack, poses, poses_from, flip_y)
    small = done = _reduced(whole, size, factor)
    if automatic:
        done = _automatic(done)
    else:
        if mask_outliers:
            done = steps.mask_outliers(done)
        if check_views:
            done = steps.check_views(done)
        done = _cleaned(done, background, degree, normalise, align)
    common.new_notices(series, done)
    written = write_series(output, done)
    if export_poses is not None:
        ratio = factor or max(whole.images.shape[1:]) / (
            size or max(whole.images.shape[1:])
        )
        alignments.export(export_poses, stack, whole, small, done, ratio, flip_y)
        written.append(export_poses)
    values = _axis_found(done) | {
        "written": written,
        "shape_tyx": list(done.only_used().images.shape),
        "angle_source": done.angle_source,
        "history": [step.to_json() for step in done.history],
        "notices": list(done.notices),
    }
    common.answer(values, as_json, _report(values))


def _reduced(series: TiltSeries, size: int | None, factor: int | None) -> TiltSeries:
    from napari_inr_tomo import preprocess as steps
    from napari_inr_tomo.cli.streaming import view_by_view

    if factor is not None:
        series = view_by_view(series, lambda part: steps.bin_images(part, factor))
    if size is not None:
        series = view_by_view(series, lambda part: steps.fourier_downsample(part, size))
    return series


def _automatic(series: TiltSeries) -> TiltSeries:
    from napari_inr_tomo.align import align as aligned
    from napari_inr_tomo.preprocess import prepare

    return aligned(prepare(series))


def _cleaned(
    series: TiltSeries,
    background: str | None,
    degree: int,
    normalise: str | None,
    align: str,
) -> TiltSeries:
    from napari_inr_tomo import preprocess as steps
    from napari_inr_tomo.align import align as aligned

    if background is not None:
        series = steps.subtract_background(series, degree_yx=(degree, degree))
    if normalise is not None:
        series = steps.normalise_tilts(series, thickness=normalise == "thickness")
    names = [name.strip() for name in align.split(",") if name.strip()]
    return aligned(series, names)


def _axis_found(series: TiltSeries) -> dict[str, Any]:
    """Return what the search for the tilt axis found, null where there was none."""
    keys = ("axis_deg", "shift_px", "negativity_before", "negativity_after", "score")
    for step in reversed(series.history):
        if step.name == "align_tilt_axis":
            return {key: step.parameters[key] for key in keys}
    return dict.fromkeys(keys)


def _report(values: dict[str, Any]) -> list[str]:
    lines = []
    if values["axis_deg"] is not None:
        before, after = values["negativity_before"], values["negativity_after"]
        lines = [
            f"tilt axis: {values['axis_deg']:.2f} degrees from +x towards +y (down), "
            f"{values['shift_px']:.2f} px from the centre",
            f"negative energy of the back-projection: {before:.2g} -> {after:.2g}",
        ]
    shape = " x ".join(map(str, values["shape_tyx"]))
    return [*lines, f"wrote {shape} (tilt, y, x):", *map(str, values["written"])]
