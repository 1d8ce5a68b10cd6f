"""What the tests of steps in a viewer do alike."""

from __future__ import annotations

from typing import Any

LONG_MS = 30_000


def errors() -> list[str]:
    from napari.utils.notifications import NotificationSeverity, notification_manager

    return [
        record.message
        for record in notification_manager.records
        if record.severity >= NotificationSeverity.ERROR
    ]


def done(qtbot: Any, session: Any) -> None:
    qtbot.waitUntil(lambda: session.busy is None, timeout=LONG_MS)


def scale_bar(pixels: int, size_nm: float | None) -> str:
    """Return the words of the scale bar of a picture so many pixels wide."""
    from napari_inr_tomo.ui.scale_bar import round_length

    unit = "px" if size_nm is None else "nm"
    return f"{round_length(pixels * (size_nm or 1.0)):g} {unit}"
