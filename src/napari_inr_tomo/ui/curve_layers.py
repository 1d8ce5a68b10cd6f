"""Loss and pose curves as layers: paths, and points whose features hold the numbers.

Every phase of the loss has a box of its own with its own scale: the losses of two
phases are not of one kind.  So have the turns and the shifts, whose units differ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_inr_tomo.ui.live import POSE_COLUMNS, PoseTable
from napari_inr_tomo.ui.live_layers import unselected
from napari_inr_tomo.ui.series_layer import KEY, space
from napari_inr_tomo.ui.turns import later

if TYPE_CHECKING:
    from napari.layers import Layer

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


SPACING_YX = (1.6, 2.3)
"""Sides of a box from one box to the next: room for its words."""
COLUMNS = 2
TITLES = {"turns": "Turns z1, z3 (deg)", "shifts": "Shifts dx, dy (px)"}
WORDS_COLOUR = "#888888"

Points = dict[str, np.ndarray]
Maker = Callable[[], "Layer"]


def curves_to_layers(session: Session, record: RunRecord) -> None:
    """Show the curves of a run as layers, alone.

    Boxes as large as an image, two in a row, in its place: the loss (logarithmic) of
    every phase, then turns and shifts against the tilt angle.  Room for napari's scale
    bar is left below them.  Making a layer takes a tenth of a second and more: each
    has a turn of the event loop of its own, and they are seen when all are there.
    """
    shape = record.shape_zyx or (64, 64, 64)
    size = float(shape[1]), float(shape[2])
    turns, shifts = (pose_points(record.poses, part) for part in ("turns", "shifts"))
    groups = [
        (loss_points(record.curves), "Loss {} of {}, log scale"),
        (turns, "Turn {} of {} (deg)"),
        (shifts, "Shift {} of {} (px)"),
    ]
    makers: list[Maker] = []
    box = 0
    words: list[tuple[str, np.ndarray]] = []
    for points, name in groups:
        if not points["value"].size:
            continue
        yx = np.empty((len(points["value"]), 2))
        for part in dict.fromkeys(points["part"].tolist()):
            here = points["part"] == part
            place = np.array(divmod(box, COLUMNS)) * SPACING_YX + (0, 0.6)
            box += 1
            at = place * size
            yx[here] = at + _boxed(points["x"][here], points["log"][here]) * size
            words += _words(points, part, at, np.array(size))
        makers += _makers(record, name, points, yx, size[1])
    rows = -(-box // COLUMNS)
    edge = np.array([SPACING_YX[0] * rows, SPACING_YX[1] * COLUMNS]) * size
    if words:  # they have no width: the edge is kept free for them
        makers.append(partial(_words_layer, record, [*words, ("", edge)]))
    made: list[Layer] = []
    session.leave_view()
    for make in makers:
        later(partial(_add, session, make, made))
    later(partial(_show, session, made))


def _add(session: Session, make: Maker, made: list[Layer]) -> None:
    """Add a layer, neither shown nor selected yet."""
    if session.viewer is not None:
        layer = make()
        layer.visible = False
        made.append(layer)
        with unselected(session.viewer):
            session.viewer.add_layer(layer)


def _show(session: Session, made: list[Layer]) -> None:
    """Show the layers alone, unless all have been removed again."""
    if session.viewer is not None and any(map(session.has_layer, made)):
        session.show_alone(*reversed(made))
        session.look_aside()


def loss_points(curves: dict[str, Curve]) -> Points:
    """Return one row per loss: curve, x (step), value, phase.

    A phase that said one loss alone is no curve, and left out where others are.
    """
    several = {k: c for k, c in curves.items() if len(c.steps) > 1}
    rows: list[tuple[str, float, float, str]] = []
    for phase, curve in (several or curves).items():
        for name, values in (("loss", curve.losses), ("hold-out", curve.holdouts)):
            rows += [
                (name, step, value, phase)
                for step, value in zip(curve.steps, values, strict=True)
                if np.isfinite(value)
            ]
    points = _table(rows, ("curve", "x", "value", "phase"))
    logarithm = np.log10(np.maximum(points["value"].astype(float), 1e-30))
    return points | {"part": points["phase"], "log": logarithm}


def pose_points(poses: PoseTable | None, part: str) -> Points:
    """Return one row per "turns" or "shifts": curve, x (angle), value, tilt."""
    rows: list[tuple[str, float, float, int]] = []
    unit = "_deg" if part == "turns" else "_px"
    if poses is not None:
        order = np.argsort(poses["angle_deg"], kind="stable")
        for name in (column for column in POSE_COLUMNS if column.endswith(unit)):
            rows += [
                (name, poses["angle_deg"][k], poses[name][k], int(poses["tilt"][k]))
                for k in order
                if poses["used"][k]
            ]
    points = _table(rows, ("curve", "x", "value", "tilt"))
    return points | {"part": np.array([part] * len(rows)), "log": points["value"]}


def _table(rows: list[tuple], names: tuple[str, ...]) -> Points:
    columns = list(zip(*rows, strict=True)) if rows else [[] for _ in names]
    return {name: np.array(column) for name, column in zip(names, columns, strict=True)}


def _boxed(x: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return (point, 2) y, x within a box of side 1, y pointing down."""
    return np.stack([1 - _unit(value), _unit(x)], axis=1)


def _unit(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.full(len(values), 0.5)


def _words(
    points: Points, part: str, corner: np.ndarray, size: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """Return the title of a box and the ends of its axes, and where they stand."""
    from napari_inr_tomo.ui.record import PHASES

    here = points["part"] == part
    x, value = points["x"][here], points["value"][here]
    phase = PHASES.get(part, part)
    if not phase[:2].isupper():  # "SIRT" stays as it is
        phase = f"{phase[:1].lower()}{phase[1:]}"
    title = TITLES.get(part) or f"Loss, {phase}"
    steps = "epochs" if part == "rays" else "iterations"
    unit = "deg tilt" if part in TITLES else steps
    places = [
        (title, (-0.14, 0.5)),
        (f"{value.max():.3g}", (0.0, -0.3)),
        (f"{value.min():.3g}", (1.0, -0.3)),
        (f"{x.min():.3g}", (1.12, 0.0)),
        (f"{x.max():.3g} {unit}", (1.12, 1.0)),
    ]
    return [(text, corner + np.array(at) * size) for text, at in places]


def _words_layer(record: RunRecord, words: list[tuple[str, np.ndarray]]) -> Layer:
    """Return a layer of the words at the boxes."""
    from napari.layers import Points

    return Points(
        np.array([at for _, at in words]),
        features={"words": [text for text, _ in words]},
        text={"string": "{words}", "color": WORDS_COLOUR, "size": 8},
        face_color="transparent",
        border_width=0,
        name=f"Axes of the curves of {record.name}",
        **_options(record),
    )


def _options(record: RunRecord) -> dict[str, Any]:
    return space(record.voxel_nm, ("y", "x")) | {"metadata": {KEY: "curves"}}


def _makers(
    record: RunRecord, name: str, points: Points, yx: np.ndarray, width: float
) -> list[Maker]:
    """Return what makes the layers of curves, if any is one, and of their points."""
    from napari import layers

    starts, steps, owners = _segments(points, yx)
    hidden = ("log", "part")
    features = {k: v for k, v in points.items() if k not in hidden}
    colours = np.array([COLOURS[curve] for curve in points["curve"]])
    makers: list[Maker] = []
    if len(starts):
        lines = partial(
            layers.Vectors,
            np.stack([starts, steps], axis=1),
            features={k: values[owners] for k, values in features.items()},
            edge_color=colours[owners],
            edge_width=width / 200,
            vector_style="line",
            name=name.format("curves", record.name),
            **_options(record),
        )
        makers.append(lines)
    numbers = partial(
        layers.Points,
        yx,
        features=features,
        face_color=colours,
        border_width=0,
        size=width / 60,
        name=name.format("numbers", record.name),
        **_options(record),
    )
    return [*makers, numbers]


def _segments(
    points: Points, yx: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts, steps (segment, 2) and owning points of the paths.

    A path joins the points of one curve of one box in their order.
    """
    curve, part = points["curve"], points["part"]
    same = (curve[1:] == curve[:-1]) & (part[1:] == part[:-1])
    owners = np.flatnonzero(same)
    return yx[owners], yx[owners + 1] - yx[owners], owners
