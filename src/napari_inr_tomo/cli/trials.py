"""``validate``, ``simulate``, ``compare`` and ``demo``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_inr_tomo.cli import common
from napari_inr_tomo.cli.options import AsJson, Overwrite
from napari_inr_tomo.errors import UserError

if TYPE_CHECKING:
    from napari_inr_tomo.types import Volume


def validate(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="Tilt series, volume or run folder."),
    ],
    volume: Annotated[
        bool,
        typer.Option(
            "--volume",
            help="It is a volume, even if it does not say so (.tif, MRC of others).",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that a file or run folder is whole; ends with status 2 if it is not."""
    from napari_inr_tomo.io import check_file, says_volume

    sound = f"{path} is sound"
    if (path / "run.json").exists():
        problems = _problems_of_run(path)
    elif volume:
        problems = _problems_of_volume(path)
    elif says_volume(path):
        problems = _problems_of_volume(path)
        sound += " as a volume, which it says it is; for tilts it has no angles"
    else:
        problems = check_file(path)
    values = {"path": path, "problems": problems, "sound": not problems}
    common.answer(values, as_json, problems or [sound])
    if problems:
        raise UserError(
            f"{path} is not sound",
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found",
            "See the list on the standard output",
        )


def _problems_of_run(path: Path) -> list[str]:
    from napari_inr_tomo.restarts import damaged_checkpoints
    from napari_inr_tomo.runs import Follower, RunFolder

    problems = []
    try:
        run = RunFolder(path)
    except UserError as error:
        return [str(error)]
    checks = [run.verify_input, run.series]
    if run.paths.complete.exists():
        checks.append(run.verify_result)
    for check in checks:
        try:
            check()
        except UserError as error:
            problems.append(str(error))
    if not run.status().active:
        problems += [
            f"The checkpoint {file} is damaged: its content does not match its digest. "
            "A resumed run goes on from an older one, or begins anew."
            for file in damaged_checkpoints(run.paths)
        ]
    follower = Follower(run)
    follower.poll()
    if follower.lost:
        problems.append(f"{follower.lost} events are missing from events.jsonl")
    if follower.unreadable:
        problems.append(f"{follower.unreadable} events cannot be read")
    return problems


def _problems_of_volume(path: Path) -> list[str]:
    import numpy as np

    from napari_inr_tomo.io import read_volume

    try:
        volume = read_volume(path)
    except UserError as error:
        return [str(error)]
    bad = int((~np.isfinite(volume.data)).sum())
    problems = [f"{bad} voxels are NaN or infinite."] if bad else []
    if volume.voxel_nm is None:
        problems.append("The voxel size is unknown.")
    return problems


def simulate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="STACK", help="Tilt series.")
    ],
    phantom: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="One of sea-mine, chiral, ellipsoids, porous, lattice, needle.",
        ),
    ] = "sea-mine",
    size: Annotated[int, typer.Option(metavar="PX", help="Side of the images.")] = 64,
    tilts: Annotated[
        str, typer.Option(metavar="START:STOP:STEP", help="Tilt angles, degrees.")
    ] = "-60:60:2",
    dose: Annotated[
        float | None,
        typer.Option(metavar="D", help="Counts in the brightest pixel; none: no noise"),
    ] = None,
    axis_angle: Annotated[
        float, typer.Option(metavar="DEG", help="Angle of the tilt axis from +x.")
    ] = 0.0,
    shift_sigma: Annotated[
        float, typer.Option(metavar="PX", help="Random shift of every tilt.")
    ] = 0.0,
    background: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Background, share of the brightest pixel."),
    ] = 0.0,
    axis_shift: Annotated[
        float,
        typer.Option(metavar="PX", help="Distance of the tilt axis from the centre."),
    ] = 0.0,
    drift: Annotated[
        float,
        typer.Option(metavar="SHARE", help="How far the beam drifts, e.g. 0.2."),
    ] = 0.0,
    hot_pixels: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Share of hot pixels, e.g. 0.001."
        ),
    ] = 0.0,
    margin: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Share of the field around the phantom."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed.")] = 0,
    truth: Annotated[
        Path | None, typer.Option(metavar="VOLUME", help="Where to write the phantom.")
    ] = None,
    poses: Annotated[
        Path | None,
        typer.Option(metavar="OUT.csv", help="Where to write the true poses."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a tilt series with known truth."""
    from napari_inr_tomo import io
    from napari_inr_tomo.simulate import simulate_series

    common.check_apart([output, truth, poses])
    common.check_series_out(output, overwrite, quick=True)
    common.check_volume_out(truth)
    common.check_poses_out(poses)
    angles = io.parse_angles(tilts)
    made = simulate_series(
        phantom,
        size,
        angles,
        dose=dose,
        axis_deg=axis_angle,
        shift_sigma_px=shift_sigma,
        background=background,
        seed=seed,
        axis_shift_px=axis_shift,
        drift=drift,
        hot_pixels=hot_pixels,
        margin=margin,
    )
    written = io.write_series(output, made.series, overwrite)
    if truth is not None:
        io.write_volume(truth, made.truth)
        written.append(truth)
    if poses is not None:
        io.write_poses(poses, angles, made.truth_poses, made.series.mask)
        written.append(poses)
    shape = list(made.series.images.shape)
    values = {"written": written, "shape_tyx": shape, "phantom": phantom, "seed": seed}
    common.answer(values, as_json, [f"wrote {path}" for path in written])


def compare(
    volume: Annotated[Path, typer.Argument(metavar="VOLUME", help="Volume to judge.")],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="Volume to compare it with.")
    ],
    register: Annotated[
        bool,
        typer.Option(
            "--register", help="First take out the shift that no image can tell."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two volumes: SSIM, PSNR, Fourier shell correlation."""
    from napari_inr_tomo import metrics
    from napari_inr_tomo.io import read_volume

    judged, reference = read_volume(volume), read_volume(truth)
    shift: tuple[float, float, float] | None = None
    data: Any = judged.data
    if register:
        data, shift = metrics.register(judged, reference)
    resolution = metrics.fsc_resolution(data, reference)
    frequency, curve = metrics.fsc(data, reference)
    values: dict[str, Any] = {
        "ssim": metrics.ssim(data, reference),
        "ssim_in_support": metrics.ssim_in_support(data, reference),
        "psnr_db": metrics.psnr(data, reference),
        "fsc_resolution_px": resolution,
        "fsc_resolution_nm": _in_nm(resolution, reference),
        "fsc": {"frequency_per_px": frequency.tolist(), "curve": curve.tolist()},
        "scale": metrics.fit_scale(data, reference),
        "registered_shift_zyx_px": None if shift is None else list(shift),
    }
    common.answer(values, as_json, _judgement(values))


def _in_nm(resolution_px: float, volume: Volume) -> float | None:
    return None if volume.voxel_nm is None else resolution_px * volume.voxel_nm


def _judgement(values: dict[str, Any]) -> list[str]:
    resolution = f"{values['fsc_resolution_px']:.2f} px"
    if values["fsc_resolution_nm"] is not None:
        resolution += f" ({values['fsc_resolution_nm']:.4g} nm)"
    lines = [
        f"SSIM: {values['ssim']:.4f} (within the specimen "
        f"{values['ssim_in_support']:.4f})",
        f"PSNR: {values['psnr_db']:.2f} dB",
        f"resolution (FSC = 0.5): {resolution}",
        f"best scale of the intensities: {values['scale']:.4g}",
    ]
    if values["registered_shift_zyx_px"] is not None:
        shift = ", ".join(f"{s:.2f}" for s in values["registered_shift_zyx_px"])
        lines.append(f"moved by (z, y, x): {shift} px")
    return lines


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where results go.")
    ] = Path("demo-output"),
) -> None:
    """Go the whole way on simulated data, and show the result in napari."""
    from importlib import import_module

    _check_screen()
    import_module("napari_inr_tomo.demo").main(output)


def _check_screen() -> None:
    """Raise `UserError` where Qt would end the program for want of a screen."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in names):
        raise UserError(
            "The demo cannot open its window",
            "there is no display here",
            "Run it where there is a screen, or with a virtual one: xvfb-run -a "
            "inr-tomo demo",
        )
