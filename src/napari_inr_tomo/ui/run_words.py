"""What the list of runs says of each, and its picture."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QIcon, QImage, QPixmap

from napari_inr_tomo.events import count_in_words, duration
from napari_inr_tomo.ui.controls import inner_limits

SIDE_PX = 44
"""Side of a picture."""


def no_runs(folder: Path, usual: bool) -> str:
    """Return why a folder shows no run; usual: it is where new runs are kept."""
    if folder.is_dir():
        return "No runs in this folder."
    if usual:
        return "There are no runs yet: the first one makes this folder."
    return "There is no such folder."


def texts(entry: Any) -> tuple[str, ...]:
    """Return the cells of a run."""
    if entry.problem:
        return entry.path.name, "damaged", ""
    status = entry.status
    preset = f", {entry.preset}" if entry.method == "inr" else ""
    loss = "" if status.loss is None else f"{status.loss:.3g}"
    head = entry.path.name if entry.queued is None else entry.queued.label
    name = f"{head}\n{entry.method.upper()}{preset}, {entry.series}"
    return name, state(entry), loss


def state(entry: Any) -> str:
    """Return how a run stands, in a word or two."""
    if entry.status.state == "stopped":
        return "finished early"
    if entry.queued is None or entry.status.state != "created":
        return str(entry.status.state)
    waits = entry.queue_alive or entry.queued.problem
    return entry.queued.words if waits else "not started"


def details(entry: Any) -> str:
    """Return what is known about a run, in words."""
    if entry.problem:
        return entry.problem
    tilts, height, width = entry.shape_tyx
    status = entry.status
    made = datetime.fromisoformat(entry.created).astimezone()
    lines = [
        f"{tilts} images of {width} x {height} px, started {made:%Y-%m-%d %H:%M}",
        status.message,
    ]
    if status.elapsed_s and not status.has_result:
        done = count_in_words(status.phase, status.step, status.total)
        done = done or f"{status.step} of {status.total}"
        lines.append(f"{done}, {duration(status.elapsed_s)}")
    if entry.queued is not None:
        lines += [f"In {entry.path.parent.name}", entry.queued.problem]
    if entry.changed:
        lines.append(f"Not as in the preset: {', '.join(entry.changed)}")
    if status.holdout is not None:
        lines.append(f"Loss on held-out pixels {status.holdout:.4g}")
    return "\n".join(line for line in lines if line)


def icon(picture: np.ndarray) -> QIcon:
    """Return a picture (y, x) as an icon."""
    low, high = inner_limits(picture)
    grey = np.clip((picture - low) / (high - low), 0, 1) * 255
    grey = np.ascontiguousarray(grey.astype(np.uint8))
    rows, columns = grey.shape
    image = QImage(grey.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    pixmap = QPixmap.fromImage(image.copy())
    keep = Qt.AspectRatioMode.KeepAspectRatio
    return QIcon(pixmap.scaled(SIDE_PX, SIDE_PX, keep))
