"""``info``: what is in a tilt series."""

from __future__ import annotations

from typing import Any

from napari_inr_tomo.cli import common
from napari_inr_tomo.cli.options import Angles, AsJson, Stack


def info(stack: Stack, angles: Angles = None, as_json: AsJson = False) -> None:
    """Say what is in a file: shape, angles and their source, pixel size."""
    from napari_inr_tomo.io import angle_order, read_images, says_volume

    images = read_images(stack)
    volume = angles is None and says_volume(stack)
    if images.angles_deg is None and angles is None:
        facts = _facts(images.name, images.images, images.pixel_size_nm)
        unknown: dict[str, Any] = {
            "angles_deg": None,
            "angle_order": None,
            "angle_source": "unknown",
            "history": [],
        }
        doubts = [] if volume else [*images.doubts, *images.angle_doubts]
        facts |= unknown | {"notices": [*doubts, *images.facts]}
    else:
        series = images.with_angles(angles)
        facts = _facts(series.name, series.images, series.pixel_size_nm)
        facts |= {
            "angles_deg": series.angles_deg.tolist(),
            "angle_order": angle_order(series.angles_deg),
            "angle_source": series.angle_source,
            "missing_wedge_deg": _missing_wedge(series.angles_deg[series.mask]),
            "excluded": [tilt for tilt, used in enumerate(series.mask) if not used],
            "axis_deg": series.start_poses.axis_deg,
            "history": [step.to_json() for step in series.history],
            "notices": list(series.notices),
        }
    facts["volume"] = volume
    common.answer({"path": stack} | facts, as_json, _in_words(facts))


def _missing_wedge(angles_deg: Any) -> float:
    """Return the degrees, of 180, that no tilt has gone through."""
    if not len(angles_deg):
        return 180.0
    return max(0.0, 180.0 - float(max(angles_deg) - min(angles_deg)))


def _facts(name: str, images: Any, pixel_nm: float | None) -> dict[str, Any]:
    import numpy as np

    from napari_inr_tomo.mapped import release

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
    low, high, mean = (
        "unknown" if facts[name] is None else f"{facts[name]:.6g}"
        for name in ("minimum", "maximum", "mean")
    )
    what, grain = f"{tilts} images of {rows} x {columns} pixels (y, x)", "pixel"
    if facts["volume"]:
        grain = "voxel"
        what = f"a volume of {tilts} x {rows} x {columns} voxels (z, y, x)"
    lines = [
        f"{facts['name']}: {what}",
        f"{grain} size: {f'{pixel:g} nm' if pixel else 'unknown'}",
        f"intensities: {low} to {high}, mean {mean}",
    ]
    angles = facts["angles_deg"]
    if facts["volume"]:
        lines.append("a tilt series in spite of that? Give its angles with --angles")
    elif angles is None:
        lines.append("angles: unknown; give them with --angles")
    else:
        from napari_inr_tomo.io import describe_angles

        lines.append(f"angles: {describe_angles(angles)}")
        lines.append(f"missing wedge: {facts['missing_wedge_deg']:g} degrees in all")
        lines.append(f"source of the angles: {facts['angle_source']}")
    if facts.get("excluded"):
        lines.append(f"excluded: {', '.join(map(str, facts['excluded']))}")
    lines += [f"done: {_step_in_words(step)}" for step in facts["history"]]
    return lines + [f"note: {notice}" for notice in facts["notices"]]


def _step_in_words(step: dict[str, Any]) -> str:
    """Return a step with its parameters; long lists only by their length."""
    words = []
    for name, value in step["parameters"].items():
        if name == "histories":  # of the further stacks, each as long as this one
            continue
        long = isinstance(value, list) and len(value) > 4
        words.append(f"{name}: {len(value)} values" if long else f"{name}: {value}")
    return f"{step['name']} ({', '.join(words)})"
