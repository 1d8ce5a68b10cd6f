"""Write an aligned tilt series: the poses applied to the pixels, once.

A pose lands a point r of the object at p = R(z3) [Rx(tilt) Rz(z1) r] + (dx, dy), with p
in pixels about the centre of the image (`geometry.project_points`).  The image can be
moved and turned back by

    p' = R(-z3) (p - (dx, dy)) = [Rx(tilt) Rz(z1) r],

after which the tilt axis runs along +x through the centre.  What is left is z1: the
written series shows the object turned by Rz(z1 of the reference tilt), and the pose
that remains for each tilt is z1 minus that, z3 = dx = dy = 0.  For one tilt axis at psi
(z1 = -psi, z3 = psi everywhere) nothing remains, and the object is turned by Rz(-psi).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_inr_tomo.atomic import json_text, replacing_all
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.angles import tlt_text
from napari_inr_tomo.io.beside import check_replaced, other_files, series_files
from napari_inr_tomo.io.border import writing
from napari_inr_tomo.io.hdf5 import put_emd
from napari_inr_tomo.io.mrc import put_mrc
from napari_inr_tomo.io.record import pixels_sha256, read_record, record_in
from napari_inr_tomo.io.tiff import put_tiff
from napari_inr_tomo.io.valid import put_valid
from napari_inr_tomo.io.xf import xf_text
from napari_inr_tomo.types import BoolArray, ImageArray, Poses, Step, TiltSeries

SERIES_OUT_SUFFIXES = (".mrc", ".st", ".ali", ".tif", ".npy", ".h5")

_KINDS = {
    ".mrc": "mrc",
    ".st": "mrc",
    ".ali": "mrc",
    ".tif": "tif",
    ".tiff": "tif",
    ".npy": "npy",
    ".h5": "emd",
    ".hdf5": "emd",
    ".emd": "emd",
}

_WHOLE = 0.999


def write_series(
    path: str | Path, series: TiltSeries, overwrite: bool = False
) -> list[Path]:
    """Write the used views of a series, aligned, and what belongs beside them.

    Beside the stack: ``.tlt`` (angles), ``.xf`` (the transforms that were applied, in
    IMOD's format, tilt axis along x), ``.json`` (history, poses, excluded views) and,
    where not all pixels count, ``.valid.npz`` (which do, moved like the images);
    `read_series` finds them again.  Where no image has to move, its pixels are written
    unchanged.  All are written before one takes its name: a full disk leaves what was
    there.  Returns the written paths, the stack first.
    overwrite: replace files beside it that are of something else (`check_replaced`);
    those of the same images in another format hold the same and serve both.
    Raises `UserError` if the suffix is unknown, no view is left, or something else is
    beside it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _KINDS:
        raise UserError(
            f"{path.name} is not a format for a tilt series",
            f"its name ends in {path.suffix or 'nothing'}",
            f"Use one of {' '.join(SERIES_OUT_SUFFIXES)}",
        )
    if not series.mask.any():
        raise UserError(
            "There is nothing to write",
            "all views of the tilt series are excluded",
            "Include at least one view",
        )
    others = [] if overwrite else other_files(path)
    if others and record_in(path.with_suffix(".json"), "tilt series") is None:
        check_replaced(path, asked=True)
    out = apply_poses(series)
    *files, mask = series_files(path)
    stale = "valid" in (read_record(path, "tilt series") or {})
    texts = (
        tlt_text(out.angles_deg),
        xf_text(series.only_used().start_poses, axis="x"),
        json_text(_record(path, series, out)),
    )
    if others and not _serves_both(path, texts, out.valid is not None):
        check_replaced(path, asked=True)
    if out.valid is not None:
        files.append(mask)
    # the stack is renamed last: whoever sees it finds what belongs beside it
    with writing(path):
        with replacing_all([*files[1:], path]) as (*beside, stack):
            for file, text in zip(beside, texts, strict=False):
                file.write_bytes(text.encode())
            if out.valid is not None:
                put_valid(beside[-1], out.valid)
            _put_pixels(stack, _KINDS[suffix], out)
        if stale and out.valid is None:
            mask.unlink(missing_ok=True)
    return files


def _serves_both(path: Path, texts: tuple[str, str, str], masked: bool) -> bool:
    """Return whether what is beside ``path`` says the same of another stack.

    texts: .tlt, .xf and .json as they would be written.  The record holds a digest of
    the pixels, by which the other stack finds it again.
    """
    _, tlt, xf, json_, mask = series_files(path)
    old = record_in(json_, "tilt series")
    if old is None or masked or mask.exists():
        return False
    new = json.loads(texts[2])
    try:
        there = tlt.read_bytes(), xf.read_bytes()
    except OSError:
        return False
    same = there == (texts[0].encode(), texts[1].encode())
    return same and old | {"file": ""} == new | {"file": ""}


def apply_poses(series: TiltSeries) -> TiltSeries:
    """Return the used views with their poses applied to the pixels by a cubic spline.

    images: (used tilt, y, x) float32 with the tilt axis along +x through the centre.
    The remaining poses hold only what z1 differs from that of the reference tilt.
    Pixels from outside an image take the median of its border.  ``valid`` moves with
    the images: what a pixel that does not count has a part in does not count.
    """
    kept = series.only_used()
    poses = kept.start_poses
    images = kept.images
    valid = None if kept.valid is None or kept.valid.all() else np.array(kept.valid)
    moved = [tilt for tilt in range(len(kept)) if _moves(poses, tilt)]
    if moved:
        images = np.array(images, np.float32)
        for tilt in moved:
            images[tilt] = _aligned(images[tilt], poses, tilt)
            if valid is not None:
                valid[tilt] = _aligned_valid(valid[tilt], poses, tilt)
    turn = float(poses.z1_deg[kept.reference])
    zeros = np.zeros(len(kept))
    rest = Poses(poses.z1_deg - turn, zeros, zeros, zeros)
    step = Step(
        "apply_poses",
        {"resampled": moved, "object_turn_deg": turn, "spline_order": 3},
    )
    return kept.evolve(step, images=images, poses=rest, valid=valid)


def aligned_picture(series: TiltSeries, tilt: int, step: int = 1) -> ImageArray:
    """Return a tilt as `apply_poses` would leave it, quickly and for the eye only.

    Interpolated linearly, every ``step``-th pixel of the (y, x) image; what comes from
    outside the image is 0.
    """
    image = np.asarray(series.images[tilt], np.float32)
    way = _way_back(image.shape, series.start_poses, tilt)
    shape = tuple(-(-size // step) for size in image.shape)
    picture: ImageArray = ndimage.affine_transform(
        image, way["matrix"] * step, way["offset"], output_shape=shape, order=1
    )
    return picture


def _moves(poses: Poses, tilt: int) -> bool:
    return bool(poses.z3_deg[tilt] or poses.dx_px[tilt] or poses.dy_px[tilt])


def _aligned(image: ImageArray, poses: Poses, tilt: int) -> ImageArray:
    """Return an image turned by -z3 and moved back, in pixels about the centre."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    result: ImageArray = ndimage.affine_transform(
        image.astype(np.float64),
        **_way_back(image.shape, poses, tilt),
        order=3,
        mode="constant",
        cval=float(np.median(border)),
    ).astype(np.float32)
    return result


def _aligned_valid(valid: BoolArray, poses: Poses, tilt: int) -> BoolArray:
    """Return where the nearest pixels of the image that was moved all count."""
    share = ndimage.affine_transform(
        valid.astype(np.float64),
        **_way_back(valid.shape, poses, tilt),
        order=1,
        mode="constant",
        cval=1.0,
    )
    return np.asarray(share > _WHOLE)


def _way_back(shape_yx: tuple[int, ...], poses: Poses, tilt: int) -> dict[str, Any]:
    """Return the transform that finds a pixel of the result in the image, for scipy."""
    angle = np.deg2rad(poses.z3_deg[tilt])
    c, s = np.cos(angle), np.sin(angle)
    # the pixel p' = (x', y') of the result is the pixel p = R(z3) p' + d of the image;
    # scipy counts (y, x) from the corner
    turn_yx = np.array([[c, s], [-s, c]])
    shift_yx = np.array([poses.dy_px[tilt], poses.dx_px[tilt]])
    centre_yx = (np.array(shape_yx) - 1) / 2
    return {
        "matrix": turn_yx,
        "offset": centre_yx - turn_yx @ centre_yx + shift_yx,
    }


def _put_pixels(path: Path, kind: str, out: TiltSeries) -> None:
    if kind == "mrc":
        put_mrc(path, out.images, out.pixel_size_nm, volume=False)
    elif kind == "tif":
        put_tiff(path, out.images, out.pixel_size_nm, "TYX")
    elif kind == "emd":
        put_emd(path, out.images, out.angles_deg, out.pixel_size_nm)
    else:
        np.save(path, np.asarray(out.images, np.float32), allow_pickle=False)


def _record(path: Path, series: TiltSeries, out: TiltSeries) -> dict[str, Any]:
    """Return the JSON record beside the stack."""
    step = out.history[-1].parameters
    record = {
        "kind": "tilt series",
        "schema": 1,
        "file": path.name,
        "name": series.name,
        "shape": list(out.images.shape),
        "pixels_sha256": pixels_sha256(out.images),
        "pixel_size_nm": out.pixel_size_nm,
        "angles_deg": out.angles_deg,
        "angle_source": series.angle_source,
        "history": [line.to_json() for line in out.history],
        "notices": list(series.notices),
        "object_turn_deg": step["object_turn_deg"],
        "remaining_poses": out.start_poses.as_array(),
        **({} if out.group is None else {"group": out.group}),
        **({} if out.valid is None else {"valid": series_files(path)[-1].name}),
        "original": {
            "tilts": np.flatnonzero(series.mask),
            "excluded": np.flatnonzero(~series.mask),
            "angles_deg": series.angles_deg,
            "used": series.mask,
            "poses": series.start_poses.as_array(),
        },
    }
    plain: dict[str, Any] = _plain(record)
    return plain


def _plain(value: Any) -> Any:
    """Return a value with NumPy's numbers and arrays as JSON knows them."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
