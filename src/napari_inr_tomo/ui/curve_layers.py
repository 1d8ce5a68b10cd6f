"""Loss and pose curves as layers: paths, and points whose features hold the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_inr_tomo.ui.live import POSE_COLUMNS, PoseTable
from napari_inr_tomo.ui.series_layer import space

if TYPE_CHECKING:
    from napari_inr_tomo.ui.record import Curve, RunRecord
    from napari_inr_tomo.ui.session import Session

# readable on dark and on light, and to the colour-blind (after Okabe and Ito)
COLOURS = {
    "loss": "#e69f00",
    "hold-out": "#d55e00",
    "z1_deg": "#e69f00",
    "z3_deg": "#cc79a7",
    "dx_px": "#3b9ddd",
    "dy_px": "#009e73",
}


def curves_to_layers(session: Session, record: RunRecord) -> list[str]:
    """Add the curves of a run as layers beside the images; returns the layers' names.

    A box as large as an image, to its right, holds the loss (logarithmic), and one
    below it the poses against the tilt angle.
    """
    shape = record.shape_zyx or (64, 64, 64)
    height, width = float(shape[1]), float(shape[2])
    names: list[str] = []
    groups = [
        ("Loss", loss_points(record.curves), 0.0),
        ("Poses", pose_points(record.poses), 1.1 * height),
    ]
    for title, points, top in groups:
        if not points["value"].size:
            continue
        xy = _boxed(points, (height, width))
        yx = np.stack([top + xy[:, 1], 1.1 * width + xy[:, 0]], axis=1)
        names += _add(session, record, title, points, yx, width)
    return names


def loss_points(curves: dict[str, Curve]) -> dict[str, np.ndarray]:
    """Return one row per loss: curve, x (step), value, phase."""
    rows: list[tuple[str, float, float, str]] = []
    for phase, curve in curves.items():
        for name, values in (("loss", curve.losses), ("hold-out", curve.holdouts)):
            rows += [
                (name, step, value, phase)
                for step, value in zip(curve.steps, values, strict=True)
                if np.isfinite(value)
            ]
    return _table(rows, ("curve", "x", "value", "phase")) | {"log": np.array(True)}


def pose_points(poses: PoseTable | None) -> dict[str, np.ndarray]:
    """Return one row per pose number: curve, x (angle), value, tilt."""
    rows: list[tuple[str, float, float, int]] = []
    if poses is not None:
        order = np.argsort(poses["angle_deg"], kind="stable")
        for name in POSE_COLUMNS:
            rows += [
                (name, poses["angle_deg"][k], poses[name][k], int(poses["tilt"][k]))
                for k in order
                if poses["used"][k]
            ]
    return _table(rows, ("curve", "x", "value", "tilt")) | {"log": np.array(False)}


def _table(rows: list[tuple], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in names]
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}


def _boxed(points: dict[str, np.ndarray], size_yx: tuple[float, float]) -> np.ndarray:
    """Return (point, 2) x and y within the box, y pointing down."""
    value = np.asarray(points["value"], float)
    if points["log"]:
        value = np.log10(np.maximum(value, 1e-30))
    return np.stack(
        [_along(points) * size_yx[1], (1 - _unit(value)) * size_yx[0]], axis=1
    )


def _along(points: dict[str, np.ndarray]) -> np.ndarray:
    """Return x from 0 to 1, one phase after the other in equal shares."""
    x = np.asarray(points["x"], float)
    phases = points.get("phase", np.array([""] * len(x)))
    order = list(dict.fromkeys(phases.tolist()))
    along = np.empty(len(x))
    for index, phase in enumerate(order):
        here = phases == phase
        along[here] = (index + 0.95 * _unit(x[here])) / len(order)
    return along


def _unit(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)


def _add(
    session: Session,
    record: RunRecord,
    title: str,
    points: dict[str, np.ndarray],
    yx: np.ndarray,
    width: float,
) -> list[str]:
    options = space(record.voxel_nm, ("y", "x"))
    starts, steps, owners = _segments(points, yx)
    features = {k: v for k, v in points.items() if k != "log"}
    colours = np.array([COLOURS[name] for name in points["curve"]])
    added = []
    if len(starts):
        layer = session.viewer.add_vectors(
            np.stack([starts, steps], axis=1),
            features={name: values[owners] for name, values in features.items()},
            edge_color=colours[owners],
            edge_width=width / 200,
            vector_style="line",
            name=f"{title} curves of {record.name}",
            **options,
        )
        added.append(layer.name)
    layer = session.viewer.add_points(
        yx,
        features=features,
        face_color=colours,
        border_width=0,
        size=width / 60,
        name=f"{title} numbers of {record.name}",
        **options,
    )
    return [*added, layer.name]


def _segments(
    points: dict[str, np.ndarray], yx: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts, steps (segment, 2) and owning points of the paths.

    A path joins the points of one curve (and one phase) in their order.
    """
    phases = points.get("phase", np.array([""] * len(points["curve"])))
    same = (points["curve"][1:] == points["curve"][:-1]) & (phases[1:] == phases[:-1])
    owners = np.flatnonzero(same)
    return yx[owners], yx[owners + 1] - yx[owners], owners
